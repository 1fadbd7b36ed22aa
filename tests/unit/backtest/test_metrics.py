import math

import numpy as np
import pytest
from tests.unit.backtest.samples import backtest_of, trades_of

from tidegate.backtest.metrics import BY_NAME, METRICS, summarise
from tidegate.backtest.result import Trades

YEAR_HOURS = 8760.0


def test_every_metric_by_hand() -> None:
    # 48 hours: two days of market time. Four trades of 2000 traded value each: 1 bar of 0.1667 turnover is 8 in sum.
    returns = [0.003, 0.001, -0.002, 0.0] * 12
    trades = trades_of([30.0, 10.0, -20.0, 0.0], cost=2.0, bars_held=[1, 2, 3, 6])
    sample = backtest_of(
        returns,
        trades,
        position=[0.0, 1.0, -1.0, 0.0] * 12,
        low=5.0,
        market=[0.01, 0.0, -0.01, 0.02] * 12,
        turnover=8.0 / 48,
        cost=0.008 / 48,
    )
    found = summarise(sample, YEAR_HOURS)
    root, deviation = math.sqrt(YEAR_HOURS), float(np.std(returns, ddof=1))
    assert found["total_return"] == pytest.approx(0.024)
    assert found["annual_return"] == pytest.approx(0.0005 * YEAR_HOURS)
    assert found["sharpe"] == pytest.approx(0.0005 / deviation * root)
    assert found["sortino"] == pytest.approx(0.0005 / 0.001 * root)
    # From the second bar's close at 1004 to the third's worst moment at 1002 - 5, early on, where the peak is lowest.
    assert found["max_drawdown"] == pytest.approx(7.0 / 1004.0)
    assert found["win_rate"] == 0.5
    assert (found["win_rate_low"], found["win_rate_high"]) == pytest.approx((0.1500390, 0.8499610), abs=1e-6)
    assert found["payoff_ratio"] == pytest.approx(20.0 / 10.0)
    assert found["profit_factor"] == pytest.approx(2.0)
    assert found["trades"] == 4
    assert found["trades_per_day"] == pytest.approx(2.0)
    assert found["turnover_per_day"] == pytest.approx(4.0)
    assert found["exposure"] == pytest.approx(0.5)
    assert found["average_bars_held"] == pytest.approx(3.0)
    assert found["mean_cost_bps"] == pytest.approx(10.0)
    assert found["min_cost_bps"] == pytest.approx(10.0)
    assert found["total_cost"] == pytest.approx(0.008)
    assert found["break_even_cost_multiple"] == pytest.approx(28.0 / 8.0)
    assert found["buy_and_hold_return"] == pytest.approx((1.01 * 0.99 * 1.02) ** 12 - 1)
    assert found["buy_and_hold_sharpe"] == pytest.approx(
        0.005 / float(np.std([0.01, 0.0, -0.01, 0.02] * 12, ddof=1)) * root
    )
    assert found["sharpe_standard_error"] > 0


def test_keys_are_the_tables_and_names_are_unique() -> None:
    found = summarise(backtest_of([0.0, 0.01], trades_of([1.0])), YEAR_HOURS)
    assert list(found) == [metric.name for metric in METRICS]
    assert len(BY_NAME) == len(METRICS)
    assert all(metric.title and metric.description.endswith(".") and metric.unit for metric in METRICS)
    assert all(type(value) is float for value in found.values())


def test_least_cost_finds_the_one_trade_that_paid_nothing() -> None:
    trades = Trades.concatenate([trades_of([1.0, 2.0], cost=2.0), trades_of([1.0], cost=0.0)])
    assert summarise(backtest_of([0.0, 0.004], trades), YEAR_HOURS)["min_cost_bps"] == 0.0


def test_without_trades_sums_are_zero_and_estimates_are_nan() -> None:
    found = summarise(backtest_of([0.0] * 10, trades_of([])), YEAR_HOURS)
    zero = {"total_return", "annual_return", "trades", "trades_per_day", "turnover_per_day", "exposure", "total_cost"}
    zero |= {"buy_and_hold_return"}  # this market did not move
    assert {name for name, value in found.items() if value == 0} == zero
    assert {name for name, value in found.items() if math.isnan(value)} == set(found) - zero


def test_only_winners_give_an_infinite_profit_factor_and_no_payoff() -> None:
    found = summarise(backtest_of([0.01, 0.02], trades_of([10.0, 20.0])), YEAR_HOURS)
    assert found["profit_factor"] == math.inf
    assert math.isnan(found["payoff_ratio"])
    assert math.isnan(found["sortino"])
