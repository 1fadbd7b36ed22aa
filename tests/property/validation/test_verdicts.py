"""The two quick verdicts agree with the table of constraints, whatever is asked."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.validation.sound_bars import HOUR_MS, as_of, sound_bars

from tidegate.bars.bars import COLUMNS, Bars
from tidegate.validation.constraints import all_hold, bar_holds, violations

FURTHEST = 2**61  # beyond it times count as equal
LEAST, MOST = np.iinfo(np.int64).min, np.iinfo(np.int64).max
NUMBERS = st.one_of(
    st.sampled_from([0.0, -0.0, 5e-324, -5e-324, 1.0, 1e308, np.inf, -np.inf, np.nan, -1.0]),
    st.floats(width=64),
    st.floats(90.0, 110.0),
)
# On the grid and off it, around the points at which the verdict turns.
TIMES = st.one_of(
    st.builds(
        lambda at, hours, off: min(max(at // HOUR_MS * HOUR_MS + hours * HOUR_MS + off, LEAST), MOST),
        st.sampled_from([0, sound_bars(1).opened_at.item(0), FURTHEST, -FURTHEST, LEAST, MOST]),
        st.integers(-3, 60),
        st.sampled_from([0, 0, 0, 1, -1]),
    ),
    st.integers(LEAST, MOST),
)
AS_OF = st.one_of(TIMES, st.sampled_from([LEAST, MOST, 2**70, -(2**70)]), st.integers(-(2**65), 2**65))
FIELDS = st.tuples(st.sampled_from(COLUMNS), st.integers(0, 39), TIMES, NUMBERS)


def altered(bars: Bars, changes: list[tuple[str, int, int, float]]) -> Bars:
    """The bars with other values in some places."""
    columns: dict[str, Any] = {name: getattr(bars, name).copy() for name in COLUMNS}
    for name, at, time, number in changes if len(bars) else []:
        columns[name][at % len(bars)] = time if name == "opened_at" else number
    return replace(bars, **columns)


def row_holds(bars: Bars, row: int, previous: int | None, as_of_ms: int) -> bool:
    """The quick verdict on one row."""
    return bar_holds(
        HOUR_MS,
        previous,
        bars.opened_at.item(row),
        bars.open.item(row),
        bars.high.item(row),
        bars.low.item(row),
        bars.close.item(row),
        bars.volume.item(row),
        as_of_ms,
    )


@settings(max_examples=400, deadline=None)
@given(
    n=st.integers(0, 40), changes=st.lists(FIELDS, max_size=2), as_of_ms=st.one_of(st.none(), AS_OF), seed=st.integers()
)
def test_all_hold_says_what_the_table_says(
    n: int, changes: list[tuple[str, int, int, float]], as_of_ms: int | None, seed: int
) -> None:
    sound = sound_bars(n, seed=seed % 7)
    bars = altered(sound, changes)
    at = as_of(sound) if as_of_ms is None and n else as_of_ms or 0
    assert all_hold(bars, at) is (not violations(bars, at))


@pytest.mark.parametrize("column", COLUMNS[1:])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0.0, -0.0, -1.0, 5e-324, 1.5, 2.5, 1e300])
def test_one_odd_number_anywhere_is_judged_alike(column: str, value: float) -> None:
    times = HOUR_MS * np.arange(1, 4)
    for row in range(3):
        columns: dict[str, Any] = {name: np.full(3, 2.0) for name in COLUMNS[1:]}
        columns["low"][:], columns["high"][:] = 1.0, 3.0
        columns[column][row] = value
        bars = Bars.of("X/Y", "1h", opened_at=times, **columns)
        held = not violations(bars, 4 * HOUR_MS)
        assert all_hold(bars, 4 * HOUR_MS) is held
        assert row_holds(bars, row, int(times[row]) - HOUR_MS, 4 * HOUR_MS) is held


@pytest.mark.parametrize(
    "opened_at",
    [
        [0, 1],
        [0, 0],
        [1, 0],
        [-1, 0],
        [0, FURTHEST // HOUR_MS],
        [FURTHEST // HOUR_MS, FURTHEST // HOUR_MS + 1],
        [FURTHEST // HOUR_MS + 1, FURTHEST // HOUR_MS + 2],
        [0, MOST // HOUR_MS],
        [LEAST // HOUR_MS + 1, MOST // HOUR_MS],
    ],
)
@pytest.mark.parametrize("as_of_ms", [HOUR_MS, 2 * HOUR_MS - 1, 2 * HOUR_MS, FURTHEST, MOST, 2**70])
def test_times_at_the_edges_are_judged_alike(opened_at: list[int], as_of_ms: int) -> None:
    first, second = (hour * HOUR_MS for hour in opened_at)
    bars = replace(sound_bars(2), opened_at=np.array([first, second]))
    assert all_hold(bars, as_of_ms) is (not violations(bars, as_of_ms))
    assert row_holds(bars, 1, first, as_of_ms) is _second_holds(bars, as_of_ms)


@settings(max_examples=400, deadline=None)
@given(changes=st.lists(FIELDS, max_size=2), as_of_ms=st.one_of(st.none(), AS_OF), first=st.booleans())
def test_a_bar_holds_if_no_constraint_names_its_row(
    changes: list[tuple[str, int, int, float]], as_of_ms: int | None, first: bool
) -> None:
    sound = sound_bars(2)
    bars = altered(sound, changes)
    at = as_of(sound) if as_of_ms is None else as_of_ms
    previous = None if first else bars.opened_at.item(0)
    judged = bars.take(slice(1, 2)) if first else bars
    held = not violations(judged, at) if first else _second_holds(bars, at)
    assert row_holds(bars, 1, previous, at) is held


def _second_holds(bars: Bars, as_of_ms: int) -> bool:
    return not any(1 in violation.rows for violation in violations(bars, as_of_ms))


@pytest.mark.parametrize("hours", [0, 1, 5])
def test_sound_bars_hold_until_the_newest_has_not_closed(hours: int) -> None:
    bars = sound_bars(1 + hours)
    assert all_hold(bars, as_of(bars))
    assert not all_hold(bars, int(bars.closed_at[-1]) - 1)


@pytest.mark.parametrize("row", [0, 1, 4])
@pytest.mark.parametrize("off_ms", [1, -1, HOUR_MS // 2])
def test_a_time_off_the_grid_is_judged_alike(row: int, off_ms: int) -> None:
    bars = sound_bars(5)
    times = bars.opened_at.copy()
    times[row] += off_ms
    late = as_of(bars) + HOUR_MS
    moved = replace(bars, opened_at=times)
    previous = bars.opened_at.item(row - 1) if row else None
    assert not all_hold(moved, late)
    assert not row_holds(moved, row, previous, late)
    assert all_hold(bars, late)
    assert row_holds(bars, row, previous, late)
