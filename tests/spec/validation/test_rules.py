"""What each rule catches, and what just passes: one literal table."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from tests.unit.validation.sound_bars import HOUR_MS, START_MS, as_of, edited, sound_bars

from tidegate.bars.bars import Bars
from tidegate.settings.settings import Validation
from tidegate.validation.validate import judge

N = 200
AS_OF = START_MS + N * HOUR_MS
RULES = Validation(max_quarantined_share=1.0)
NAN, INF = float("nan"), float("inf")
NAT = np.iinfo(np.int64).min


@dataclass(frozen=True)
class Case:
    """An edit of 200 sound hourly bars, the one rule it breaks (or none), and how many rows remain."""

    text: str
    edit: Callable[[Bars], Bars]
    rule: str | None
    count: int = 0
    remain: int = N
    besides: tuple[str, ...] = ()
    shown: int | None = None


def put(column: str, rows: int | slice | list[int], values: object) -> Callable[[Bars], Bars]:
    return lambda bars: edited(bars, column, rows, values)


def scaled(factor: float, rows: slice) -> Callable[[Bars], Bars]:
    def edit(bars: Bars) -> Bars:
        for name in ("open", "high", "low", "close"):
            bars = edited(bars, name, rows, getattr(bars, name)[rows] * factor)
        return bars

    return edit


def without(rows: slice | list[int]) -> Callable[[Bars], Bars]:
    return lambda bars: bars.take(np.delete(np.arange(len(bars)), rows))


def again(row: int, **changes: float) -> Callable[[Bars], Bars]:
    def edit(bars: Bars) -> Bars:
        copy = bars.take(np.array([row]))
        for name, value in changes.items():
            copy = edited(copy, name, 0, value)
        return Bars.concatenate([bars, copy])

    return edit


def flat(rows: slice) -> Callable[[Bars], Bars]:
    def edit(bars: Bars) -> Bars:
        price = bars.open[rows.start]
        for name in ("open", "high", "low", "close"):
            bars = edited(bars, name, rows, price)
        opened = edited(bars, "open", rows.stop, price)
        opened = edited(opened, "low", rows.stop, min(price, bars.low[rows.stop]))
        return edited(opened, "high", rows.stop, max(price, bars.high[rows.stop]))

    return edit


def crash(bars: Bars) -> Bars:
    """A bar whose low is 10 % under its close, as on 13 March 2020 and 10 October 2025."""
    return edited(bars, "low", 100, bars.close[100] / 1.1)


def moved_at(row: int, factor: float) -> Callable[[Bars], Bars]:
    """Prices change by a factor within one bar and stay there."""

    def edit(bars: Bars) -> Bars:
        bars = scaled(factor, slice(row, None))(bars)
        opened = edited(bars, "open", row, bars.close[row - 1])
        return edited(opened, "high", row, bars.close[row - 1])

    return edit


def collapse(bars: Bars) -> Bars:
    """Prices fall to a thousandth, but through the bar, as a real collapse does."""
    bars = scaled(0.001, slice(150, None))(bars)
    bars = edited(bars, "open", 150, bars.close[149])
    return edited(bars, "high", 150, bars.close[149])


CASES = [
    Case("nothing wrong", lambda bars: bars, None),
    Case("NaN close", put("close", 5, NAN), "non_finite", 1, N - 1),
    Case("NaN volume", put("volume", 5, NAN), "non_finite", 1, N - 1),
    Case("infinite volume", put("volume", [5, 6], INF), "non_finite", 2, N - 2),
    Case("missing time", put("opened_at", 5, NAT), "non_finite", 1, N - 1, besides=("off_grid", "order")),
    Case("largest finite volume", put("volume", 5, np.finfo(np.float64).max), None),
    Case("low of zero", put("low", 5, 0.0), "non_positive_price", 1, N - 1),
    Case("negative low", put("low", 5, -1.0), "non_positive_price", 1, N - 1),
    Case("tiny low", put("low", 5, 1e-300), None),
    Case("negative volume", put("volume", 5, -1e-12), "negative_volume", 1, N - 1),
    Case("no volume", put("volume", 5, 0.0), None),
    Case("high under low", put("high", 5, 1.0), "high_low", 1, N - 1),
    Case("low over close", put("low", 5, 1e6), "high_low", 1, N - 1),
    Case("high equals close", lambda bars: edited(bars, "high", 5, max(bars.open[5], bars.close[5])), None),
    Case(
        "high a hair under close",
        lambda bars: edited(bars, "high", 5, np.nextafter(max(bars.open[5], bars.close[5]), 0)),
        "high_low",
        1,
        N - 1,
    ),
    Case("one millisecond off the grid", put("opened_at", 5, START_MS + 5 * HOUR_MS + 1), "off_grid", 1, N - 1),
    Case("newest first", lambda bars: bars.take(slice(None, None, -1)), "order", N - 1),
    Case("two rows swapped", lambda bars: bars.take(np.array([1, 0, *range(2, N)])), "order", 1),
    Case("same bar twice", again(7), "duplicate_identical", 1, besides=("order",)),
    Case("same time, another volume", again(7, volume=3.0), "duplicate_conflicting", 2, N - 1, besides=("order",)),
    Case(
        "same bar twice, one behind the other",
        lambda bars: bars.take(np.array([*range(8), *range(7, N)])),
        "duplicate_identical",
        1,
    ),
    Case(
        "same time, half the price",
        again(7, close=50.0, low=50.0),
        "duplicate_conflicting",
        2,
        N - 1,
        besides=("order",),
    ),
    Case("same time, but broken", again(7, close=NAN), "non_finite", 1, N, besides=("order",)),
    Case(
        "seconds among milliseconds",
        put("opened_at", slice(0, 3), START_MS // 1000 + 3600 * np.arange(3)),
        "unit_mixup",
        3,
        N - 3,
        besides=("off_grid",),
    ),
    Case(
        "all in seconds",
        put("opened_at", slice(None), START_MS // 1000 + 3600 * np.arange(N)),
        "unit_mixup",
        N,
        0,
        besides=("off_grid", "no_bars"),
    ),
    Case(
        "all in microseconds",
        put("opened_at", slice(None), (START_MS + HOUR_MS * np.arange(N)) * 1000),
        "unit_mixup",
        N,
        0,
        besides=("future", "no_bars"),
    ),
    Case("one bar missing", without([50]), "gaps", 1, N - 1),
    Case("two outages", without([50, 51, 52, 90]), "gaps", 2, N - 4),
    Case("first and last missing", without([0, N - 1]), None, 0, N - 2),
    Case("5 % missing", without(slice(50, 60)), "gaps", 1, N - 10),
    Case("more than 5 % missing", without(slice(50, 61)), "missing_share", 11, N - 11, besides=("gaps",), shown=1),
    Case("twelve silent bars", put("volume", slice(20, 32), 0.0), "zero_volume", 12),
    Case("eleven silent bars", put("volume", slice(20, 31), 0.0), None),
    Case("twelve flat bars", flat(slice(20, 32)), "flat", 12),
    Case("eleven flat bars", flat(slice(20, 31)), None),
    Case(
        "twelve bars that close where they opened, but traded elsewhere between",
        lambda bars: edited(flat(slice(20, 32))(bars), "high", slice(20, 32), bars.open[20] * 1.001),
        None,
    ),
    Case("real crash within a bar", crash, None),
    Case("halved within a bar", moved_at(120, 0.5), "jumps", 1),
    Case("fallen by nearly thirteen robust standard deviations", moved_at(120, 0.915), "jumps", 1),
    Case("fallen by nine robust standard deviations", moved_at(120, 0.94), None),
    Case("collapsed to a thousandth through a bar", collapse, "jumps", 1),
    Case("a stretch in cents", scaled(100, slice(150, 170)), "unit_mixup", 20, besides=("jumps",)),
    Case("one bar a thousandth", scaled(0.001, slice(150, 151)), "unit_mixup", 1, besides=("jumps",)),
    Case("first half in cents", scaled(100, slice(0, 99)), "unit_mixup", 99, besides=("jumps",)),
    Case("a tenfold stretch", scaled(10, slice(150, 170)), "jumps", 2),
    Case(
        "high in cents for three bars",
        lambda bars: edited(bars, "high", slice(20, 23), bars.high[20:23] * 100),
        "unit_mixup",
        3,
    ),
    Case("one wick of a hundred times", lambda bars: edited(bars, "high", 20, bars.high[20] * 100), None),
    Case(
        "low in thousandths throughout", lambda bars: edited(bars, "low", slice(None), bars.low / 1000), "unit_mixup", N
    ),
    Case("no volume column", put("volume", slice(None), NAN), "columns", N, 0, besides=("non_finite", "no_bars")),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.text)
def test_a_rule_finds_what_it_is_for_and_nothing_else(case: Case) -> None:
    bars = case.edit(sound_bars(N))
    validated = judge(bars, rules=RULES, calendar="24/7", as_of_ms=AS_OF)
    found = {finding.rule: finding for finding in validated.findings}
    # Rows that were set aside leave gaps, which are not what these cases are about.
    ignored = {"gaps", "missing_share"} if len(validated.quarantined) else set()
    assert set(found) - ignored == {*([case.rule] if case.rule else []), *case.besides} - ignored
    assert len(validated.bars) == case.remain
    if case.rule is not None:
        assert found[case.rule].count == case.count
        assert len(found[case.rule].rows) == (case.shown or min(case.count, 20))
        assert found[case.rule].severity == getattr(RULES, case.rule)


@pytest.mark.parametrize(
    ("late_ms", "rules", "remain"),
    [
        (0, set(), N),
        (-1, {"unfinished"}, N - 1),
        (-HOUR_MS, {"unfinished"}, N - 1),
        (-HOUR_MS - 1, {"future", "unfinished"}, N - 2),
        (4 * HOUR_MS - 1, set(), N),
        (4 * HOUR_MS, {"stale"}, N),
    ],
)
def test_time_decides_what_is_unfinished_future_or_stale(late_ms: int, rules: set[str], remain: int) -> None:
    validated = judge(sound_bars(N), rules=RULES, calendar="24/7", as_of_ms=AS_OF + late_ms)
    assert {finding.rule for finding in validated.findings} == rules
    assert len(validated.bars) == remain
    assert validated.passed is ("future" not in rules)


def test_nothing_ages_while_the_market_is_closed() -> None:
    friday = sound_bars(
        3, start_ms=START_MS + 4 * 24 * HOUR_MS + 19 * HOUR_MS
    )  # 19, 20 and 21 h; New York closes at 22 h
    sunday_evening = as_of(friday) + 48 * HOUR_MS
    judged = [
        judge(friday, rules=RULES, calendar="fx", as_of_ms=sunday_evening + hours * HOUR_MS).findings
        for hours in (3, 4)
    ]
    assert judged[0] == ()
    assert [finding.rule for finding in judged[1]] == ["stale"]


def test_the_share_of_quarantined_rows_has_a_limit() -> None:
    one_percent = edited(sound_bars(N), "close", [3, 4], NAN)
    more = edited(sound_bars(N), "close", [3, 4, 5], NAN)
    assert judge(one_percent, rules=Validation(), calendar="24/7", as_of_ms=AS_OF).passed
    failed = judge(more, rules=Validation(), calendar="24/7", as_of_ms=AS_OF)
    assert [finding.rule for finding in failed.failures] == ["quarantined_share"]
    assert failed.failures[0].share == pytest.approx(3 / N)


def test_a_candle_that_is_still_open_does_not_count_against_the_source() -> None:
    few = sound_bars(20)
    validated = judge(few, rules=Validation(), calendar="24/7", as_of_ms=as_of(few) - 1)
    assert validated.passed
    assert validated.quarantined.reasons == ("unfinished",)


def test_no_bars_never_pass() -> None:
    nothing = sound_bars(0)
    validated = judge(nothing, rules=Validation(), calendar="24/7", as_of_ms=AS_OF)
    assert [finding.rule for finding in validated.failures] == ["no_bars"]
    assert len(validated.bars) == len(validated.quarantined) == 0


def test_one_bar_passes() -> None:
    one = sound_bars(1)
    for calendar in ("24/7", "fx"):
        validated = judge(one, rules=Validation(), calendar=calendar, as_of_ms=as_of(one))
        assert validated.passed
        assert validated.bars.equals(one)
        assert validated.expected_bars == 1


def test_bars_on_a_saturday_are_outside_the_fx_week() -> None:
    week = sound_bars(7 * 24)
    validated = judge(week, rules=Validation(), calendar="fx", as_of_ms=as_of(week))
    (finding,) = validated.findings
    assert (finding.rule, finding.severity, finding.count) == ("outside_calendar", "warn", 48)
    assert finding.rows[0].opened_at_ms == START_MS + (4 * 24 + 22) * HOUR_MS


@pytest.mark.parametrize(("days", "fatal"), [(6, False), (7, True)])
def test_an_outage_of_a_quarter_day_fails_a_week_but_not_a_day_file(days: int, fatal: bool) -> None:
    rules = Validation(max_missing_share=0.03)
    bars = without(slice(50, 56))(sound_bars(24 * days))
    validated = judge(bars, rules=rules, calendar="24/7", as_of_ms=as_of(bars))
    assert [finding.rule for finding in validated.findings] == (["missing_share", "gaps"] if fatal else ["gaps"])
