"""From typed JSON to a validated window."""

import msgspec
import pytest
from tests.unit.model.small_model import SYMBOL, window_ending

from tidegate.bars.bars import COLUMNS, Bars
from tidegate.bars.interval import Interval
from tidegate.serving.messages import BarColumns, Item, Position
from tidegate.serving.problems import Problem
from tidegate.serving.question import require_usable, window_of
from tidegate.serving.windows import Windows

FIVE = Interval("5m")
KEY = ("bot", "small", SYMBOL)


def columns(bars: Bars) -> BarColumns:
    return BarColumns(**{name: getattr(bars, name).tolist() for name in COLUMNS})


def ask(windows: Windows, bars: Bars, after: int | None = None, lookback: int = 12, as_of_ms: int = 2**60) -> Bars:
    item = Item(SYMBOL, columns(bars), after)
    return window_of(item, KEY, windows, FIVE, lookback, lookback + 2, as_of_ms)


def changed(bars: Bars, **values: object) -> Bars:
    fields = {name: getattr(bars, name) for name in COLUMNS} | values
    return Bars.of(SYMBOL, FIVE, **fields)


def slug(call: object, *arguments: object) -> str:
    with pytest.raises(Problem) as refused:
        call(*arguments)  # type: ignore[operator]
    return refused.value.slug


def test_a_whole_window_and_then_one_bar_give_the_series_windows() -> None:
    windows, whole, later = Windows(5), window_ending(1400), window_ending(1401)
    first = ask(windows, whole)
    assert first.equals(whole.take(slice(len(whole) - 14, None)))
    new = later.take(slice(len(later) - 1, None))
    second = ask(windows, new, int(whole.opened_at[-1]), lookback=len(first))
    assert second.opened_at[-1] == later.opened_at[-1]
    assert second.take(slice(1, None)).equals(later.take(slice(len(later) - len(second) + 1, None)))


def test_a_window_one_bar_short_is_refused_and_not_kept() -> None:
    windows = Windows(5)
    assert slug(ask, windows, window_ending(1400).take(slice(0, 11))) == "window_too_short"
    assert len(windows) == 0


def test_broken_bars_are_refused_field_by_field_and_nothing_is_kept() -> None:
    windows, whole = Windows(5), window_ending(1400)
    high = whole.high.copy()
    high[3] = 0.5 * whole.low[3]
    with pytest.raises(Problem) as refused:
        ask(windows, changed(whole, high=high))
    assert refused.value.slug == "bars_refused"
    assert refused.value.errors is not None
    assert {(error.field, error.constraint) for error in refused.value.errors} >= {("high", "high_over_low")}
    assert all(error.rows == [3] for error in refused.value.errors)
    assert len(windows) == 0


@pytest.mark.parametrize(
    ("values", "constraint"),
    [
        ({"close": [float("nan")]}, "close_present"),
        ({"volume": [-1.0]}, "volume_not_negative"),
        ({"volume": [float("inf")]}, "volume_finite"),
        ({"opened_at": [7]}, "on_grid"),
        ({"low": [0.0]}, "low_positive"),
    ],
)
def test_one_broken_new_bar_is_refused_and_the_window_stays(values: dict[str, list[float]], constraint: str) -> None:
    windows, whole, later = Windows(5), window_ending(1400), window_ending(1401)
    ask(windows, whole)
    new, after = later.take(slice(len(later) - 1, None)), int(whole.opened_at[-1])
    with pytest.raises(Problem) as refused:
        ask(windows, changed(new, **values), after)
    assert refused.value.errors is not None
    assert constraint in {error.constraint for error in refused.value.errors}
    assert ask(windows, new, after).opened_at[-1] == new.opened_at[0]


def test_a_bar_that_has_not_closed_is_refused() -> None:
    windows, whole = Windows(5), window_ending(1400)
    closed_at = int(whole.closed_at[-1])
    with pytest.raises(Problem) as refused:
        ask(windows, whole, as_of_ms=closed_at - 1)
    assert refused.value.errors is not None
    assert [error.constraint for error in refused.value.errors] == ["finished"]
    assert len(ask(windows, whole, as_of_ms=closed_at))


def test_new_bars_must_open_after_the_one_they_follow() -> None:
    windows, whole = Windows(5), window_ending(1400)
    ask(windows, whole)
    for count in (1, 2):
        with pytest.raises(Problem) as refused:
            ask(windows, whole.take(slice(len(whole) - count, None)), int(whole.opened_at[-1]))
        assert refused.value.slug == "bars_refused"
        assert refused.value.errors is not None
        assert refused.value.errors[-1].constraint == "ascending"


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_of_two_lengths_are_refused(name: str) -> None:
    fields = {column: getattr(window_ending(1400), column).tolist() for column in COLUMNS}
    fields[name] = fields[name][1:]
    item = Item(SYMBOL, msgspec.convert(fields, BarColumns))
    assert slug(window_of, item, KEY, Windows(5), FIVE, 20, 20, 2**60) == "bars_refused"


def test_no_bars_and_times_beyond_all_bounds_are_refused() -> None:
    empty = Item(SYMBOL, BarColumns([], [], [], [], [], []))
    assert slug(window_of, empty, KEY, Windows(5), FIVE, 20, 20, 2**60) == "bars_refused"
    far = Item(SYMBOL, BarColumns([2**63], [1.0], [1.0], [1.0], [1.0], [1.0]))
    assert slug(window_of, far, KEY, Windows(5), FIVE, 1, 1, 2**60) == "bars_refused"
    assert (
        slug(window_of, msgspec.structs.replace(far, after=1), KEY, Windows(5), FIVE, 1, 1, 2**60) == "window_unknown"
    )


@pytest.mark.parametrize(
    ("position", "fields"),
    [
        (Position(1, 0.0, 1), ["position.entry_price"]),
        (Position(-1, -5.0, 3), ["position.entry_price"]),
        (Position(1, 100.0, 0), ["position.bars_held"]),
        (Position(1, 0.0, 0), ["position.entry_price", "position.bars_held"]),
    ],
)
def test_a_position_that_no_policy_can_judge_is_refused(position: Position, fields: list[str]) -> None:
    with pytest.raises(Problem) as refused:
        require_usable(position)
    assert refused.value.slug == "position_refused"
    assert refused.value.errors is not None
    assert [error.field for error in refused.value.errors] == fields


def test_sound_positions_pass() -> None:
    for position in (Position(0), Position(1, 100.0, 1), Position(-1, 0.5, 400)):
        require_usable(position)
