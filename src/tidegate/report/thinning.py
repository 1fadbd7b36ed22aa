"""Fewer points for a line that looks the same: every extreme stays."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tidegate.bars.bars import Floats


def extremes(values: Floats, points: int) -> NDArray[np.intp]:
    """Rows to draw so that a line through them has every bucket's highest and lowest value.

    Args:
        values: (n,) of the line; NaN is passed over.
        points: about how many rows to keep; n rows or fewer are all kept.
    Returns:
        ascending row numbers, the first and the last usable row included.
    """
    usable = np.flatnonzero(np.isfinite(values))
    if len(usable) <= points:
        return usable
    edges = np.linspace(0, len(usable), max(1, points // 2) + 1).astype(np.intp)
    kept = [usable[:1], usable[-1:]]
    for start, end in pairwise(edges.tolist()):
        bucket = usable[start:end]
        kept.append(bucket[[np.argmin(values[bucket]), np.argmax(values[bucket])]])
    return np.unique(np.concatenate(kept))
