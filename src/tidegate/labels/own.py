"""Labels by a function of the user's own: it says where a trade ends, and tidegate judges the trade."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tidegate.bars.bars import Bars, Floats, Times, iso
from tidegate.errors import ConfigurationError
from tidegate.strategy.own import own_function
from tidegate.strategy.strategy import Costs
from tidegate.strategy.strategy import Labels as LabelRule

_SETTING = "labels.method"
# A price that is computed from the bar's own, such as entry times (1 + x), may lie beside it by rounding.
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Exits:
    """Where a long entry at the open after each of n bars ends. What the user's function gives.

    Attributes:
        row: (n,) int64, row of the bar in which it ends, after the signal's; n where these bars do not hold its end.
        price: (n,) float64, of its exit, within that bar; NaN where it does not end.
    """

    row: Times
    price: Floats


def exits(bars: Bars, rule: LabelRule, costs: Costs) -> Exits:
    """Ask the user's function, and hold it to what a trade can be.

    Args:
        bars: n bars, ascending, validated.
        rule: with `module:function` as its method.
        costs: handed on.
    Returns:
        its exits, unknown before the first `lookback` bars are there.
    Raises:
        ConfigurationError: the function cannot be imported, gives something else, ends a trade before its entry or after
            `horizon_bars`, or at a price that its bar did not have.
    """
    found = own_function(rule.method, "label function", _SETTING)(bars, rule, costs)
    if not isinstance(found, Exits):
        raise _wrong(rule, f"gives {type(found).__name__}", "tidegate.labels.own.Exits", type(found).__name__)
    row, price, n = np.asarray(found.row), np.asarray(found.price, dtype=np.float64), len(bars)
    if row.shape != (n,) or price.shape != (n,) or row.dtype.kind not in "iu":
        raise _wrong(rule, "gives other arrays", f"({n},) integers and ({n},) floats", f"{row.shape} {row.dtype}, {price.shape}")  # fmt: skip
    row = np.where(np.arange(n) < (rule.lookback or 1) - 1, n, row).astype(np.int64)
    _hold_to_trades(bars, rule, row, price)
    return Exits(row, np.where(row < n, price, np.nan))


def _hold_to_trades(bars: Bars, rule: LabelRule, row: Times, price: Floats) -> None:
    n, signal = len(bars), np.arange(len(bars))
    ended = row < n
    at = np.where(ended, row, 0)
    with np.errstate(invalid="ignore"):
        outside = ~((price >= bars.low[at] * (1 - _ROUNDING)) & (price <= bars.high[at] * (1 + _ROUNDING)))
    for wrong, what, expected in (
        (row > n, "ends a trade in a bar that is not there", f"a row up to {n - 1}, or {n} for none"),
        (ended & (row <= signal), "ends a trade before its entry", "a row after the signal's"),
        (ended & (row > signal + rule.horizon_bars + 1), "holds a trade too long", f"at most {rule.horizon_bars} bars after the entry (labels.horizon_bars)"),
        (ended & outside, "ends a trade at a price that its bar did not have", "a price from the bar's low to its high"),
    ):  # fmt: skip
        if wrong.any():
            _raise_first(bars, rule, row, price, wrong, what, expected)


def _raise_first(
    bars: Bars, rule: LabelRule, row: Times, price: Floats, wrong: NDArray[np.bool_], what: str, expected: str
) -> None:
    first = int(np.argmax(wrong))
    raise _wrong(
        rule,
        f"{what}: {int(wrong.sum())} times, first after the bar of {iso(int(bars.opened_at[first]))}",
        expected,
        f"signal in row {first}, end in row {int(row[first])} at {float(price[first]):.10g}",
    )


def gain_again(bars: Bars, row: int, end_row: int, rule: LabelRule, costs: Costs) -> float | None:
    """Gain of one outcome as its own bars alone tell it, the leak check's second opinion.

    The function sees the bars that it may look back on up to the one in which the trade ends. Without that last bar it must not know
    the outcome; with it, it must.

    Args:
        bars: n bars, ascending.
        row: of the signal.
        end_row: of the bar in which the trade ends.
        rule: with `module:function` as its method.
        costs: handed on.
    Returns:
        simple return before costs; None where the outcome is known too early, too late, or not in that bar.
    """
    start = row - (rule.lookback or 1) + 1
    signal, end = row - start, end_row - start
    without = exits(bars.take(slice(start, end_row)), rule, costs)
    told = exits(bars.take(slice(start, end_row + 1)), rule, costs)
    if without.row[signal] < end or told.row[signal] != end:
        return None
    return float(told.price[signal] / bars.open[row + 1]) - 1.0


def _wrong(rule: LabelRule, what: str, expected: str, actual: str) -> ConfigurationError:
    return ConfigurationError(
        f"label function {rule.method} {what}",
        expected=expected,
        actual=actual,
        setting=_SETTING,
        next_step="correct the function; docs/own-labels.md says what it is to give",
    )
