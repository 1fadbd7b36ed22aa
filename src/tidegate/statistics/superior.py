"""Whether the best of many strategies beats the benchmark by more than the best of many would by luck."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tidegate.backtest.ratios import NAN
from tidegate.backtest.result import Floats
from tidegate.errors import DataError
from tidegate.statistics.bootstrap import MOST_UNITS, block_length, resamples, times_drawn

FloatMatrix = NDArray[np.float64]
_LEAST: Final = 1e-12


@dataclass(frozen=True, slots=True)
class Superior:
    """Test for superior predictive ability.

    Attributes:
        lower, consistent, upper: p-values of "no challenger earns more than the benchmark"; `consistent` is the one to use, the others
            bound it.
        best: column of the challenger with the highest studentised mean; -1 where none can be judged.
        n: periods.
        k: challengers, those that cannot be judged included.
    """

    lower: float
    consistent: float
    upper: float
    best: int
    n: int
    k: int


def superior_ability(benchmark: Floats, challengers: FloatMatrix, *, seed: int, draws: int = 1000) -> Superior:
    """Hansen's test on the stationary bootstrap, studentised anew in each resample.

    A resample's standard error is the record's, times the ratio of their standard deviations: the losses that a short record has by luck
    seen too few of are then missing from numerator and denominator alike. Beyond 2,000 periods, sums over equal runs of them are drawn,
    which have the same means and keep more dependence, not less.

    Args:
        benchmark: (n,) net returns.
        challengers: (n, k) net returns of the same periods.
        seed: same seed, same p-values.
        draws: resamples.
    Returns:
        NaN p-values where no challenger differs from the benchmark by a finite, varying amount, or fewer than three periods are given.
    Raises:
        DataError: the shapes do not fit.
    Source: Hansen 2005, "A test for superior predictive ability". Not by `arch.bootstrap.SPA`, which does not divide by the
        standard errors.
    """
    if challengers.ndim != 2 or benchmark.shape != challengers.shape[:1]:
        raise DataError(
            "returns of challengers and benchmark do not fit",
            expected=f"({len(benchmark)}, k)",
            actual=challengers.shape,
        )
    periods, k = challengers.shape
    excess = _in_runs(challengers - benchmark[:, None])
    n = len(excess)
    finite = np.isfinite(excess).all(axis=0)
    judged = (
        np.flatnonzero(finite & (np.std(np.where(finite, excess, 0.0), axis=0) > _LEAST)) if n > 2 else np.empty(0, int)
    )
    if not len(judged):
        return Superior(NAN, NAN, NAN, -1, periods, k)
    excess = excess[:, judged]
    block = max(block_length(column) for column in excess.T)
    error = _standard_errors(excess, block)
    mean = excess.mean(axis=0)
    observed = max(float(np.max(mean / error)), 0.0)
    bound = -math.sqrt(2.0 * math.log(max(math.log(n), 1.0)))
    centres = np.stack((np.maximum(mean, 0.0), np.where(mean / error >= bound, mean, 0.0), mean))
    exceeding = np.zeros(3)
    for rows in resamples(n, block, draws, np.random.default_rng(seed)):
        distances = _distances(times_drawn(rows, n) / n, excess, error)
        for row, centre in enumerate(centres):
            highest = np.maximum(distances(centre).max(axis=1), 0.0)
            exceeding[row] += np.sum(highest >= observed)
    lower, consistent, upper = ((1.0 + exceeding) / (1.0 + draws)).tolist()
    return Superior(lower, consistent, upper, int(judged[np.argmax(mean / error)]), periods, k)


def _in_runs(excess: FloatMatrix) -> FloatMatrix:
    """Sums of equally many periods each, the last perhaps of fewer, so that no more than 2,000 units are drawn."""
    run = -(-len(excess) // MOST_UNITS)
    return excess if run <= 1 else np.asarray(np.add.reduceat(excess, np.arange(0, len(excess), run)), np.float64)


def _distances(weights: FloatMatrix, excess: FloatMatrix, error: Floats) -> Callable[[Floats], FloatMatrix]:
    """Of the resamples' means from a centre, (draws, k), in their own standard errors; infinite where a resample does not vary."""
    means = weights @ excess
    spread = np.sqrt(np.maximum(weights @ excess**2 - means**2, 0.0)) / np.std(excess, axis=0)
    varies = spread > _LEAST
    own = error * np.where(varies, spread, 1.0)
    return lambda centre: np.where(varies, (means - centre) / own, np.inf)


def _standard_errors(excess: FloatMatrix, block: float) -> Floats:
    """(k,) of the means, as the stationary bootstrap has them on average: autocovariances with its own weights."""
    n = len(excess)
    spectrum = np.fft.rfft(excess - excess.mean(axis=0), 2 * n, axis=0)
    covariances = np.fft.irfft(np.abs(spectrum) ** 2, axis=0)[:n] / n
    lag, stays = np.arange(n), 1.0 - 1.0 / block
    weights = (1.0 - lag / n) * stays**lag + lag / n * stays ** (n - lag)
    weights[0] = 0.5
    variance = 2.0 * weights @ covariances
    return np.asarray(np.sqrt(np.maximum(variance, _LEAST**2) / n), np.float64)
