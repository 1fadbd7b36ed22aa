"""How far two backtests of the same bars lie apart: the measure behind the gate `engines_agree`."""

import math
from typing import Final

import numpy as np

from tidegate.backtest.result import Backtest, Trades

_FLOOR: Final = 1e-4
_MONEY: Final = ("equity", "equity_low", "gross_pnl", "cost", "net_pnl")
_SERIES: Final = ("position", "net_return", "cost", "turnover", "equity", "equity_low", "market_return")
_EXACT: Final = ("symbol", "side", "entry_at", "exit_at", "signal_at", "bars_held", "regime", "forced_exit")


def difference(a: Backtest, b: Backtest) -> float:
    """The largest relative difference over all series and trade columns.

    Each column is compared against its own largest value, at least one basis point (of the capital, for money): two engines' rounding
    of a profit of nothing is no difference.

    Returns:
        0 for equal; infinite where anything is NaN or infinite, or where times, sides or the number of trades differ.
    """
    if a.capital != b.capital or len(a) != len(b) or len(a.trades) != len(b.trades):
        return math.inf
    same = all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ("opened_at", "closed_at", "regime"))
    if not same or not all(np.array_equal(getattr(a.trades, name), getattr(b.trades, name)) for name in _EXACT):
        return math.inf
    inexact = [name for name in Trades.names() if name not in _EXACT]
    pairs = [(name, getattr(a, name), getattr(b, name), False) for name in _SERIES]
    pairs += [(name, getattr(a.trades, name), getattr(b.trades, name), True) for name in inexact]
    largest = 0.0
    for name, left, right, of_trade in pairs:
        if not len(left):
            continue
        if not (np.isfinite(left).all() and np.isfinite(right).all()):
            return math.inf
        money = name in _MONEY and (of_trade or name != "cost")
        floor = _FLOOR * (a.capital if money else 1.0)
        if name in {"entry_price", "exit_price", "units"}:
            floor = np.finfo(float).tiny
        scale = max(float(np.abs(left).max()), float(np.abs(right).max()), floor)
        largest = max(largest, float(np.abs(left - right).max()) / scale)
    return largest
