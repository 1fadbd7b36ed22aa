"""Windows drawn from a reference in blocks, so that what follows on itself keeps doing so in the draw.

Features of bars remember: a quiet week is quiet in each of its minutes. Tests that count each row as news find drift in every week.
Drawn in blocks that are as long as the memory asks for, a window varies as much as real ones do (Kuensch 1989; Politis and Romano 1992,
circular).
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tidegate.backtest.result import Floats

Counts = NDArray[np.int64]
_QUIET_LAGS: Final = 5  # autocorrelations in a row that must be small before the memory counts as over
_ROUNDING: Final = 1e-9  # of the values: what varies less is constant
_BLOCKS_AT_MOST: Final = 200  # in one drawn window; more would only take time


def block_length(series: Floats) -> float:
    """Length of blocks that estimates the variance of the mean best, for the circular block bootstrap.

    Args:
        series: (t,) finite, in order of time.
    Returns:
        rows, >= 1; 1 where nothing varies.
    Source: Politis and White 2004 with the correction of Patton, Politis and White 2009; flat-top lag window of Politis and Romano
    1995. The memory is looked for up to a quarter of the series rather than its square root, which is too short for features of bars.
    """
    t = len(series)
    if t < 2 * _QUIET_LAGS or np.ptp(series) <= _ROUNDING * np.abs(series).max():
        return 1.0
    covariance = _autocovariance(series)
    small = 2.0 * math.sqrt(math.log10(t) / t)
    loud = np.flatnonzero(np.abs(covariance[1:] / covariance[0]) >= small) + 1
    gaps = np.diff(np.concatenate(([0], loud, [t + _QUIET_LAGS + 1])))
    memory = int(np.concatenate(([0], loud))[np.argmax(gaps > _QUIET_LAGS)])
    lags = np.arange(1, min(max(2 * memory, 1), t // 4) + 1)
    weight = np.clip(2.0 * (1.0 - lags / max(2 * memory, 1)), 0.0, 1.0)
    spread = covariance[0] + 2.0 * float(np.sum(weight * covariance[lags]))
    slope = 2.0 * float(np.sum(weight * lags * covariance[lags]))
    if spread <= 0:
        return 1.0
    return max(1.0, math.cbrt(2.0 * slope**2 / (4.0 / 3.0 * spread**2) * t))


def drawn_counts(counts: Counts, steps: int, length: int, windows: int, generator: np.random.Generator) -> Counts:
    """Bin counts of windows drawn from a reference, block by block, around its end as well.

    Args:
        counts: (t, b) rows of the reference in each bin at each time step.
        steps: time steps of a window, >= 1.
        length: of a block, in time steps, >= 1. It is raised where a window would take more than 200 blocks.
        windows: how many.
        generator: seeded.
    Returns:
        (windows, b).
    """
    length = max(length, -(-steps // _BLOCKS_AT_MOST))
    blocks, last = divmod(steps, length)
    spans = np.array([length] * blocks + [last] * (last > 0))
    twice = np.concatenate((np.zeros((1, counts.shape[1]), counts.dtype), np.cumsum(np.tile(counts, (2, 1)), axis=0)))
    starts = generator.integers(0, len(counts), size=(windows, len(spans)))
    found = np.zeros((windows, counts.shape[1]), counts.dtype)
    for block, span in enumerate(spans):
        found += twice[starts[:, block] + span] - twice[starts[:, block]]
    return found


def _autocovariance(series: Floats) -> Floats:
    """(t,) autocovariances from lag 0, by FFT."""
    t = len(series)
    size = 1 << (2 * t - 1).bit_length()
    spectrum = np.fft.rfft(series - series.mean(), size)
    return np.asarray(np.fft.irfft(spectrum * spectrum.conj(), size)[:t] / t)
