"""How unlikely a result is among those that chance alone gives."""

import math

import numpy as np

from tidegate.backtest.ratios import NAN
from tidegate.backtest.result import Floats


def permutation_p_value(observed: float, permuted: Floats) -> float:
    """Share of the permuted results, the observed one among them, that are at least as high as the observed one.

    Never zero: the observed arrangement is itself one of the possible ones.

    Args:
        observed: the statistic, higher is better.
        permuted: (n,) the statistic after permuted labels or random entries; NaN counts as at least as high.
    Returns:
        (1 + number at least as high) / (1 + n); NaN where the observed statistic is not finite.
    Source: Phipson, Smyth 2010, "Permutation p-values should never be zero".
    """
    if not math.isfinite(observed):
        return NAN
    return float(1 + np.sum(~(permuted < observed))) / (1 + len(permuted))
