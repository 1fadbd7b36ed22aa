"""Whether one strategy's Sharpe ratio is higher than another's over the same periods."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from tidegate.backtest.ratios import NAN, sharpe
from tidegate.backtest.result import Floats
from tidegate.errors import DataError
from tidegate.statistics.bootstrap import MOST_UNITS, circular_block_length

_CHUNK: Final = 2_000_000
_LEAST: Final = 1e-12


@dataclass(frozen=True, slots=True)
class SharpeDifference:
    """Challenger less champion.

    Attributes:
        difference: of the annual Sharpe ratios.
        standard_error: its own, annual.
        p_value: two-sided, of "no difference".
        low, high: studentised bootstrap interval.
        n: periods.
    """

    difference: float
    standard_error: float
    p_value: float
    low: float
    high: float
    n: int


def sharpe_difference(
    challenger: Floats, champion: Floats, periods_per_year: float, *, seed: int, draws: int = 1000, level: float = 0.95
) -> SharpeDifference:
    """Test and interval of the difference of two annual Sharpe ratios, paired period by period.

    The standard error is that of the difference of the two influences, with Bartlett weights. The distribution of the studentised
    difference comes from the circular block bootstrap, whose own standard errors are those of its blocks' sums; blocks are so long that
    no more than 2,000 of them are drawn.

    Args:
        challenger: (n,) net returns.
        champion: (n,) net returns of the same periods.
        periods_per_year: periods a year.
        seed: same seed, same answer.
        draws: resamples.
        level: of the interval.
    Returns:
        NaN in all but n where either ratio is NaN or the two differ by nothing but a factor.
    Raises:
        DataError: the series have different lengths.
    Source: Ledoit, Wolf 2008, "Robust performance hypothesis testing with the Sharpe ratio".
    """
    if challenger.shape != champion.shape:
        raise DataError("returns to compare differ in length", expected=champion.shape, actual=challenger.shape)
    n = len(challenger)
    nothing = SharpeDifference(NAN, NAN, NAN, NAN, NAN, n)
    difference = sharpe(challenger, 1.0) - sharpe(champion, 1.0)
    if not math.isfinite(difference):
        return nothing
    influence = _influence(challenger) - _influence(champion)
    error = math.sqrt(max(_long_run_variance(influence), 0.0) / n)
    if error <= _LEAST:
        return nothing
    block = min(max(math.ceil(circular_block_length(influence)), -(-n // MOST_UNITS)), max(n // 2, 1))
    drawn = _studentised(np.stack((challenger, champion)), block, draws, np.random.default_rng(seed))
    extreme = np.where(np.isnan(drawn), np.inf, drawn)
    year = math.sqrt(periods_per_year)
    reach = float(np.quantile(extreme, level, method="higher")) * error
    return SharpeDifference(
        difference=difference * year,
        standard_error=error * year,
        p_value=float((1 + np.sum(extreme >= abs(difference) / error)) / (1 + draws)),
        low=(difference - reach) * year,
        high=(difference + reach) * year,
        n=n,
    )


def _influence(returns: Floats) -> Floats:
    """(n,) what each return adds to the ratio's error."""
    z = (returns - np.mean(returns)) / np.std(returns)
    ratio = float(np.mean(returns) / np.std(returns))
    return np.asarray(z - ratio / 2.0 * (z**2 - 1.0), np.float64)


def _long_run_variance(series: Floats) -> float:
    """Variance of sqrt(n) times the mean, with Bartlett weights up to lag 4 (n / 100)^(2/9)."""
    n = len(series)
    lags = min(n - 1, int(4.0 * (n / 100.0) ** (2.0 / 9.0)))
    variance = float(np.mean(series**2))
    for lag in range(1, lags + 1):
        variance += 2.0 * (1.0 - lag / (lags + 1.0)) * float(np.sum(series[lag:] * series[:-lag])) / n
    return variance


def _studentised(pair: Floats, block: int, draws: int, rng: np.random.Generator) -> Floats:
    """(draws,) distances of resampled differences from the observed one, in their own standard errors; NaN where there is none."""
    n = pair.shape[1]
    blocks = n // block
    values = np.concatenate((pair, pair**2)).T
    running = np.concatenate((np.zeros((1, 4)), np.cumsum(np.concatenate((values, values[: block - 1])), axis=0)))
    sums = running[block:] - running[:-block]
    observed = _difference(values.mean(axis=0))
    found = []
    at_once = max(1, _CHUNK // (4 * blocks))
    for begun in range(0, draws, at_once):
        starts = rng.integers(n, size=(min(at_once, draws - begun), blocks))
        drawn = sums[starts]
        means = drawn.mean(axis=1) / block
        centred = drawn - block * means[:, None, :]
        influences = np.einsum("dbm,dm->db", centred, _gradient(means))
        error = np.sqrt(np.mean(influences**2, axis=1) / block / (blocks * block))
        with np.errstate(invalid="ignore", divide="ignore"):
            found.append(np.where(error > _LEAST, np.abs(_difference(means) - observed) / error, NAN))
    return np.concatenate(found)


def _difference(means: Floats) -> Floats:
    """(...,) difference of the ratios from (..., 4) mean returns and mean squares of both."""
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = means[..., :2] / np.sqrt(means[..., 2:] - means[..., :2] ** 2)
    return np.asarray(ratios[..., 0] - ratios[..., 1], np.float64)


def _gradient(means: Floats) -> Floats:
    """(..., 4) derivative of the difference by the means and mean squares."""
    with np.errstate(invalid="ignore", divide="ignore"):
        cubed = (means[..., 2:] - means[..., :2] ** 2) ** 1.5
        by_mean, by_square = means[..., 2:] / cubed, -means[..., :2] / (2.0 * cubed)
    sign = np.array([1.0, -1.0])
    return np.concatenate((by_mean * sign, by_square * sign), axis=-1)
