"""Published figures on Sharpe ratios, and some worked out with the standard library alone."""

import math
from statistics import NormalDist

import numpy as np
import pytest

from tidegate.statistics.sharpe import (
    Moments,
    deflated_sharpe,
    expected_maximum_ratio,
    minimum_track_record,
    moments,
    needed_sharpe,
    power,
    probabilistic_sharpe,
    skill_p_value,
)

PHI = NormalDist()


@pytest.mark.parametrize(
    ("skewness", "kurtosis", "published"),
    [(-2.448, 10.164, 0.913), (0.0, 3.0, 0.982)],
)
def test_24_months_of_a_hedge_fund(skewness: float, kurtosis: float, published: float) -> None:
    # Bailey, Lopez de Prado 2012: a monthly ratio of 0.458, once with its own skew and kurtosis, once as if it were normal.
    assert Moments(24, 0.458, skewness, kurtosis).probability_above(0.0) == pytest.approx(published, abs=5e-4)


@pytest.mark.parametrize(("trials", "published"), [(100, 0.9004), (46, 0.9505)])
def test_deflated_by_its_trials(trials: int, published: float) -> None:
    # Bailey, Lopez de Prado 2014: an annual ratio of 2.5 over five years of 250 days, skew -3, kurtosis 10, variance 1/2 of annual ratios.
    benchmark = expected_maximum_ratio(0.5 / 250, trials)
    assert trials != 100 or benchmark == pytest.approx(0.1132, abs=5e-5)
    assert Moments(1250, 2.5 / math.sqrt(250), -3.0, 10.0).probability_above(benchmark) == pytest.approx(
        published, abs=5e-5
    )


@pytest.mark.parametrize(("trials", "published"), [(10, 1.57), (1000, 3.26)])
def test_the_best_of_many_without_skill(trials: int, published: float) -> None:
    # Bailey, Borwein, Lopez de Prado, Zhu 2014, "Pseudo-mathematics and financial charlatanism".
    assert expected_maximum_ratio(1.0, trials) == pytest.approx(published, abs=0.006)


@pytest.mark.parametrize(("per_year", "years"), [(252, 2.73), (52, 2.83), (12, 3.24)])
def test_years_to_tell_a_ratio_of_2_from_1(per_year: int, years: float) -> None:
    # Bailey, Lopez de Prado 2012: normal returns, 95 % confidence.
    year = math.sqrt(per_year)
    periods = Moments(10, 2.0 / year, 0.0, 3.0).track_record(1.0 / year, 0.95)
    assert periods / per_year == pytest.approx(years, abs=0.006)


def test_by_hand_on_four_returns() -> None:
    # Mean 2, squared deviations 9 + 1 + 1 + 9: over n 5, over n - 1 20/3; third powers cancel; fourth 41 over 25.
    returns = np.array([-1.0, 1.0, 3.0, 5.0])
    ratio = 2.0 / math.sqrt(20.0 / 3.0)
    found = moments(returns)
    assert (found.n, found.ratio, found.skewness, found.kurtosis) == pytest.approx((4, ratio, 0.0, 1.64))
    spread = math.sqrt(1.0 + 0.64 / 4.0 * ratio**2)
    z = (ratio - 1.0 / math.sqrt(4.0)) * math.sqrt(3.0) / spread
    assert probabilistic_sharpe(returns, 4.0, benchmark=1.0) == pytest.approx(PHI.cdf(z))
    needed = 1.0 + (spread * PHI.inv_cdf(0.9) / (ratio - 0.5)) ** 2
    assert minimum_track_record(returns, 4.0, benchmark=1.0, confidence=0.9) == pytest.approx(needed)


def test_skill_by_hand_on_two_returns() -> None:
    # z is -1 and 1, the ratio (over n) 2, so each influence is z alone: variance 1, less half of the one product at lag 1, -1/2 x 1.
    # ratio (n - 1) = 2 / sqrt 2; standard error sqrt(0.5 / 2) a period.
    assert skill_p_value(np.array([1.0, 3.0]), 1.0) == pytest.approx(1.0 - PHI.cdf(math.sqrt(2.0) / 0.5))


def test_deflated_counts_trials_without_a_ratio() -> None:
    returns = np.random.default_rng(1).normal(0.1, 1.0, 200)
    ratios = np.array([0.1, 0.3, math.nan, -0.1])
    found = deflated_sharpe(returns, ratios)
    assert (found.trials, found.variance) == pytest.approx((4, 0.04))
    assert found.benchmark == pytest.approx(expected_maximum_ratio(0.04, 4))
    assert found.probability == pytest.approx(moments(returns).probability_above(found.benchmark))
    assert deflated_sharpe(returns, ratios, trials=100).benchmark == pytest.approx(expected_maximum_ratio(0.04, 100))


def test_one_trial_is_not_deflated() -> None:
    returns = np.random.default_rng(1).normal(0.1, 1.0, 200)
    found = deflated_sharpe(returns, np.array([0.1]))
    assert (found.benchmark, found.probability) == (0.0, probabilistic_sharpe(returns, 365.0))


@pytest.mark.parametrize(
    ("level", "benchmark", "needed"),
    [(0.05, 0.0, 1.6449), (0.05, 0.5, 2.1449), (0.05 / 12, 0.0, 2.6383), (0.01 / 12, 0.0, 3.1440), (0.5, 0.0, 0.0)],
)
def test_the_ratio_that_has_to_be_seen(level: float, benchmark: float, needed: float) -> None:
    assert needed_sharpe(1.0, level, benchmark) == pytest.approx(needed, abs=1e-4)
    assert needed_sharpe(2.0, level, benchmark) == pytest.approx(2.0 * (needed - benchmark) + benchmark, abs=2e-4)
    for true in (0.0, 1.0, 2.0):
        assert power(true, 1.0, level, benchmark) == pytest.approx(1.0 - PHI.cdf(needed - true), abs=1e-4)


def test_without_a_level_nothing_passes() -> None:
    assert needed_sharpe(1.0, 0.0) == math.inf
    assert power(100.0, 1.0, 0.0) == 0.0
