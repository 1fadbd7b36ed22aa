"""What the service keeps of a symbol's bars: literal cases. Bars are named by their opening minute."""

import numpy as np
import pytest

from tidegate.bars.bars import Bars
from tidegate.bars.interval import Interval
from tidegate.serving.problems import Problem
from tidegate.serving.windows import KeptWindow, Windows

MINUTE = 60_000


def bars(*minutes: int, price: float = 100.0) -> Bars:
    opened_at = np.array(minutes, np.int64) * MINUTE
    close = price + np.array(minutes, np.float64)
    return Bars.of("X/Y", "1m", opened_at=opened_at, open=close, high=close, low=close, close=close, volume=close)


def minutes(window: Bars) -> list[int]:
    return [int(opened_at) // MINUTE for opened_at in window.opened_at]


# Kept are the minutes 1 to 5, five at most and one to spare. (after, sent, the window of three that is given, or the problem)
CASES = [
    ("the next bar", 5, (6,), [4, 5, 6]),
    ("two bars at once", 5, (6, 7), [5, 6, 7]),
    ("more than is kept", 5, (6, 7, 8, 9, 10, 11, 12, 13), [11, 12, 13]),
    ("a market that was closed between", 5, (9,), [4, 5, 9]),
    ("the last bar once more", 4, (5,), [3, 4, 5]),
    ("an earlier question again", 3, (4,), [2, 3, 4]),
    ("a known and a new bar", 4, (5, 6), [4, 5, 6]),
    ("bars were missed", 6, (7,), "window_gapped"),
    ("older than all that is kept", 0, (1,), "window_gapped"),
    ("too early for a window", 1, (2,), "window_gapped"),
]


@pytest.mark.parametrize(("name", "after", "sent", "expected"), CASES, ids=[case[0] for case in CASES])
def test_new_bars(name: str, after: int, sent: tuple[int, ...], expected: list[int] | str) -> None:
    del name
    kept = KeptWindow(bars(1, 2, 3, 4, 5), 6)
    if isinstance(expected, str):
        with pytest.raises(Problem) as refused:
            kept.accept(after * MINUTE, bars(*sent), 3, 3)
        assert refused.value.slug == expected
        assert kept.newest_opened_at == 5 * MINUTE
    else:
        window = kept.accept(after * MINUTE, bars(*sent), 3, 3)
        assert minutes(window) == expected
        assert window.equals(bars(*expected))


def test_other_values_of_a_kept_bar_are_a_conflict_and_change_nothing() -> None:
    kept = KeptWindow(bars(1, 2, 3), 6)
    with pytest.raises(Problem) as refused:
        kept.accept(2 * MINUTE, bars(3, 4, price=100.5), 2, 2)
    assert refused.value.slug == "window_conflict"
    assert kept.accept(3 * MINUTE, bars(4), 4, 4).equals(bars(1, 2, 3, 4))


def test_a_longer_window_is_given_where_it_is_kept() -> None:
    kept = KeptWindow(bars(1, 2, 3, 4), 10)
    assert minutes(kept.accept(4 * MINUTE, bars(5), 2, 4)) == [2, 3, 4, 5]
    assert minutes(kept.accept(5 * MINUTE, bars(6), 2, 99)) == [1, 2, 3, 4, 5, 6]


def test_a_window_that_was_given_stays_what_it_was() -> None:
    kept = KeptWindow(bars(1, 2, 3), 3)
    given = kept.accept(3 * MINUTE, bars(4), 3, 3)
    for minute in range(5, 60):
        kept.accept((minute - 1) * MINUTE, bars(minute), 3, 3)
    assert given.equals(bars(2, 3, 4))


class TestWindows:
    def test_each_key_has_its_own(self) -> None:
        windows, minute = Windows(10), Interval("1m")
        windows.replace(("bot", "s", "X/Y"), bars(1, 2), 5)
        with pytest.raises(Problem) as refused:
            windows.find(("other", "s", "X/Y"), minute)
        assert refused.value.slug == "window_unknown"
        assert windows.find(("bot", "s", "X/Y"), minute).newest_opened_at == 2 * MINUTE

    def test_another_interval_is_unknown(self) -> None:
        windows = Windows(10)
        windows.replace(("bot", "s", "X/Y"), bars(1, 2), 5)
        with pytest.raises(Problem, match="no window of X/Y is kept"):
            windows.find(("bot", "s", "X/Y"), Interval("5m"))

    def test_the_least_recently_used_one_leaves_first(self) -> None:
        windows, minute = Windows(2), Interval("1m")
        for name in ("a", "b"):
            windows.replace((name, "s", "X/Y"), bars(1, 2), 5)
        windows.find(("a", "s", "X/Y"), minute)
        windows.replace(("c", "s", "X/Y"), bars(1, 2), 5)
        assert len(windows) == 2
        windows.find(("a", "s", "X/Y"), minute)
        with pytest.raises(Problem):
            windows.find(("b", "s", "X/Y"), minute)
