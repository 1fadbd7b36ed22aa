"""Shares of wins and permutations, as literal tables."""

import math

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from tidegate.errors import DataError
from tidegate.statistics.baselines import permutation_p_value
from tidegate.statistics.proportions import break_even_win_rate, wilson_interval


@pytest.mark.parametrize(
    ("wins", "n", "low", "high"),
    [(8, 10, 0.4901625, 0.9433178), (0, 10, 0.0, 0.2775328), (10, 10, 0.7224672, 1.0)],
)
def test_wilson_by_hand(wins: int, n: int, low: float, high: float) -> None:
    assert wilson_interval(wins, n) == pytest.approx((low, high), abs=1e-6)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.999])
@pytest.mark.parametrize(("wins", "n"), [(0, 1), (1, 1), (3, 7), (58, 100), (999, 1000)])
def test_wilson_agrees_with_statsmodels(wins: int, n: int, level: float) -> None:
    assert wilson_interval(wins, n, level) == pytest.approx(
        proportion_confint(wins, n, 1.0 - level, method="wilson"), abs=1e-12
    )


def test_nothing_counted_has_no_interval() -> None:
    assert all(math.isnan(end) for end in wilson_interval(0, 0))


@pytest.mark.parametrize(
    ("wins", "n", "level"), [(2, 1, 0.95), (-1, 3, 0.95), (1, 2, 1.0), (1, 2, 0.0), (1, 2, math.nan)]
)
def test_what_is_no_share_is_refused(wins: int, n: int, level: float) -> None:
    with pytest.raises(DataError, match="interval of a share"):
        wilson_interval(wins, n, level)


@pytest.mark.parametrize(
    ("payoff", "rate"), [(1.0, 0.5), (2.0, 1 / 3), (0.5, 2 / 3), (0.0, 1.0), (math.inf, math.nan), (-1.0, math.nan)]
)
def test_the_win_rate_that_pays(payoff: float, rate: float) -> None:
    assert break_even_win_rate(payoff) == pytest.approx(rate, nan_ok=True)


@pytest.mark.parametrize(
    ("observed", "permuted", "p"),
    [
        (5.0, [1.0, 2.0, 3.0], 1 / 4),
        (2.0, [1.0, 2.0, 3.0], 3 / 4),
        (0.0, [1.0, 2.0, 3.0], 1.0),
        (5.0, [1.0, math.nan, 3.0], 2 / 4),
        (5.0, [math.inf, -math.inf], 2 / 3),
        (5.0, [], 1.0),
        (math.nan, [1.0], math.nan),
        (math.inf, [1.0], math.nan),
    ],
)
def test_the_observed_one_is_among_the_permuted(observed: float, permuted: list[float], p: float) -> None:
    assert permutation_p_value(observed, np.array(permuted)) == pytest.approx(p, nan_ok=True)
