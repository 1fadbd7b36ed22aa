"""What holds for any bars at all, however broken."""

import json
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.validation.sound_bars import HOUR_MS, START_MS, as_of, sound_bars

from tidegate.bars.bars import COLUMNS, Bars
from tidegate.settings.settings import Validation
from tidegate.validation.calendar import CALENDARS
from tidegate.validation.constraints import violations
from tidegate.validation.validate import Validated, judge

AS_OF = START_MS + 40 * HOUR_MS
NUMBERS = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, 100.0, float("nan"), float("inf"), float("-inf"), 1e308, 5e-324, -1.0]),
    st.floats(allow_nan=True, allow_infinity=True),
)
TIMES = st.one_of(
    st.sampled_from([0, -1, np.iinfo(np.int64).min, np.iinfo(np.int64).max, START_MS // 1000, START_MS * 1000]),
    st.integers(0, 60).map(lambda slot: START_MS + slot * HOUR_MS),
    st.integers(START_MS, AS_OF + 10 * HOUR_MS),
)
SEVERITIES = st.sampled_from(["fatal", "quarantine"])
ROW_RULES = ("non_finite", "non_positive_price", "negative_volume", "high_low", "off_grid", "future", "unit_mixup")


@st.composite
def broken_bars(draw: st.DrawFn) -> Bars:
    """Up to 40 sound bars with repeated rows, another order, and any values put anywhere."""
    bars = sound_bars(draw(st.integers(0, 40)), seed=draw(st.integers(0, 5)))
    if len(bars):
        bars = bars.take(np.array(draw(st.lists(st.integers(0, len(bars) - 1), max_size=60)), np.intp))
    columns: dict[str, Any] = {name: getattr(bars, name).copy() for name in COLUMNS}
    for _ in range(draw(st.integers(0, 12)) if len(bars) else 0):
        name = draw(st.sampled_from(COLUMNS))
        columns[name][draw(st.integers(0, len(bars) - 1))] = draw(TIMES if name == "opened_at" else NUMBERS)
    return replace(bars, **columns)


def judged(bars: Bars, calendar: str = "24/7", **rules: object) -> Validated:
    return judge(bars, rules=Validation.model_validate(rules), calendar=calendar, as_of_ms=AS_OF)


@settings(max_examples=200, deadline=None)
@given(bars=broken_bars(), calendar=st.sampled_from(CALENDARS), severity=SEVERITIES)
def test_clean_bars_always_satisfy_the_table(bars: Bars, calendar: str, severity: str) -> None:
    validated = judged(bars, calendar, **dict.fromkeys(ROW_RULES, severity))
    assert violations(validated.bars, AS_OF) == []
    json.dumps(validated.summary(), allow_nan=False)


@settings(max_examples=100, deadline=None)
@given(bars=broken_bars(), severity=st.sampled_from(["fatal", "quarantine", "warn", "off"]))
def test_nan_infinity_and_zero_prices_never_survive(bars: Bars, severity: str) -> None:
    rules = dict.fromkeys((*ROW_RULES, "duplicate_conflicting", "columns"), severity)
    clean = judged(bars, **rules).bars
    assert all(np.isfinite(getattr(clean, name)).all() for name in COLUMNS)
    assert all((getattr(clean, name) > 0).all() for name in ("open", "high", "low", "close"))
    assert (np.diff(clean.opened_at) > 0).all()
    assert (clean.closed_at <= AS_OF).all()


@settings(max_examples=100, deadline=None)
@given(bars=broken_bars(), random=st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing_but_row_numbers(bars: Bars, random: Random) -> None:
    order = list(range(len(bars)))
    random.shuffle(order)
    first = judged(bars)
    second = judged(bars.take(np.array(order, np.intp)))
    assert second.bars.equals(first.bars)
    assert len(second.quarantined) == len(first.quarantined)
    assert second.gaps == first.gaps

    def counts(validated: Validated) -> dict[str, int]:
        return {f"{f.rule} {f.severity}": f.count for f in validated.findings if f.rule != "order"}

    if not {"unit_mixup"} & {finding.rule for finding in (*first.findings, *second.findings)}:
        assert counts(second) == counts(first)


@settings(max_examples=100, deadline=None)
@given(bars=broken_bars())
def test_no_row_is_lost(bars: Bars) -> None:
    validated = judged(bars)
    dropped = sum(finding.count for finding in validated.findings if finding.rule == "duplicate_identical")
    assert len(validated.bars) + len(validated.quarantined) + dropped == len(bars)
    assert validated.quarantined.bars.content_hash() == bars.take(validated.quarantined.rows).content_hash()
    assert all(validated.quarantined.reasons)


@settings(max_examples=50, deadline=None)
@given(bars=broken_bars(), calendar=st.sampled_from(CALENDARS))
def test_judging_clean_bars_again_changes_nothing(bars: Bars, calendar: str) -> None:
    once = judged(bars, calendar).bars
    again = judged(once, calendar)
    assert again.bars.equals(once)
    assert len(again.quarantined) == 0


@settings(max_examples=50, deadline=None)
@given(n=st.integers(1, 300), seed=st.integers(0, 1000), calendar=st.sampled_from(CALENDARS))
def test_a_sound_series_is_unchanged(n: int, seed: int, calendar: str) -> None:
    bars = sound_bars(n, seed=seed)
    rules = Validation()
    validated = judge(bars, rules=rules, calendar=calendar, as_of_ms=as_of(bars))
    assert validated.passed
    assert validated.bars.equals(bars)
    assert calendar == "fx" or validated.findings == ()


@settings(max_examples=100, deadline=None)
@given(data=st.data(), calendar=st.sampled_from(CALENDARS))
def test_every_expected_bar_is_there_or_in_a_gap(data: st.DataObject, calendar: str) -> None:
    kept = sorted(data.draw(st.sets(st.integers(0, 400), min_size=1)))
    whole = sound_bars(401)
    rules = Validation(max_missing_share=1.0)
    inside = judge(whole.take(np.array(kept)), rules=rules, calendar=calendar, as_of_ms=as_of(whole))
    outside = next((f.count for f in inside.findings if f.rule == "outside_calendar"), 0)
    assert inside.missing_bars + len(inside.bars) - outside == inside.expected_bars
