"""What both engines refuse to run on."""

import math

import numpy as np

from tidegate.backtest.result import Sides
from tidegate.bars.bars import PRICES, Bars
from tidegate.errors import DataError
from tidegate.strategy.strategy import Costs


def check_inputs(bars: Bars, target: Sides, costs: Costs, capital: float, regime: Sides, multiplier: float) -> None:
    """Refuse inputs from which no honest result can come.

    Args:
        bars: n bars, ascending; gaps are fine, an open that jumps is what the market did.
        target: (n,) in {-1, 0, 1}.
        costs: per side.
        capital: quote currency.
        regime: (n,) small integers.
        multiplier: of all costs.
    Raises:
        DataError: no bars, wrong shapes, a target that is no side, times that do not ascend, prices that are not finite and
            above zero, a capital that is not above zero, or costs below zero.
    """
    n = len(bars)
    where = f"backtest of {bars.symbol}"
    if n == 0:
        raise DataError(f"{where} has no bars", expected="at least one bar", actual=0)
    for name, column in (("target", target), ("regime", regime)):
        if np.shape(column) != (n,):
            raise DataError(f"{where}: {name} does not fit the bars", expected=f"shape ({n},)", actual=np.shape(column))
    if not np.isin(target, (-1, 0, 1)).all():
        raise DataError(f"{where}: target holds something else than a side", expected="-1, 0 or 1")
    if np.any(np.diff(bars.opened_at) <= 0):
        raise DataError(f"{where}: bars do not ascend in time", next_step="validate the bars first")
    _check_prices(bars, where)
    if not (math.isfinite(capital) and capital > 0):
        raise DataError(f"{where}: capital is not usable", expected="finite and > 0", actual=capital)
    if not (math.isfinite(multiplier) and multiplier >= 0):
        raise DataError(f"{where}: cost multiplier is not usable", expected="finite and >= 0", actual=multiplier)
    parts = (costs.side_bps, costs.impact_coefficient)
    if not all(math.isfinite(part) and part >= 0 for part in parts):
        raise DataError(f"{where}: costs are not usable", expected="finite and >= 0", actual=parts)


def _check_prices(bars: Bars, where: str) -> None:
    for name in PRICES:
        prices = getattr(bars, name)
        unusable = ~(np.isfinite(prices) & (prices > 0))
        if unusable.any():
            row = int(np.argmax(unusable))
            raise DataError(
                f"{where}: {name} of bar {row} is no price",
                expected="finite and > 0",
                actual=float(prices[row]),
                next_step="validate the bars first",
            )


def check_rate(symbol: str, rate: float) -> None:
    """Refuse an order that would cost all it trades.

    Raises:
        DataError: the rate is not below 1.
    """
    if not rate < 1.0:
        raise DataError(
            f"backtest of {symbol}: an order costs as much as it trades",
            expected="a cost per side < 1 of the traded value",
            actual=rate,
            next_step="lower costs.impact_coefficient or the capital, or do not trade a market with so little volume",
        )
