"""A label judged by hand, one row at a time: the oracle for the fast labels, and the leak check's second opinion."""

from tidegate.bars.bars import Bars
from tidegate.strategy.strategy import Labels as LabelRule


def gain_of_row(bars: Bars, row: int, rule: LabelRule, width: float) -> float | None:
    """Gain of a long entry after bar `row`, looking at later bars only; None while it is not known.

    Args:
        bars: n bars, ascending.
        row: of the signal.
        rule: the strategy's label rule.
        width: barrier distance known at the row, as a fraction; not looked at for the fixed horizon.
    """
    last = row + rule.horizon_bars + 1
    if row + 1 >= len(bars):
        return None
    entry = float(bars.open[row + 1])
    if rule.method == "triple_barrier":
        upper, lower = entry * (1.0 + width), entry * (1.0 - width)
        for at in range(row + 1, min(last, len(bars))):
            opening, high, low = float(bars.open[at]), float(bars.high[at]), float(bars.low[at])
            if opening >= upper:
                return opening / entry - 1.0
            if low <= lower:
                return min(lower, opening) / entry - 1.0
            if high >= upper:
                return upper / entry - 1.0
    return float(bars.open[last]) / entry - 1.0 if last < len(bars) else None
