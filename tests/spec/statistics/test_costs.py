"""Dearer and larger trading, in numbers worked out by hand."""

import itertools
import math

import numpy as np
import pytest
from tests.unit.backtest.samples import backtest_of, trades_of

from tidegate.backtest import reference
from tidegate.backtest.portfolio import combine
from tidegate.backtest.result import Backtest, Trades
from tidegate.bars.bars import Bars
from tidegate.errors import DataError
from tidegate.statistics.costs import capacity, cost_stress
from tidegate.strategy.strategy import Costs

HOUR = 3_600_000
FREE = Costs(fee_bps=0, half_spread_bps=0, slippage_bps=0)
TEN_BPS = Costs(fee_bps=5, half_spread_bps=3, slippage_bps=2)


def market(closes: list[float], volume: float = 100.0, symbol: str = "X/Y", opens: list[float] | None = None) -> Bars:
    opened = opens or [closes[0], *closes[:-1]]
    return Bars.of(
        symbol,
        "1h",
        opened_at=np.arange(len(closes)) * HOUR,
        open=opened,
        high=np.maximum(opened, closes),
        low=np.minimum(opened, closes),
        close=closes,
        volume=np.full(len(closes), volume),
    )


def ran(bars: Bars, target: list[int], costs: Costs, capital: float = 1000.0) -> Backtest:
    return reference.run(bars, np.array(target, np.int8), costs, capital, np.zeros(len(bars), np.int8))


def test_stress_takes_the_cost_paid_once_more() -> None:
    backtest = backtest_of([0.03, -0.01, 0.04], trades_of([1.0]), cost=0.01)
    plain, double, free = cost_stress(backtest, (1.0, 2.0, 0.0), 3.0)
    assert [each.multiple for each in (plain, double, free)] == [1.0, 2.0, 0.0]
    assert [each.total_return for each in (plain, double, free)] == pytest.approx([0.06, 0.03, 0.09])
    # Means 0.02, 0.01 and 0.03 over a standard deviation of sqrt(0.0014 / 2), times sqrt 3.
    spread = math.sqrt(0.0007 / 3.0)
    assert [each.sharpe for each in (plain, double, free)] == pytest.approx(
        [0.02 / spread, 0.01 / spread, 0.03 / spread]
    )


def test_stress_of_nothing_is_nothing() -> None:
    (found,) = cost_stress(backtest_of([0.0, 0.0], Trades.empty()), (1.5,), 365.0)
    assert math.isnan(found.sharpe)
    assert found.total_return == 0.0


def test_one_trade_by_hand() -> None:
    # Signal at the first close, in at 101, out at the last close, 121. 1000 buys 1000 / 101 units at 101 and sells them at 121.
    bars = market([100.0, 110.0, 121.0], opens=[100.0, 101.0, 110.0])
    backtest = ran(bars, [1, 1, 1], FREE)
    units = 1000.0 / 101.0
    profit = units * 20.0 / 1000.0
    # Order 1 sees one bar without movement: no impact. Order 2 sees bars of log 0, 1.1 and 1.1.
    sigma = math.log(1.1) * math.sqrt(2.0 / 3.0)
    impact = sigma * math.sqrt(units / 100.0) * units * 121.0 / 1000.0
    found = capacity({"X/Y": bars}, backtest, FREE, 3.0)
    assert (found.profit_before_impact, found.impact) == pytest.approx((profit, impact))
    assert found.capital == pytest.approx(1000.0 * (profit / impact) ** 2)
    assert found.best_capital == pytest.approx(found.capital * 4.0 / 9.0)
    # Three bars are one year here.
    assert found.best_annual_profit == pytest.approx(found.best_capital * profit / 3.0)
    assert not found.at_zero
    # Were they a quarter, four times as much would be earned a year.
    assert capacity({"X/Y": bars}, backtest, FREE, 12.0).best_annual_profit == pytest.approx(
        4.0 * found.best_annual_profit
    )


