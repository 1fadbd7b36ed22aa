"""What a fill costs, and how much dearer trading may become before nothing is left.

One order's cost is a fraction of its traded value at the market's price::

    multiplier * ((fee_bps + half_spread_bps + slippage_bps) / 10_000 + Y * sigma * sqrt(Q / V))

Q is the order's units (a flip is one order: what it closes plus what it opens). sigma, the volatility of one bar, and V, a bar's mean
volume, are taken over the last `IMPACT_BARS` bars that were closed before the fill, fewer at the series' start: nothing is read that
was not known.
"""

import math
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from tidegate.backtest.result import Backtest, Floats
from tidegate.bars.bars import Bars
from tidegate.strategy.strategy import Costs

BPS: Final = 1e-4
IMPACT_BARS: Final = 96
MAX_PARTICIPATION: Final = 100.0
"""Q / V is cut here, and taken as this where no volume is known: ten bar volatilities, dear enough that a market without volume never looks cheap."""
STRESS_MULTIPLIERS: Final = (1.0, 1.5, 2.0)


def side_rates(bars: Bars, rows: NDArray[np.intp], units: Floats, costs: Costs, multiplier: float = 1.0) -> Floats:
    """Cost of orders as a fraction of their traded value.

    Args:
        bars: n bars.
        rows: (m,) in 1..n: an order at row i fills at the open of bar i, at row n at the last close; bars before it are known.
        units: (m,) traded units, > 0.
        costs: per side.
        multiplier: of the whole cost.
    Returns:
        (m,) float64, dimensionless, >= 0.
    Source: the square-root law: Almgren, Thum, Hauptmann, Li 2005.
    """
    rates = np.full(len(rows), costs.side_bps * BPS)
    if costs.impact_coefficient > 0 and len(rows):
        known = np.minimum(rows, IMPACT_BARS)
        previous = np.concatenate(([bars.open[0]], bars.close[:-1]))
        squared = np.log(bars.close / previous) ** 2
        sigma = np.sqrt(_trailing_sum(squared, rows) / known)
        volume = _trailing_sum(bars.volume, rows) / known
        share = np.divide(units, volume, out=np.full(len(rows), np.inf), where=volume > 0)
        rates += costs.impact_coefficient * sigma * np.sqrt(np.minimum(share, MAX_PARTICIPATION))
    return rates * multiplier


def _trailing_sum(values: Floats, rows: NDArray[np.intp]) -> Floats:
    # Summed window by window: a running sum would carry rounding from one busy bar into all later ones.
    padded = np.concatenate((np.zeros(IMPACT_BARS - 1), values))
    sums: Floats = sliding_window_view(padded, IMPACT_BARS)[rows - 1].sum(axis=-1)
    return sums


def break_even_multiple(backtest: Backtest) -> float:
    """The multiple of the costs paid at which the net profit of the same trades would be zero.

    Below zero: the trades lose even for nothing. NaN where no costs were paid, or too little for a finite multiple.
    """
    paid, gross = float(backtest.trades.cost.sum()), float(backtest.trades.gross_pnl.sum())
    multiple = gross / paid if paid > 0 else math.nan
    return multiple if math.isfinite(multiple) else math.nan


def stressed_returns(backtest: Backtest, multiplier: float) -> Floats:
    """(n,) net returns of the same fills if all costs had been `multiplier` times those paid."""
    return backtest.net_return - (multiplier - 1.0) * backtest.cost
