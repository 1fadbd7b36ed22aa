from dataclasses import replace

import pytest
from tests.unit.backtest.samples import HOUR, backtest_of, trades_of

from tidegate.backtest.portfolio import combine, join
from tidegate.errors import DataError


def test_two_symbols_on_partly_different_times() -> None:
    a = backtest_of(
        [0.10, 0.00, -0.05],
        trades_of([50.0], symbol="A", exit_hours=[3]),
        hours=[0, 1, 2],
        position=[1, 1, 1],
        low=10.0,
        market=[0.1, 0.1, 0.1],
        regime=[0, 0, 2],
        turnover=1.0,
        cost=0.001,
    )
    b = backtest_of(
        [0.02, 0.04],
        trades_of([20.0, 40.0], symbol="B", exit_hours=[2, 5]),
        hours=[1, 3],
        position=[-1, 1],
        low=20.0,
        regime=[1, 1],
    )
    both = combine({"A": a, "B": b})
    assert both.capital == 2000
    assert (both.opened_at // HOUR).tolist() == [0, 1, 2, 3]
    assert (both.closed_at // HOUR).tolist() == [1, 2, 3, 4]
    assert both.net_return == pytest.approx([0.05, 0.01, -0.025, 0.02])
    assert both.turnover == pytest.approx([0.5, 0.5, 0.5, 0])
    assert both.cost == pytest.approx([0.0005, 0.0005, 0.0005, 0])
    assert both.market_return == pytest.approx([0.05, 0.05, 0.05, 0])
    # B holds its short through the hour in which it has no bar; A's long ended with its last bar.
    assert both.position == pytest.approx([0.5, 0, 0, 0.5])
    assert both.equity == pytest.approx([1100 + 1000, 1100 + 1020, 1050 + 1020, 1050 + 1060])
    assert both.equity_low == pytest.approx([1090 + 1000, 1090 + 1000, 1040 + 1020, 1050 + 1040])
    assert both.regime.tolist() == [0, 1, 2, 1]
    assert both.trades.symbol.tolist() == ["B", "A", "B"]
    assert both.trades.net_pnl.tolist() == [20, 50, 40]
    assert both.equity[-1] - both.capital == pytest.approx(both.net_return.sum() * both.capital)


def test_regime_is_that_of_most_symbols_and_unknown_when_none_knows() -> None:
    nothing = trades_of([])
    parts = {
        name: backtest_of([0.0] * 3, nothing, regime=regime)
        for name, regime in {"A": [0, -1, 0], "B": [0, -1, 1], "C": [2, -1, -1]}.items()
    }
    assert combine(parts).regime.tolist() == [0, -1, 1]


def test_one_symbol_is_its_own_portfolio() -> None:
    alone = backtest_of([0.1], trades_of([]))
    assert combine({"A": alone}) is alone


def test_unequal_shares_and_misfitting_bars_are_refused() -> None:
    a = backtest_of([0.1, 0.1], trades_of([]))
    with pytest.raises(DataError, match="unequal shares"):
        combine({"A": a, "B": backtest_of([0.1], trades_of([]), capital=500.0)})
    with pytest.raises(DataError, match="close apart"):
        combine({"A": a, "B": replace(a, closed_at=a.closed_at + 1)})
    with pytest.raises(DataError, match="no backtests"):
        combine({})


def test_folds_follow_one_another_and_equity_goes_on() -> None:
    first = backtest_of([0.1, -0.2], trades_of([-100.0], exit_hours=[2]), low=5.0, regime=[1, 2])
    second = backtest_of([0.3, 0.0], trades_of([300.0], exit_hours=[12]), first_hour=10, low=7.0)
    whole = join([first, second])
    assert (whole.opened_at // HOUR).tolist() == [0, 1, 10, 11]
    assert whole.net_return.tolist() == [0.1, -0.2, 0.3, 0.0]
    assert whole.equity == pytest.approx([1100, 900, 1200, 1200])
    assert whole.equity_low == pytest.approx([1095, 895, 1193, 1193])
    assert whole.regime.tolist() == [1, 2, 0, 0]
    assert whole.trades.net_pnl.tolist() == [-100, 300]
    assert whole.capital == 1000


def test_folds_that_overlap_or_change_the_capital_are_refused() -> None:
    fold = backtest_of([0.1, 0.1], trades_of([]))
    with pytest.raises(DataError, match="begins before"):
        join([fold, backtest_of([0.1], trades_of([]), first_hour=1)])
    with pytest.raises(DataError, match="another capital"):
        join([fold, backtest_of([0.1], trades_of([]), first_hour=2, capital=1.0)])
    with pytest.raises(DataError, match="no folds"):
        join([])
