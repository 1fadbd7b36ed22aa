import math

import numpy as np
import pytest

from tidegate.monitoring.point_rules import (
    error_rate_words,
    point_rule_rates,
    rolling_sum,
    sharpe_fires,
    win_rate_fires,
)
from tidegate.strategy.strategy import Rollback

RULES = Rollback(win_rate=0.5, win_rate_days=2, win_rate_window_days=2, min_trades=4, sharpe=1.0, sharpe_window_days=3)


def test_rolling_sums() -> None:
    assert rolling_sum(np.array([[1, 2, 3, 4]]), 2).tolist() == [[3, 5, 7]]
    assert rolling_sum(np.array([1, 2]), 1).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("wins", "trades", "fires"),
    [
        ([2, 2, 2, 2], [4, 4, 4, 4], [False, False]),  # at the threshold is not under it
        ([2, 1, 2, 2], [4, 4, 4, 4], [True, False]),
        ([1, 1, 1, 1], [4, 4, 4, 4], [True, True]),
        ([1, 2, 3, 1], [4, 4, 4, 4], [False, False]),  # a window at the threshold in between
        ([0, 0, 0, 0], [1, 1, 4, 4], [False, True]),  # two trades say nothing
        ([0, 0, 0, 0], [0, 0, 0, 0], [False, False]),
    ],
    ids=str,
)
def test_the_win_rate_fires_on_windows_in_a_row(wins: list[int], trades: list[int], fires: list[bool]) -> None:
    assert win_rate_fires(np.array(wins), np.array(trades), RULES).tolist() == fires


@pytest.mark.parametrize(
    ("returns", "trades", "fires"),
    [
        ([1.0, 2.0, 3.0], [2, 2, 2], [False]),
        ([-1.0, 1.0, 0.01], [2, 2, 2], [True]),
        ([-1.0, 1.0, 0.01], [1, 1, 1], [False]),
        # Annual Sharpe ratio of mean .1 and deviation 1: .1 * sqrt(365) = 1.91; of .05: .96.
        ([-0.9, 0.1, 1.1], [2, 2, 2], [False]),
        ([-0.95, 0.05, 1.05], [2, 2, 2], [True]),
    ],
    ids=str,
)
def test_the_sharpe_ratio_fires_below_its_bound(returns: list[float], trades: list[int], fires: list[bool]) -> None:
    assert sharpe_fires(np.array(returns), np.array(trades), RULES).tolist() == fires


@pytest.mark.parametrize(("window", "per_day", "share"), [(7, 5, 1.0), (7, 20, 0.69), (7, 50, 0.034), (30, 5, 0.5)])
def test_a_healthy_model_fires_as_often_as_known(window: int, per_day: float, share: float) -> None:
    # The last is 0.41 with exactly five trades on each of 365 days; trades that come at random, and a whole year of windows, make it more.
    rates = point_rule_rates(per_day, 0.6, 2.0, Rollback(win_rate_window_days=window))
    assert rates.win_rate_within_a_year == pytest.approx(share, abs=0.08)
    assert rates.sharpe_within_a_year > 0.99
    assert rates.win_rate_a_year >= rates.win_rate_within_a_year


def test_the_same_figures_give_the_same_rates_and_a_better_model_lower_ones() -> None:
    once, again = (point_rule_rates(20, 0.6, 2.0, Rollback(win_rate_days=k)) for k in (3, 3))
    assert once == again
    assert point_rule_rates(20, 0.65, 6.0, Rollback()).win_rate_within_a_year < once.win_rate_within_a_year
    assert point_rule_rates(20, 0.6, 9.0, Rollback()).sharpe_a_year < once.sharpe_a_year


@pytest.mark.parametrize(
    ("per_day", "win_rate", "sharpe", "win_rate_known", "sharpe_known"),
    [
        (None, 0.6, 2.0, False, False),
        (0.0, 0.6, 2.0, False, False),
        (math.nan, 0.6, 2.0, False, False),
        (5.0, None, 2.0, False, True),
        (5.0, 1.2, 2.0, False, True),
        (5.0, 0.6, math.nan, True, False),
    ],
)
def test_what_the_backtest_does_not_say_is_not_known(
    per_day: float | None, win_rate: float | None, sharpe: float | None, win_rate_known: bool, sharpe_known: bool
) -> None:
    rates = point_rule_rates(per_day, win_rate, sharpe, Rollback())
    assert math.isfinite(rates.win_rate_within_a_year) == win_rate_known
    assert math.isfinite(rates.sharpe_within_a_year) == sharpe_known
    assert error_rate_words("win_rate", rates).startswith("fires within" if win_rate_known else "not known")
    assert error_rate_words("sharpe", rates).startswith("fires within" if sharpe_known else "not known")


def test_the_words_hold_the_figures() -> None:
    words = error_rate_words("win_rate", point_rule_rates(5, 0.6, 2.0, Rollback()))
    assert words == (
        "fires within a year on 100% of healthy models, 8.5 times a year (win rate of 60.0%, 5 trades a day; simulated, trades and days "
        "independent)"
    )
