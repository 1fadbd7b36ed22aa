import math

import numpy as np
import pytest
from scipy.stats import binomtest

from tidegate.backtest.ratios import (
    max_drawdown,
    payoff_ratio,
    profit_factor,
    sharpe,
    sharpe_standard_error,
    sortino,
    wilson_interval,
    win_rate,
)

RETURNS = np.array([0.01, -0.01, 0.02, 0.0])


def test_sharpe_by_hand() -> None:
    # Mean 0.005; squared deviations 0.25, 2.25, 2.25, 0.25 (e-4) over 3.
    assert sharpe(RETURNS, 400) == pytest.approx(0.005 / math.sqrt(5e-4 / 3) * 20)


def test_sharpe_standard_error_by_hand() -> None:
    # z = 1, -3, 3, -1 over sqrt(5); SR = 1/sqrt(5); psi^2 has the mean 1 + SR^2 (1.64 - 1) / 4 = 1.032.
    # One lag of weight 1/2: psi products sum to -3.032.
    variance = 1.032 - 3.032 / 4
    assert sharpe_standard_error(RETURNS, 400) == pytest.approx(math.sqrt(variance / 4 * 400), rel=1e-9)


@pytest.mark.parametrize("skewed", [False, True])
def test_sharpe_standard_error_is_the_spread_of_the_estimate_for_independent_returns(skewed: bool) -> None:
    rng = np.random.default_rng(5)
    noise = rng.exponential(1.0, (1000, 500)) - 1.0 if skewed else rng.normal(0, 1.0, (1000, 500))
    estimates = [sharpe(row + 0.2, 1) for row in noise]
    errors = [sharpe_standard_error(row + 0.2, 1) for row in noise]
    assert np.mean(errors) == pytest.approx(np.std(estimates), rel=0.08)


def test_sharpe_standard_error_sees_that_returns_follow_from_one_another() -> None:
    rng = np.random.default_rng(6)
    shocks = rng.normal(0, 1.0, (600, 1100))
    returns = np.zeros_like(shocks)
    for t in range(1, shocks.shape[1]):
        returns[:, t] = 0.4 * returns[:, t - 1] + shocks[:, t]
    returns = returns[:, 100:] + 0.05
    spread = np.std([sharpe(row, 1) for row in returns])
    with_correction = np.mean([sharpe_standard_error(row, 1) for row in returns])
    assert spread > 1.4 / math.sqrt(1000)  # what an estimate for independent returns misses
    assert with_correction == pytest.approx(spread, rel=0.15)


def test_sortino_by_hand() -> None:
    assert sortino(RETURNS, 400) == pytest.approx(0.005 / math.sqrt(1e-4 / 4) * 20)


def test_drawdown_is_judged_inside_the_bar_against_earlier_closes() -> None:
    equity, low = np.array([110.0, 99.0, 120.0]), np.array([105.0, 90.0, 95.0])
    assert max_drawdown(equity, low, 100.0) == pytest.approx(20 / 110)


def test_drawdown_counts_from_the_capital_at_the_start() -> None:
    assert max_drawdown(np.array([95.0]), np.array([80.0]), 100.0) == pytest.approx(0.2)
    assert max_drawdown(np.array([101.0, 102.0]), np.array([100.0, 101.0]), 100.0) == 0.0
    assert max_drawdown(np.array([-50.0]), np.array([-50.0]), 100.0) == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("equity", "low"), [([110.0, np.nan, 120.0], [105.0] * 3), ([110.0] * 3, [105.0, np.nan, 95.0])]
)
def test_an_unknown_equity_has_no_drawdown(equity: list[float], low: list[float]) -> None:
    assert math.isnan(max_drawdown(np.array(equity), np.array(low), 100.0))


def test_win_rate_counts_zero_as_a_loss() -> None:
    assert win_rate(np.array([1.0, 0.0, -1.0, 2.0])) == 0.5


def test_wilson_interval_of_the_textbook() -> None:
    # 8 of 10: Newcombe 1998's formula, worked out by hand.
    assert wilson_interval(8, 10) == pytest.approx((0.4901625, 0.9433178), abs=1e-6)
    assert wilson_interval(0, 10) == pytest.approx((0.0, 0.2775328), abs=1e-6)
    assert wilson_interval(10, 10) == pytest.approx((0.7224672, 1.0), abs=1e-6)


def test_wilson_interval_agrees_with_scipy() -> None:
    for wins, n in ((0, 1), (3, 7), (58, 100), (999, 1000)):
        interval = binomtest(wins, n).proportion_ci(0.95, method="wilson")
        assert wilson_interval(wins, n) == pytest.approx((interval.low, interval.high))


def test_profit_factor_and_payoff_by_hand() -> None:
    net = np.array([3.0, 1.0, -1.0, 0.0])
    assert profit_factor(net) == pytest.approx(4.0)
    assert payoff_ratio(net) == pytest.approx(2.0 / 0.5)


def test_profit_factor_without_losses_is_infinite_and_never_a_number_that_passes() -> None:
    assert profit_factor(np.array([1.0, 2.0])) == math.inf
    assert profit_factor(np.array([-1.0])) == 0.0
    assert math.isnan(profit_factor(np.array([0.0, 0.0])))


@pytest.mark.parametrize(
    "value",
    [
        sharpe(np.array([]), 365),
        sharpe(np.array([0.1]), 365),
        sharpe(np.full(50, 0.1), 365),
        sharpe(np.array([0.1, math.nan, 0.2]), 365),
        sharpe_standard_error(np.full(50, 0.1), 365),
        sharpe_standard_error(np.array([]), 365),
        sortino(np.array([]), 365),
        sortino(np.array([0.1, 0.2]), 365),
        max_drawdown(np.array([]), np.array([]), 100.0),
        win_rate(np.array([])),
        wilson_interval(0, 0)[0],
        wilson_interval(0, 0)[1],
        profit_factor(np.array([])),
        payoff_ratio(np.array([])),
        payoff_ratio(np.array([1.0])),
        payoff_ratio(np.array([-1.0])),
        payoff_ratio(np.array([1.0, 0.0])),
    ],
)
def test_nothing_to_stand_on_is_nan(value: float) -> None:
    assert math.isnan(value)
