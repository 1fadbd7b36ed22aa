import math

import numpy as np
import pytest
from scipy import stats

from tidegate.backtest.ratios import sharpe, sharpe_standard_error
from tidegate.backtest.result import Floats
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

WORLDS, DAYS = 2000, 365
NOTHING = [
    np.empty(0),
    np.ones(1),
    np.full(20, 0.1),
    np.array([0.1, math.nan, 0.2]),
    np.array([0.1, math.inf, 0.2]),
]


def share_between(count: int, worlds: int, rate: float) -> bool:
    """Whether a count lies within four standard errors of what its rate lets expect."""
    return abs(count / worlds - rate) <= 4 * math.sqrt(rate * (1 - rate) / worlds)


def test_moments_agree_with_scipy() -> None:
    returns = np.random.default_rng(1).gamma(2.0, 1.0, 500)
    found = moments(returns)
    assert found.skewness == pytest.approx(stats.skew(returns))
    assert found.kurtosis == pytest.approx(stats.kurtosis(returns, fisher=False))


def test_the_p_value_is_that_of_a_z_test() -> None:
    returns = np.random.default_rng(1).standard_t(5, 300) + 0.1
    z = (sharpe(returns, 365.0) - 0.5) / sharpe_standard_error(returns, 365.0)
    assert skill_p_value(returns, 365.0, 0.5) == pytest.approx(stats.norm.sf(z))


def test_without_skill_the_p_value_is_even() -> None:
    returns = np.random.default_rng(2).standard_normal((WORLDS, DAYS))
    skill = np.array([skill_p_value(each, 365.0) for each in returns])
    plain = 1.0 - np.array([probabilistic_sharpe(each, 365.0) for each in returns])
    for level in (0.05, 0.5):
        assert share_between(int(np.sum(skill <= level)), WORLDS, level)
        assert share_between(int(np.sum(plain <= level)), WORLDS, level)
    low = 0.05 / 12
    # In the far tail the estimated standard error costs something: up to twice the level, see docs/statistics.md.
    assert np.mean(skill <= low) <= 2 * low + 4 * math.sqrt(2 * low / WORLDS)


