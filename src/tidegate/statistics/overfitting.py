"""How often the trial that looked best in one half of the record lands in the worse half of the trials in the other."""

import itertools
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tidegate.backtest.ratios import NAN
from tidegate.backtest.result import Floats
from tidegate.errors import DataError

FloatMatrix = NDArray[np.float64]
_CHUNK: Final = 4_000_000  # splits times trials at once
_LEAST_ROWS: Final = 2  # a block


@dataclass(frozen=True, slots=True, eq=False)
class Overfitting:
    """Probability of backtest overfitting.

    Attributes:
        probability: share of the splits whose in-sample best lies below the out-of-sample median; exactly at it counts half.
        logits: (splits,) log odds of the best's relative rank out of sample; below 0 is below the median.
        splits: number of splits.
        trials: number of trials.
    """

    probability: float
    logits: Floats
    splits: int
    trials: int


def probability_of_overfitting(returns: FloatMatrix, blocks: int = 16) -> Overfitting:
    """Combinatorially symmetric cross-validation of the choice by Sharpe ratio.

    The record is cut into equal blocks; each choice of half of them is one in-sample set, the other half its out-of-sample set.
    Where blocks do not fill the record, the oldest rows are left out.

    Args:
        returns: (n, k) net returns of k trials over the same periods. A trial without a ratio is never the best in sample and the last
            out of sample.
        blocks: even, >= 2.
    Returns:
        probability NaN with fewer than two trials, fewer than two rows a block, or a return that is not finite.
    Raises:
        DataError: not a matrix, or blocks is not even and at least 2.
    Source: Bailey, Borwein, Lopez de Prado, Zhu 2015, "The probability of backtest overfitting".
    """
    if returns.ndim != 2:
        raise DataError("returns of trials are no matrix", expected="(n, k)", actual=returns.shape)
    if blocks < 2 or blocks % 2:
        raise DataError("blocks for the probability of overfitting", expected="even and at least 2", actual=blocks)
    n, k = returns.shape
    rows = n // blocks
    if k < 2 or rows < _LEAST_ROWS or not np.isfinite(returns).all():
        return Overfitting(NAN, np.empty(0), 0, k)
    pieces = returns[n - rows * blocks :].reshape(blocks, rows, k)
    sums, squares = pieces.sum(axis=1), (pieces**2).sum(axis=1)
    inside = _halves(blocks)
    at_once = max(1, _CHUNK // k)
    ranks = np.concatenate(
        [
            _rank_of_best(part, sums, squares, rows * blocks // 2)
            for part in np.split(inside, range(at_once, len(inside), at_once))
        ]
    )
    logits = np.log(ranks / (k + 1.0 - ranks))
    probability = float(np.mean(logits < 0) + np.mean(logits == 0) / 2.0) if np.isfinite(logits).all() else NAN
    return Overfitting(probability, logits, len(inside), k)


def _halves(blocks: int) -> Floats:
    """(splits, blocks) 1 for blocks in sample."""
    chosen = np.array(list(itertools.combinations(range(blocks), blocks // 2)))
    inside = np.zeros((len(chosen), blocks))
    np.put_along_axis(inside, chosen, 1.0, axis=1)
    return inside


def _rank_of_best(inside: Floats, sums: Floats, squares: Floats, n: int) -> Floats:
    """(splits,) rank out of sample, 1 the worst, ties by their mean, of the trial that is best in sample; NaN where none is."""
    known = _ratios(inside @ sums, inside @ squares, n)
    unseen = _ratios((1.0 - inside) @ sums, (1.0 - inside) @ squares, n)
    best = known.argmax(axis=1)
    chosen = np.take_along_axis(unseen, best[:, None], axis=1)
    rank = np.sum(unseen < chosen, axis=1) + (np.sum(unseen == chosen, axis=1) + 1.0) / 2.0
    return np.where(np.isfinite(known.max(axis=1)), rank, NAN)


def _ratios(total: Floats, square: Floats, n: int) -> Floats:
    """Mean over standard deviation from sums; minus infinity without variation."""
    mean = total / n
    variance = square / n - mean**2
    varies = variance > 1e-12 * square / n
    return np.where(varies, mean / np.sqrt(np.where(varies, variance, 1.0)), -np.inf)
