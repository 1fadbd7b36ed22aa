import numpy as np
import pytest
from tests.unit.validation.sound_bars import HOUR_MS, START_MS, sound_bars

from tidegate.bars.bars import Bars, iso, parse_time
from tidegate.bars.interval import Interval
from tidegate.errors import ConfigurationError
from tidegate.validation.calendar import expected_count, expected_opens, missing, outside, trading_age_bars


def bars_at(opens: list[int] | np.ndarray, interval: str = "1h") -> Bars:
    ones = np.ones(len(opens))
    return Bars.of("EUR/USD", interval, opened_at=opens, open=ones, high=ones, low=ones, close=ones, volume=ones)


# What a real feed of 2017 delivered: last bar of a week, first bar of the next, bars missing in between.
WEEKENDS = [
    ("2017-01-06T21:00Z", "2017-01-08T22:00Z", 0),  # winter
    ("2017-03-10T21:00Z", "2017-03-12T21:00Z", 0),  # New York's clocks went forward that Sunday
    ("2017-03-24T20:00Z", "2017-03-26T21:00Z", 0),  # Europe's did, which changes nothing
    ("2017-07-07T20:00Z", "2017-07-09T21:00Z", 0),  # summer
    ("2017-11-03T20:00Z", "2017-11-05T22:00Z", 0),  # back to winter
    ("2017-12-22T21:00Z", "2017-12-24T23:00Z", 1),  # an hour late on Christmas Eve
    ("2017-12-25T07:00Z", "2017-12-25T22:00Z", 14),  # Christmas: no part of the calendar, so it is reported
    ("2018-01-05T21:00Z", "2018-01-09T22:00Z", 48),  # a lost Monday and Tuesday
]


@pytest.mark.parametrize(("last", "first", "lost"), WEEKENDS)
def test_fx_weeks_end_at_17_in_new_york(last: str, first: str, lost: int) -> None:
    bars = bars_at([parse_time(last), parse_time(first)])
    assert sum(gap.bars for gap in missing(bars, "fx")) == lost
    assert expected_count(bars, "fx") == lost + 2
    assert not outside(bars, "fx").any()


def test_a_gap_names_its_first_and_last_missing_bar() -> None:
    bars = bars_at([parse_time("2018-01-05T20:00Z"), parse_time("2018-01-07T23:00Z"), parse_time("2018-01-08T00:00Z")])
    (gap,) = missing(bars, "fx")
    assert (iso(gap.start_ms), iso(gap.end_ms), gap.bars, gap.row) == (
        "2018-01-05T21:00:00Z",
        "2018-01-07T23:00:00Z",
        2,
        1,
    )


def test_a_gap_that_begins_or_ends_with_a_weekend_leaves_the_weekend_out() -> None:
    begins = bars_at([parse_time("2018-01-05T21:00Z"), parse_time("2018-01-08T00:00Z")])
    ends = bars_at([parse_time("2018-01-05T19:00Z"), parse_time("2018-01-07T22:00Z")])
    (first,), (second,) = missing(begins, "fx"), missing(ends, "fx")
    assert (iso(first.start_ms), iso(first.end_ms), first.bars) == ("2018-01-07T22:00:00Z", "2018-01-08T00:00:00Z", 2)
    assert (iso(second.start_ms), iso(second.end_ms), second.bars) == (
        "2018-01-05T20:00:00Z",
        "2018-01-05T22:00:00Z",
        2,
    )


@pytest.mark.parametrize(
    ("interval", "calendar", "bars_a_week"),
    [("1h", "24/7", 168), ("1h", "fx", 120), ("1m", "fx", 7200), ("4h", "fx", 31), ("1d", "fx", 5), ("7d", "fx", 1)],
)
def test_bars_a_week(interval: str, calendar: str, bars_a_week: int) -> None:
    # A four-hour bar that is open for just half its time is expected: Friday 20 to 24 h and Sunday 20 to 24 h both are.
    thursday = START_MS + 3 * 24 * HOUR_MS
    opens = expected_opens(calendar, Interval(interval), thursday, thursday + 168 * HOUR_MS)
    assert len(opens) == bars_a_week
    assert (np.diff(opens) > 0).all()
    assert (opens % Interval(interval).milliseconds == 0).all()


def test_daily_feeds_may_have_a_short_sunday_bar_or_not() -> None:
    days = START_MS + 24 * HOUR_MS * np.arange(14)
    weekday = np.arange(14) % 7
    without_sundays = bars_at(days[weekday < 5], "1d")
    with_sundays = bars_at(days[weekday != 5], "1d")
    with_saturdays = bars_at(days, "1d")
    for bars in (without_sundays, with_sundays, with_saturdays):
        assert missing(bars, "fx") == ()
    assert [outside(bars, "fx").sum() for bars in (without_sundays, with_sundays, with_saturdays)] == [0, 0, 2]


def test_days_that_begin_at_17_in_new_york_are_counted_from_their_own_first_bar() -> None:
    opens = [parse_time(f"2024-03-{day:02d}T{22 if day < 10 else 21}:00Z") for day in range(4, 16)]
    assert missing(bars_at(opens, "1d"), "24/7") == ()
    assert [gap.bars for gap in missing(bars_at(opens[:4] + opens[6:], "1d"), "24/7")] == [2]


def test_missing_bars_are_those_expected_and_not_there() -> None:
    random = np.random.default_rng(3)
    opens = expected_opens("fx", Interval("1h"), START_MS, START_MS + 6 * 168 * HOUR_MS)
    for share in (0.01, 0.3, 0.9):
        kept = opens[random.random(len(opens)) > share]
        inside = opens[(opens >= kept[0]) & (opens <= kept[-1])]
        gaps = missing(bars_at(kept), "fx")
        lost = np.concatenate([expected_opens("fx", Interval("1h"), gap.start_ms, gap.end_ms) for gap in gaps])
        assert np.array_equal(lost, np.setdiff1d(inside, kept))
        assert [gap.bars for gap in gaps] == [
            len(expected_opens("fx", Interval("1h"), gap.start_ms, gap.end_ms)) for gap in gaps
        ]
        assert expected_count(bars_at(kept), "fx") == len(inside)
        assert all(bars_at(kept).opened_at[gap.row] >= gap.end_ms > gap.start_ms for gap in gaps)


def test_age_is_counted_in_bars_the_market_traded() -> None:
    friday = bars_at([parse_time("2024-01-05T20:00Z")])
    expected = {"2024-01-05T21:00Z": 0, "2024-01-05T22:00Z": 1, "2024-01-07T22:00Z": 1, "2024-01-08T00:30Z": 3}
    assert {at: trading_age_bars(friday, "fx", parse_time(at)) for at in expected} == expected
    assert trading_age_bars(friday, "24/7", parse_time("2024-01-06T21:00Z")) == 24
    assert trading_age_bars(friday, "24/7", parse_time("2024-01-05T20:30Z")) == 0


def test_no_bars_and_no_gap() -> None:
    assert missing(bars_at([]), "fx") == ()
    assert expected_count(bars_at([]), "fx") == 0
    assert missing(sound_bars(50), "24/7") == ()


def test_an_unknown_calendar_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"calendar 'nyse' is unknown, expected 24/7 or fx"):
        expected_opens("nyse", Interval("1h"), 0, 1)