def test_returns_that_follow_from_one_another_fool_the_plain_test_and_not_the_robust_one() -> None:
    noise = np.random.default_rng(3).standard_normal((WORLDS // 2, 1001))
    returns = noise[:, 1:] + 0.8 * noise[:, :-1]
    robust = sum(skill_p_value(each, 365.0) <= 0.05 for each in returns)
    plain = sum(probabilistic_sharpe(each, 365.0) >= 0.95 for each in returns)
    assert robust / (WORLDS // 2) < 0.08
    assert plain / (WORLDS // 2) > 0.09


def test_power_is_as_computed() -> None:
    returns = np.random.default_rng(4).standard_normal((WORLDS, DAYS)) + 2.0 / math.sqrt(DAYS)
    error = float(np.mean([sharpe_standard_error(each, 365.0) for each in returns[:200]]))
    for level in (0.05, 0.05 / 12):
        passed = int(sum(skill_p_value(each, 365.0) <= level for each in returns))
        assert passed / WORLDS == pytest.approx(power(2.0, error, level), abs=4 * math.sqrt(0.25 / WORLDS))


def test_the_best_of_many_is_as_high_as_expected() -> None:
    best = np.random.default_rng(5).standard_normal((20_000, 50)).max(axis=1)
    # The formula is an approximation, good to a few hundredths.
    assert expected_maximum_ratio(1.0, 50) == pytest.approx(best.mean(), abs=0.03)


def test_deflation_takes_away_what_choosing_gave() -> None:
    chance = np.random.default_rng(6)
    chosen = deflated = 0
    for _ in range(200):
        returns = chance.standard_normal((20, 250))
        ratios = np.array([sharpe(each, 1.0) for each in returns])
        best = returns[ratios.argmax()]
        chosen += probabilistic_sharpe(best, 365.0) >= 0.95
        deflated += deflated_sharpe(best, ratios).probability >= 0.95
    # Of twenty without skill the best passes with 1 - 0.95^20 = 64 %.
    assert share_between(chosen, 200, 1 - 0.95**20)
    assert deflated <= 200 * 0.05 + 4 * math.sqrt(200 * 0.05)


def test_a_record_of_the_needed_length_reaches_its_confidence() -> None:
    returns = np.random.default_rng(7).normal(0.2, 1.0, 400)
    found = moments(returns)
    needed = minimum_track_record(returns, 365.0, 0.5, 0.9)
    long = Moments(round(needed), found.ratio, found.skewness, found.kurtosis)
    assert long.probability_above(0.5 / math.sqrt(365.0)) == pytest.approx(0.9, abs=0.01)


def test_no_record_is_long_enough_for_a_ratio_below_the_benchmark() -> None:
    returns = np.random.default_rng(7).normal(-0.1, 1.0, 400)
    assert minimum_track_record(returns, 365.0) == math.inf


def test_low_confidence_needs_no_more_than_a_period() -> None:
    assert Moments(10, 0.1, 0.0, 3.0).track_record(0.0, 0.4) == 1.0


@pytest.mark.parametrize("confidence", [0.0, 1.0, -0.1, math.nan])
def test_no_certainty_by_any_record(confidence: float) -> None:
    assert math.isnan(Moments(10, 0.1, 0.0, 3.0).track_record(0.0, confidence))


@pytest.mark.parametrize("returns", NOTHING)
def test_nothing_to_stand_on_is_nan(returns: Floats) -> None:
    assert moments(returns).n == len(returns)
    assert math.isnan(moments(returns).ratio)
    assert math.isnan(probabilistic_sharpe(returns, 365.0))
    assert math.isnan(skill_p_value(returns, 365.0))
    assert math.isnan(minimum_track_record(returns, 365.0))
    assert math.isnan(deflated_sharpe(returns, np.array([0.1, 0.2])).probability)


@pytest.mark.parametrize("benchmark", [math.nan, math.inf])
def test_a_benchmark_that_is_not_finite_is_never_beaten(benchmark: float) -> None:
    returns = np.random.default_rng(1).normal(1.0, 1.0, 100)
    assert not probabilistic_sharpe(returns, 365.0, benchmark) > 0
    assert not skill_p_value(returns, 365.0, benchmark) < 1
    assert not math.isfinite(minimum_track_record(returns, 365.0, benchmark))


def test_two_outcomes_whose_ratio_does_not_err_are_no_evidence() -> None:
    # A ratio of skew 2 / g3 with two outcomes: the formula's variance is zero, and a division by it would prove everything.
    assert math.isnan(Moments(50, 1.0, 2.0, 5.0).probability_above(0.0))


@pytest.mark.parametrize(("variance", "trials"), [(math.nan, 5), (math.inf, 5), (-1.0, 5), (1.0, 0), (1.0, -3)])
def test_no_expected_maximum_without_figures(variance: float, trials: int) -> None:
    assert math.isnan(expected_maximum_ratio(variance, trials))


@pytest.mark.parametrize(
    ("ratios", "trials"), [([], None), ([0.1, math.nan], None), ([math.nan] * 4, None), ([0.1], 5), ([0.1, 0.2], 0)]
)
def test_trials_that_cannot_be_told_apart_deflate_to_nothing(ratios: list[float], trials: int | None) -> None:
    returns = np.random.default_rng(1).normal(1.0, 1.0, 100)
    assert math.isnan(deflated_sharpe(returns, np.array(ratios), trials).probability)


@pytest.mark.parametrize(
    ("error", "level"),
    [(0.0, 0.05), (-1.0, 0.05), (math.nan, 0.05), (math.inf, 0.05), (1.0, 1.0), (1.0, -0.1), (1.0, math.nan)],
)
def test_no_power_without_figures(error: float, level: float) -> None:
    assert math.isnan(needed_sharpe(error, level))
    assert math.isnan(power(2.0, error, level))
