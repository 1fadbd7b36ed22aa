"""Walk-forward windows as literal tables. Times are whole days since 1970; the interval is one day, so the embargo counts in days too."""

import pytest

from tidegate.bars.interval import DAY_MS, Interval
from tidegate.dataset.folds import walk_forward
from tidegate.dataset.windows import FoldWindows
from tidegate.errors import NotEnoughHistory
from tidegate.strategy.strategy import Windows

DAILY = Interval("1d")
RULE = Windows(train_days=90, test_days=30, max_folds=6, embargo_bars=2)

# what, first day, end day, folds as (train from, train to, test from, test to), oldest first
CASES = [
    ("exactly enough for one", 0, 122, [(0, 90, 92, 122)]),
    ("a day of features cut off: one fold, a day shorter", 1, 122, [(1, 90, 92, 122)]),
    ("60 days of training are the least", 30, 122, [(30, 90, 92, 122)]),
    ("a day short of a second fold", 0, 151, [(29, 119, 121, 151)]),
    ("exactly enough for two", 0, 152, [(0, 90, 92, 122), (30, 120, 122, 152)]),
    (
        "three, with some days left over at the start",
        0,
        192,
        [(10, 100, 102, 132), (40, 130, 132, 162), (70, 160, 162, 192)],
    ),
    (
        "not more than six, the newest ones",
        0,
        1000,
        [
            (728, 818, 820, 850),
            (758, 848, 850, 880),
            (788, 878, 880, 910),
            (818, 908, 910, 940),
            (848, 938, 940, 970),
            (878, 968, 970, 1000),
        ],
    ),
]


def in_days(folds: tuple[FoldWindows, ...]) -> list[tuple[float, float, float, float]]:
    return [
        (
            fold.train.start_at / DAY_MS,
            fold.train.end_at / DAY_MS,
            fold.test.start_at / DAY_MS,
            fold.test.end_at / DAY_MS,
        )
        for fold in folds
    ]


@pytest.mark.parametrize(("what", "first", "end", "expected"), CASES)
def test_windows(what: str, first: int, end: int, expected: list[tuple[float, float, float, float]]) -> None:
    assert in_days(walk_forward(first * DAY_MS, end * DAY_MS, RULE, DAILY)) == expected, what


def test_the_embargo_counts_in_bars() -> None:
    folds = walk_forward(0, 121 * DAY_MS, Windows(embargo_bars=12), Interval("1h"))
    assert in_days(folds) == [(0.5, 90.5, 91, 121)]


def test_without_an_embargo_training_ends_where_the_test_begins() -> None:
    folds = walk_forward(0, 120 * DAY_MS, Windows(embargo_bars=0), Interval("5m"))
    assert in_days(folds) == [(0, 90, 90, 120)]


def test_fewer_folds_may_be_asked_for() -> None:
    folds = walk_forward(0, 1000 * DAY_MS, RULE.model_copy(update={"max_folds": 1}), DAILY)
    assert in_days(folds) == [(878, 968, 970, 1000)]


@pytest.mark.parametrize("missing_ms", [1, DAY_MS, 50 * DAY_MS, 200 * DAY_MS])
def test_under_sixty_days_of_training_there_is_no_fold(missing_ms: int) -> None:
    with pytest.raises(NotEnoughHistory) as raised:
        walk_forward(30 * DAY_MS + missing_ms, 122 * DAY_MS, RULE, DAILY)
    assert "60 days of training, 2 bars of embargo and 30 days of test" in str(raised.value)
    assert raised.value.setting == "windows"
    assert raised.value.next_step


def test_the_refusal_names_the_date_until_which_bars_are_needed() -> None:
    with pytest.raises(NotEnoughHistory, match="so bars until 1970-04-03T00:00:00Z"):
        walk_forward(0, 91 * DAY_MS, RULE, DAILY)
