"""Nineteen of the built-in features in one numba pass over the bars: what features cost somebody who needs them once and for all rows alike."""

from typing import Any, Final

import numpy as np
from numba import njit

from tidegate.bars.bars import Bars
from tidegate.features.features import FeatureSet, resolve
from tidegate.strategy.strategy import FeatureUse

RETURNS: Final = (1, 3, 6, 12, 24, 48)
VOLATILITIES: Final = (12, 48, 96)
POSITIONS: Final = (12, 48, 96)
EFFICIENCIES: Final = (12, 48)
VOLUMES: Final = (24, 96)
SIGNED: Final = (3, 12, 24)
LENGTHS: Final = (RETURNS, VOLATILITIES, POSITIONS, EFFICIENCIES, VOLUMES, SIGNED)
FAMILIES: Final = ("return", "volatility", "range_position", "efficiency", "volume_z", "signed_volume")
COUNT: Final = sum(map(len, LENGTHS))


def same_features() -> FeatureSet:
    """The features that the pass computes, in its order."""
    return resolve([FeatureUse(use=use, lengths=lengths) for use, lengths in zip(FAMILIES, LENGTHS, strict=True)])


def one_pass(bars: Bars, lookback: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """(n, 19) features; NaN in the first `lookback` - 1 rows."""
    found: np.ndarray[Any, np.dtype[np.float64]] = _pass(
        bars.high, bars.low, bars.close, bars.volume, lookback, np.full((len(bars), COUNT), np.nan)
    )
    return found


@njit(cache=False)
def _pass(high, low, close, volume, lookback, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    n = len(close)
    log_close, log_volume, move = np.empty(n), np.empty(n), np.zeros(n)
    size, directed = np.zeros(n), np.zeros(n)
    for row in range(n):
        log_close[row], log_volume[row] = np.log(close[row]), np.log1p(volume[row])
        if row:
            move[row] = log_close[row] - log_close[row - 1]
            size[row], directed[row] = abs(move[row]), np.sign(move[row]) * volume[row]
    for row in range(lookback - 1, n):
        at = 0
        for length in RETURNS:
            out[row, at] = log_close[row] - log_close[row - length]
            at += 1
        for length in VOLATILITIES:
            out[row, at] = _spread(move, row, length)[1]
            at += 1
        for length in POSITIONS:
            out[row, at] = _position(high, low, close, row, length)
            at += 1
        for length in EFFICIENCIES:
            out[row, at] = _ratio(log_close[row] - log_close[row - length], _total(size, row, length))
            at += 1
        for length in VOLUMES:
            mean, std = _spread(log_volume, row, length)
            out[row, at] = _ratio(log_volume[row] - mean, std)
            at += 1
        for length in SIGNED:
            out[row, at] = _ratio(_total(directed, row, length), _total(volume, row, length))
            at += 1
    return out


@njit(cache=False)
def _position(high, low, close, row, length):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    lowest, highest = np.inf, -np.inf
    for bar in range(row - length + 1, row + 1):
        lowest, highest = min(lowest, low[bar]), max(highest, high[bar])
    return (close[row] - lowest) / (highest - lowest) if highest > lowest else 0.5


@njit(cache=False)
def _ratio(numerator, denominator):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    return numerator / denominator if denominator else 0.0


@njit(cache=False)
def _total(series, row, length):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    total = 0.0
    for bar in range(row - length + 1, row + 1):
        total += series[bar]
    return total


@njit(cache=False)
def _spread(series, row, length):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    mean = _total(series, row, length) / length
    squares = 0.0
    for bar in range(row - length + 1, row + 1):
        squares += (series[bar] - mean) ** 2
    return mean, np.sqrt(squares / length)
