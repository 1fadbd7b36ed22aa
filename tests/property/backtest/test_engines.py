"""What must hold for any bars, positions and costs."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.property.backtest.markets import costs, lengths, random_bars, random_target, seeds, stays

from tidegate.backtest import reference, vectorbt_engine
from tidegate.backtest.comparison import difference
from tidegate.backtest.costs import break_even_multiple, side_rates, stressed_returns
from tidegate.backtest.result import Backtest, Sides, Trades
from tidegate.bars.bars import Bars
from tidegate.errors import DataError
from tidegate.strategy.strategy import Costs

ENGINES = pytest.mark.parametrize("run", [reference.run, vectorbt_engine.run], ids=["reference", "vectorbt"])
Run = Callable[..., Backtest]
FEW = settings(max_examples=60, deadline=None)


def largest_rate(arguments: tuple[Bars, Sides, Costs, float, Sides, float]) -> float:
    bars, target, cost, capital, _, multiplier = arguments
    held = np.concatenate(([0], target[:-1], [0]))
    rows = np.flatnonzero(np.diff(held)) + 1
    price = np.append(bars.open, bars.close[-1])
    units = np.abs(np.diff(held[rows] * capital / price[rows], prepend=0.0))
    return float(side_rates(bars, rows, units, cost, multiplier).max(initial=0.0))


@FEW
@given(
    seeds,
    lengths,
    stays,
    costs,
    st.sampled_from([1.0, 10_000.0, 1e9]),
    st.sampled_from([1e-4, 1.0, 5e4]),
    st.sampled_from([1e-5, 0.002, 0.05]),
    st.sampled_from([0.0, 1.0, 2.0]),
)
def test_vectorbt_equals_the_reference_ledger(
    seed: int, n: int, stay: float, cost: Costs, capital: float, scale: float, step: float, multiplier: float
) -> None:
    bars, target = random_bars(seed, n, step, scale), random_target(seed, n, stay)
    regime = (np.arange(n) % 4 - 1).astype(np.int8)
    arguments = (bars, target, cost, capital, regime, multiplier)
    if largest_rate(arguments) >= 1.0:
        with pytest.raises(DataError, match="costs as much as it trades"):
            reference.run(*arguments)
        with pytest.raises(DataError, match="costs as much as it trades"):
            vectorbt_engine.run(*arguments)
    else:
        assert difference(vectorbt_engine.run(*arguments), reference.run(*arguments)) < 1e-9


@ENGINES
@FEW
@given(seed=seeds, n=lengths, stay=stays, cost=costs)
def test_profit_adds_up(run: Run, seed: int, n: int, stay: float, cost: Costs) -> None:
    capital = 10_000.0
    result = run(random_bars(seed, n), random_target(seed, n, stay), cost, capital, np.zeros(n, np.int8))
    trades = result.trades
    tolerance = 1e-9 * capital
    assert result.equity[-1] - capital == pytest.approx(float(trades.net_pnl.sum()), rel=0, abs=tolerance)
    assert result.net_return.sum() * capital == pytest.approx(float(trades.net_pnl.sum()), rel=0, abs=tolerance)
    assert result.cost.sum() * capital == pytest.approx(float(trades.cost.sum()), rel=0, abs=tolerance)
    traded = trades.units * (trades.entry_price + trades.exit_price)
    assert result.turnover.sum() * capital == pytest.approx(float(traded.sum()), rel=1e-9)
    np.testing.assert_allclose(trades.net_pnl, trades.gross_pnl - trades.cost, rtol=0, atol=tolerance)
    assert np.all(result.equity_low <= result.equity)
    assert np.abs(result.position).sum() == trades.bars_held.sum()


@ENGINES
@FEW
@given(seed=seeds, n=st.integers(2, 250), stay=stays, cost=costs, low=st.floats(0, 3), extra=st.floats(0, 3))
def test_higher_costs_never_raise_profit(
    run: Run, seed: int, n: int, stay: float, cost: Costs, low: float, extra: float
) -> None:
    bars, target, regime = random_bars(seed, n), random_target(seed, n, stay), np.zeros(n, np.int8)
    cheap = run(bars, target, cost, 1000.0, regime, low)
    dear = run(bars, target, cost, 1000.0, regime, low + extra)
    assert np.all(dear.trades.net_pnl <= cheap.trades.net_pnl + 1e-9)
    assert np.all(dear.equity <= cheap.equity + 1e-9)
    assert np.all(dear.equity_low <= cheap.equity_low + 1e-9)


@ENGINES
@FEW
@given(seed=seeds, n=st.integers(2, 250), stay=stays, cost=costs, share=st.floats(0.05, 0.99))
def test_cutting_off_the_future_changes_nothing_before(
    run: Run, seed: int, n: int, stay: float, cost: Costs, share: float
) -> None:
    bars, target, regime = random_bars(seed, n), random_target(seed, n, stay), np.zeros(n, np.int8)
    cut = max(1, int(share * n))
    whole = run(bars, target, cost, 1000.0, regime)
    part = run(bars.take(slice(0, cut)), target[:cut], cost, 1000.0, regime[:cut])
    # The last bar of the part may hold the forced exit.
    for name in ("position", "net_return", "cost", "turnover", "equity", "equity_low", "market_return"):
        np.testing.assert_array_equal(getattr(part, name)[: cut - 1], getattr(whole, name)[: cut - 1], err_msg=name)
    closed = part.trades.take(~part.trades.forced_exit)
    for name in Trades.names():
        np.testing.assert_array_equal(getattr(closed, name), getattr(whole.trades, name)[: len(closed)], err_msg=name)


@FEW
@given(seeds, st.integers(3, 250), stays, costs, st.floats(0, 4))
def test_stressed_returns_are_those_of_a_run_at_that_multiple(
    seed: int, n: int, stay: float, cost: Costs, multiplier: float
) -> None:
    bars, target, regime = random_bars(seed, n), random_target(seed, n, stay), np.zeros(n, np.int8)
    once = reference.run(bars, target, cost, 1000.0, regime)
    stressed = reference.run(bars, target, cost, 1000.0, regime, multiplier)
    np.testing.assert_allclose(stressed_returns(once, multiplier), stressed.net_return, rtol=0, atol=1e-11)


@FEW
@given(seeds, st.integers(3, 250), stays, costs)
def test_nothing_is_left_at_the_break_even_cost(seed: int, n: int, stay: float, cost: Costs) -> None:
    bars, target, regime = random_bars(seed, n), random_target(seed, n, stay), np.zeros(n, np.int8)
    once = reference.run(bars, target, cost, 1000.0, regime)
    multiple = break_even_multiple(once)
    if 0 <= multiple < 1.0 / max(once.trades.cost / (once.trades.units * once.trades.entry_price), default=1.0) / 2:
        there = reference.run(bars, target, cost, 1000.0, regime, multiple)
        assert there.equity[-1] == pytest.approx(1000.0, rel=1e-9)
