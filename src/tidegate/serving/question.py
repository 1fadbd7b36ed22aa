"""One symbol's question: from typed JSON to a validated window, by the same constraint table as the validation."""

from typing import Final

import numpy as np

from tidegate.bars.bars import COLUMNS, Bars
from tidegate.bars.interval import Interval
from tidegate.serving.messages import BarColumns, FieldError, Item, Position
from tidegate.serving.problems import Problem
from tidegate.serving.windows import Key, Windows
from tidegate.validation.constraints import all_hold, bar_holds, violations

# Bars kept beyond the lookback, so that a retry of an earlier bar is still answered.
SPARE_BARS: Final = 32
_SHOWN_ROWS: Final = 5
_LARGEST: Final = 2**62


def window_of(
    item: Item, key: Key, windows: Windows, interval: Interval, lookback: int, longest: int, as_of_ms: int
) -> Bars:
    """The window that a question asks about, `lookback` to `longest` bars; new bars are kept for the next question.

    Args:
        item: the question.
        key: whose window of which strategy and symbol.
        windows: the kept windows.
        interval: the model's.
        lookback: bars that the model needs.
        longest: the most bars that any loaded model of the strategy needs.
        as_of_ms: bars that close later are refused.
    Raises:
        Problem: bars break a constraint, are too few, or do not follow the kept window.
    """
    columns = item.bars
    count = len(columns.opened_at)
    if item.after is None:
        bars = _bars(item.symbol, interval, columns, count)
        if not all_hold(bars, as_of_ms):
            raise _refused(bars, as_of_ms)
        if count < lookback:
            raise Problem("window_too_short", f"{count} bars were sent, the model needs {lookback}")
        windows.replace(key, bars, longest + SPARE_BARS)
        return newest(bars, longest)
    kept = windows.find(key, interval)
    if count == 1 and len(kept) >= lookback and _one_bar_holds(item.after, columns, interval, as_of_ms):
        values = columns.open[0], columns.high[0], columns.low[0], columns.close[0], columns.volume[0]
        window = kept.accept_one(item.after, columns.opened_at[0], values, longest)
        if window is not None:
            return window
    new = _bars(item.symbol, interval, columns, count)
    if not all_hold(new, as_of_ms) or columns.opened_at[0] <= item.after:
        raise _refused(new, as_of_ms, item.after)
    return kept.accept(item.after, new, lookback, longest)


def _one_bar_holds(after: int, columns: BarColumns, interval: Interval, as_of_ms: int) -> bool:
    if not len(columns.open) == len(columns.high) == len(columns.low) == len(columns.close) == len(columns.volume) == 1:
        return False
    return bar_holds(
        interval.milliseconds,
        after,
        columns.opened_at[0],
        columns.open[0],
        columns.high[0],
        columns.low[0],
        columns.close[0],
        columns.volume[0],
        as_of_ms,
    )


def newest(bars: Bars, count: int) -> Bars:
    """The newest bars, at most `count` of them."""
    return bars if len(bars) <= count else bars.take(slice(len(bars) - count, None))


def require_usable(position: Position) -> None:
    """Refuse a position state that no policy can judge.

    Raises:
        Problem: a side without an entry price above zero, or without a held bar.
    """
    if position.side == 0:
        return
    wrong = []
    if not 0.0 < position.entry_price < np.inf:
        wrong.append(FieldError("position.entry_price", "positive", "a held position has an entry price above zero"))
    if position.bars_held < 1:
        wrong.append(FieldError("position.bars_held", "positive", "a held position has been held for one bar at least"))
    if wrong:
        raise Problem("position_refused", "send what is held at the newest bar's close", errors=wrong)


def _bars(symbol: str, interval: Interval, columns: BarColumns, count: int) -> Bars:
    lengths = {name: len(getattr(columns, name)) for name in COLUMNS}
    if count == 0 or len(set(lengths.values())) != 1:
        told = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise Problem("bars_refused", f"six columns of one length, at least 1, are expected; were {told}")
    if max(columns.opened_at) > _LARGEST or min(columns.opened_at) < -_LARGEST:
        error = FieldError("opened_at", "present", "opening times are UTC milliseconds")
        raise Problem("bars_refused", "an opening time is out of all bounds", errors=[error])
    return Bars(
        symbol,
        interval,
        np.array(columns.opened_at, np.int64),
        np.array(columns.open, np.float64),
        np.array(columns.high, np.float64),
        np.array(columns.low, np.float64),
        np.array(columns.close, np.float64),
        np.array(columns.volume, np.float64),
    )


def _refused(bars: Bars, as_of_ms: int, after: int | None = None) -> Problem:
    errors = [
        FieldError(
            violation.field,
            violation.constraint.name,
            violation.constraint.description,
            violation.rows[:_SHOWN_ROWS].tolist(),
        )
        for violation in violations(bars, as_of_ms)
    ]
    if after is not None and bars.opened_at[0] <= after:
        errors.append(FieldError("opened_at", "ascending", "new bars open later than the bar named by `after`", [0]))
    return Problem("bars_refused", f"{len(errors)} constraints are broken; nothing was kept", errors=errors)
