"""Formulas over one series of net returns a period or one list of trade profits. NaN wherever a formula has nothing to stand on."""

import math
from typing import Final

import numpy as np

from tidegate.backtest.result import Floats

NAN: Final = float("nan")
Z_95: Final = 1.959963984540054
_FLAT: Final = 1e-12
"""A standard deviation of returns under this is rounding, not risk."""


def sharpe(returns: Floats, periods_per_year: float) -> float:
    """Annual Sharpe ratio: mean over standard deviation (n - 1), times the root of the periods a year; no risk-free rate.

    NaN with fewer than two returns, or without any variation.
    """
    spread = _spread(returns)
    return float(np.mean(returns)) / spread * math.sqrt(periods_per_year) if spread else NAN


def sharpe_standard_error(returns: Floats, periods_per_year: float) -> float:
    """Standard error of the annual Sharpe ratio, for returns that are neither normal nor independent.

    The estimator's influence is psi = z - SR / 2 * (z^2 - 1) with z the standardised return. Its variance is Mertens' formula
    1 - SR g3 + SR^2 (g4 - 1) / 4; its autocovariances, with Bartlett weights up to lag 4 (n / 100)^(2/9), add what Lo's estimator
    adds when returns follow from one another.

    NaN where the Sharpe ratio is.

    Source: Mertens 2002; Lo 2002, "The statistics of Sharpe ratios"; Newey, West 1994 for the lag.
    """
    if not _spread(returns):
        return NAN
    n = len(returns)
    z = (returns - np.mean(returns)) / np.std(returns)
    ratio = float(np.mean(returns) / np.std(returns))
    psi = z - ratio / 2.0 * (z**2 - 1.0)
    lags = min(n - 1, int(4.0 * (n / 100.0) ** (2.0 / 9.0)))
    variance = float(np.mean(psi**2))
    for lag in range(1, lags + 1):
        variance += 2.0 * (1.0 - lag / (lags + 1.0)) * float(np.sum(psi[lag:] * psi[:-lag])) / n
    return math.sqrt(max(variance, 0.0) / n * periods_per_year)


def sortino(returns: Floats, periods_per_year: float) -> float:
    """Annual Sortino ratio: mean over the root mean square of the losses, over all periods, target zero; NaN without losses."""
    if len(returns) == 0:
        return NAN
    downside = math.sqrt(float(np.mean(np.minimum(returns, 0.0) ** 2)))
    return float(np.mean(returns)) / downside * math.sqrt(periods_per_year) if downside > _FLAT else NAN


def max_drawdown(equity: Floats, equity_low: Floats, capital: float) -> float:
    """Largest loss from a peak, as a fraction of that peak.

    The peak is the highest equity at any earlier close, the capital at the start included; the loss is judged at the worst moment
    inside each bar. Above 1 when more than the peak was lost; NaN where an equity is.
    """
    if len(equity) == 0:
        return NAN
    peak = np.maximum.accumulate(np.concatenate(([capital], equity[:-1])))
    return float(np.maximum(0.0, np.max((peak - equity_low) / peak)))


def wilson_interval(wins: int, n: int, z: float = Z_95) -> tuple[float, float]:
    """Interval of a share, by Wilson 1927, for a normal quantile: of 95 % by default; NaN, NaN for nothing counted."""
    if n == 0:
        return NAN, NAN
    share, z2 = wins / n, z**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = z * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return max(0.0, centre - half), min(1.0, centre + half)


def win_rate(net_pnl: Floats) -> float:
    """Share of trades with a profit after costs; a profit of exactly nothing is a loss. NaN without trades."""
    return float(np.mean(net_pnl > 0)) if len(net_pnl) else NAN


def profit_factor(net_pnl: Floats) -> float:
    """Sum of the profits over the sum of the losses.

    Infinite when there are profits and no losses: that is what it is, and gates refuse what is not finite, so a tiny perfect sample
    never passes by it. NaN without trades or when all trades made exactly nothing.
    """
    won = float(net_pnl[net_pnl > 0].sum())
    lost = -float(net_pnl[net_pnl < 0].sum())
    if lost > 0:
        return won / lost
    return math.inf if won > 0 else NAN


def payoff_ratio(net_pnl: Floats) -> float:
    """Mean profit of the winners over the mean loss of the losers; NaN when either is missing or losers lost nothing."""
    winners, losers = net_pnl[net_pnl > 0], net_pnl[net_pnl <= 0]
    if len(winners) == 0 or not np.any(losers < 0):
        return NAN
    return float(winners.mean() / -losers.mean())


def _spread(returns: Floats) -> float:
    """Standard deviation (n - 1), or 0 where it means nothing."""
    if len(returns) < 2 or not np.isfinite(returns).all():
        return 0.0
    spread = float(np.std(returns, ddof=1))
    return spread if spread > _FLAT else 0.0
