"""Label functions as a user might write them, and some that no trade can follow; each is named `module:function` in a rule."""

import numpy as np

from tidegate.bars.bars import Bars
from tidegate.labels.own import Exits
from tidegate.strategy.strategy import Costs, Labels

TRAIL = 0.01


def trailing_stop(bars: Bars, rule: Labels, _costs: Costs) -> Exits:
    """Leaves at the close that lies one percent under the best close since the signal, at the latest after the holding time."""
    n = len(bars)
    row, price = np.full(n, n), np.full(n, np.nan)
    waiting, best = np.arange(n), bars.close.copy()
    for step in range(1, rule.horizon_bars + 1):
        waiting = waiting[waiting + step < n]
        close = bars.close[waiting + step]
        best[waiting] = np.maximum(best[waiting], close)
        leaves = (close <= best[waiting] * (1 - TRAIL)) | (step == rule.horizon_bars)
        row[waiting[leaves]] = waiting[leaves] + step
        price[waiting[leaves]] = close[leaves]
        waiting = waiting[~leaves]
    return Exits(row, price)


def before_the_entry(bars: Bars, _rule: Labels, _costs: Costs) -> Exits:
    """Leaves at the signal's own close."""
    return Exits(np.arange(len(bars)), bars.close)


def too_long(bars: Bars, rule: Labels, _costs: Costs) -> Exits:
    """Leaves two bars after the holding time."""
    n = len(bars)
    row = np.minimum(np.arange(n) + rule.horizon_bars + 2, n)
    return Exits(row, np.append(bars.close, np.nan)[row])


def above_the_high(bars: Bars, _rule: Labels, _costs: Costs) -> Exits:
    """Leaves at a price that nobody paid."""
    n = len(bars)
    row = np.minimum(np.arange(n) + 1, n)
    return Exits(row, np.append(bars.high * 1.01, np.nan)[row])


def at_no_price(bars: Bars, _rule: Labels, _costs: Costs) -> Exits:
    """Knows when, and not at which price."""
    n = len(bars)
    return Exits(np.minimum(np.arange(n) + 1, n), np.full(n, np.nan))


def beyond_the_end(bars: Bars, _rule: Labels, _costs: Costs) -> Exits:
    """Leaves in bars that are not there."""
    n = len(bars)
    return Exits(np.arange(n) + 2, np.full(n, 100.0))


def one_too_few(bars: Bars, _rule: Labels, _costs: Costs) -> Exits:
    """Forgets a bar."""
    return Exits(np.arange(len(bars) - 1) + 1, bars.close[1:])


def as_floats(bars: Bars, _rule: Labels, _costs: Costs) -> Exits:
    """Gives rows that are no integers."""
    return Exits(np.arange(len(bars)) + 1.0, bars.close)  # type: ignore[arg-type]


def something_else(bars: Bars, _rule: Labels, _costs: Costs) -> tuple[int, int]:
    """Gives no exits."""
    return len(bars), 0
