"""The formulas of `backtest.ratios` and `statistics` over the rows of a matrix: one series of daily returns a world, all worlds at once.

Tests hold them to the originals. NaN wherever an original is.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from tidegate.backtest.ratios import Z_95
from tidegate.calibration.draws import Values

Row = NDArray[np.float64]
_FLAT: Final = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Ratios:
    """Of (w, n) returns, (w,) each: per period unless said otherwise.

    Attributes:
        n: number of returns.
        mean: mean return.
        annual: annual Sharpe ratio (n - 1).
        error: its standard error, with skew, tails and autocorrelation.
        skewness, kurtosis: of the standardised returns, over n.
    """

    n: int
    mean: Row
    annual: Row
    error: Row
    skewness: Row
    kurtosis: Row


def ratios(returns: Values, periods_per_year: float) -> Ratios:
    """Sharpe ratio, its standard error and higher moments of each row of (w, n) returns."""
    n = returns.shape[1]
    mean = returns.mean(axis=1, dtype=np.float64)
    off = returns - mean[:, np.newaxis].astype(np.float32)
    variance = np.einsum("ij,ij->i", off, off, dtype=np.float64) / n
    spread = np.sqrt(variance)
    usable = (spread * np.sqrt(n / max(n - 1, 1)) > _FLAT) & (n > 1)
    safe = np.where(usable, spread, np.nan)
    z = off / safe[:, np.newaxis].astype(np.float32)
    squared = z * z
    ratio = mean / safe
    return Ratios(
        n,
        mean,
        ratio * np.sqrt((n - 1) / n) * np.sqrt(periods_per_year),
        _error(z, squared, ratio, n, periods_per_year),
        np.einsum("ij,ij->i", squared, z, dtype=np.float64) / n,
        np.einsum("ij,ij->i", squared, squared, dtype=np.float64) / n,
    )


def _error(z: Values, squared: Values, ratio: Row, n: int, periods_per_year: float) -> Row:
    psi = z - (ratio / 2.0).astype(np.float32)[:, np.newaxis] * (squared - np.float32(1.0))
    lags = min(n - 1, int(4.0 * (n / 100.0) ** (2.0 / 9.0)))
    variance = np.einsum("ij,ij->i", psi, psi, dtype=np.float64) / n
    for lag in range(1, lags + 1):
        together = np.einsum("ij,ij->i", psi[:, lag:], psi[:, :-lag], dtype=np.float64) / n
        variance += 2.0 * (1.0 - lag / (lags + 1.0)) * together
    error: Row = np.sqrt(np.maximum(variance, 0.0) / n * periods_per_year)
    return error


def probability_above(found: Ratios, benchmark: float, periods_per_year: float) -> Row:
    """Probability that the true ratio exceeds `benchmark` (per period), as `statistics.sharpe.Moments.probability_above`."""
    ratio = found.annual / np.sqrt(periods_per_year)
    chance: Row = ndtr((ratio - benchmark) * np.sqrt(found.n - 1) / _spread(found, ratio))
    return chance


def track_record(found: Ratios, periods_per_year: float, z: float) -> Row:
    """Periods that a record needs to be above zero with a confidence of `z` standard errors; inf where it never is."""
    ratio = found.annual / np.sqrt(periods_per_year)
    needed: Row = np.where(ratio > 0, 1.0 + (_spread(found, ratio) * z / ratio) ** 2, np.inf)
    return np.where(np.isfinite(ratio), needed, np.nan)


def _spread(found: Ratios, ratio: Row) -> Row:
    squared = 1.0 - found.skewness * ratio + (found.kurtosis - 1.0) / 4.0 * ratio**2
    spread: Row = np.sqrt(np.where(squared > 0, squared, np.nan))
    return spread


def drawdown(returns: Values) -> Row:
    """Largest loss from a peak of each row, capital at the start included, of closes: as `ratios.max_drawdown` of fixed capital."""
    equity = np.cumsum(returns, axis=1, dtype=np.float32) + np.float32(1.0)
    peak = np.maximum(np.maximum.accumulate(equity, axis=1), np.float32(1.0))
    worst: Row = np.max((peak - equity) / peak, axis=1).astype(np.float64)
    return worst


def wilson(wins: Row, trades: Row) -> tuple[Row, Row]:
    """95 % intervals of shares, as `ratios.wilson_interval`; NaN without trades."""
    n = np.where(trades > 0, trades, np.nan)
    share, z2 = wins / n, Z_95**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_95 * np.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return np.maximum(0.0, centre - half), np.minimum(1.0, centre + half)


def divided(numerator: Row, denominator: Row) -> Row:
    """Quotients; NaN for nothing over nothing, inf for something over nothing."""
    with np.errstate(divide="ignore", invalid="ignore"):
        quotient: Row = np.divide(numerator, denominator)
    return quotient
