"""Many tests at once: q-values by Benjamini and Hochberg 1995."""

import numpy as np

from tidegate.backtest.result import Floats
from tidegate.errors import FiguresRefused


def q_values(p_values: Floats) -> Floats:
    """The least false discovery rate at which each test counts as a discovery.

    Holds for independent tests and for those that depend on each other positively (Benjamini and Yekutieli 2001), as features do that
    share their bars.

    Args:
        p_values: (k,) within [0, 1]; NaN for a test that could not be made.
    Returns:
        (k,) at least as high as the p-values, at most 1; NaN where the p-value is, which takes no part in the number of tests.
    Raises:
        FiguresRefused: a p-value lies outside [0, 1].
    """
    made = np.flatnonzero(~np.isnan(p_values))
    p = p_values[made]
    if ((p < 0) | (p > 1)).any():
        raise FiguresRefused("p-values of the drift tests", expected="within [0, 1]", actual=p.tolist())
    order = np.argsort(p)[::-1]
    rank = np.arange(len(p), 0, -1)
    found = np.full(len(p_values), np.nan)
    found[made[order]] = np.minimum.accumulate(np.minimum(p[order] * len(p) / rank, 1.0))
    return found