def test_at_the_capacity_the_backtest_itself_earns_nothing() -> None:
    closes = (100.0 * np.exp(np.cumsum(np.random.default_rng(3).normal(0.0, 0.01, 60)))).tolist()
    bars = market(closes, volume=1e4)
    target = [1 if later > now else -1 for now, later in itertools.pairwise(closes)] + [0]
    found = capacity({"X/Y": bars}, ran(bars, target, TEN_BPS), TEN_BPS, 60.0)
    with_impact = TEN_BPS.model_copy(update={"impact_coefficient": 1.0})
    at = ran(bars, target, with_impact, found.capital)
    assert at.net_return.sum() == pytest.approx(0.0, abs=1e-9)
    # The largest profit in money is at 4/9 of it.
    best = ran(bars, target, with_impact, found.best_capital)
    assert best.net_return.sum() * found.best_capital == pytest.approx(found.best_annual_profit)
    for other in (0.9, 1.1):
        near = ran(bars, target, with_impact, other * found.best_capital)
        assert near.net_return.sum() * other * found.best_capital < found.best_annual_profit


def test_impact_that_was_paid_is_not_counted_twice() -> None:
    bars = market([100.0, 110.0, 121.0, 130.0])
    with_impact = TEN_BPS.model_copy(update={"impact_coefficient": 0.5})
    plain = capacity({"X/Y": bars}, ran(bars, [1, -1, 1, 1], TEN_BPS), TEN_BPS, 4.0)
    paid = capacity({"X/Y": bars}, ran(bars, [1, -1, 1, 1], with_impact), with_impact, 4.0)
    assert paid == plain


def test_half_the_coefficient_carries_four_times_the_capital() -> None:
    bars = market([100.0, 110.0, 121.0, 133.0])
    backtest = ran(bars, [1, 1, 1, 1], TEN_BPS)
    one, half = (capacity({"X/Y": bars}, backtest, TEN_BPS, 4.0, impact_coefficient=y).capital for y in (1.0, 0.5))
    assert half == pytest.approx(4.0 * one)


def test_two_equal_symbols_carry_twice_the_capital() -> None:
    closes = [100.0, 110.0, 121.0, 133.0]
    both = {name: market(closes, symbol=name) for name in ("A/B", "C/D")}
    alone = ran(both["A/B"], [1, 1, 1, 1], TEN_BPS)
    portfolio = combine({name: ran(bars, [1, 1, 1, 1], TEN_BPS) for name, bars in both.items()})
    single = capacity(both, alone, TEN_BPS, 4.0)
    assert capacity(both, portfolio, TEN_BPS, 4.0).capital == pytest.approx(2.0 * single.capital)


def test_trades_that_lose_carry_nothing() -> None:
    bars = market([100.0, 101.0, 99.0, 98.0])
    found = capacity({"X/Y": bars}, ran(bars, [1, 1, 1, 1], TEN_BPS), TEN_BPS, 4.0)
    assert (found.capital, found.best_capital, found.best_annual_profit, found.at_zero) == (0.0, 0.0, 0.0, True)


def test_without_volume_no_capacity_is_known() -> None:
    bars = market([100.0, 110.0, 121.0, 133.0], volume=0.0)
    found = capacity({"X/Y": bars}, ran(bars, [1, 1, 1, 1], TEN_BPS), TEN_BPS, 4.0)
    assert math.isnan(found.capital)
    assert math.isnan(found.best_annual_profit)
    assert found.profit_before_impact > 0


def test_without_trades_no_capacity_is_known() -> None:
    bars = market([100.0, 110.0])
    assert math.isnan(capacity({"X/Y": bars}, ran(bars, [0, 0], TEN_BPS), TEN_BPS, 2.0).capital)


def test_where_prices_stood_still_before_each_order_nothing_has_impact() -> None:
    bars = market([100.0, 100.0, 100.0], opens=[100.0, 100.0, 100.0])
    backtest = backtest_of([0.0, 0.0, 0.1], trades_of([100.0], cost=0.0, exit_hours=[2]))
    assert capacity({"X/Y": bars}, backtest, FREE, 3.0).capital == math.inf


@pytest.mark.parametrize(
    ("held", "message"),
    [
        ({}, "no bars of X/Y"),
        ({"X/Y": market([100.0, 110.0, 121.0]).take(slice(2, 3))}, "outside its bars"),
        ({"X/Y": market([100.0, 110.0])}, "outside its bars|not filled at its bars"),
        ({"X/Y": market([100.0, 110.0, 121.0]).take(slice(0, 0))}, "outside its bars"),
    ],
)
def test_bars_that_do_not_hold_the_trades_are_refused(held: dict[str, Bars], message: str) -> None:
    backtest = ran(market([100.0, 110.0, 121.0]), [1, 1, 1], FREE)
    with pytest.raises(DataError, match=message):
        capacity(held, backtest, FREE, 3.0)
