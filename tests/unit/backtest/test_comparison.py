import math
from dataclasses import replace

import numpy as np
import pytest
from tests.property.backtest.markets import random_bars, random_target

from tidegate.backtest import reference
from tidegate.backtest.comparison import difference
from tidegate.backtest.result import Backtest, Trades
from tidegate.strategy.strategy import Costs

SERIES = ["position", "net_return", "cost", "turnover", "equity", "equity_low", "market_return"]
INEXACT = ["entry_price", "exit_price", "units", "gross_pnl", "cost", "net_pnl", "net_return"]
EXACT = ["side", "entry_at", "exit_at", "signal_at", "bars_held", "regime"]


@pytest.fixture
def sample() -> Backtest:
    return reference.run(random_bars(1, 60), random_target(1, 60, 0.7), Costs(), 1000.0, np.zeros(60, np.int8))


def with_trade(sample: Backtest, name: str, change: float) -> Backtest:
    column = getattr(sample.trades, name).copy()
    column[-1] += change
    return replace(sample, trades=replace(sample.trades, **{name: column}))


def test_a_backtest_equals_itself(sample: Backtest) -> None:
    assert difference(sample, sample) == 0.0


@pytest.mark.parametrize("name", SERIES)
def test_a_change_in_any_series_is_seen_in_its_size(sample: Backtest, name: str) -> None:
    column = getattr(sample, name).copy()
    largest = np.abs(column).max()
    column[np.argmax(np.abs(column))] *= 1 + 1e-6
    assert difference(sample, replace(sample, **{name: column})) == pytest.approx(1e-6, rel=1e-3)
    column[3] = math.nan
    assert difference(sample, replace(sample, **{name: column})) == math.inf
    assert largest > 0


@pytest.mark.parametrize("name", INEXACT)
def test_a_change_in_any_trade_column_is_seen(sample: Backtest, name: str) -> None:
    largest = float(np.abs(getattr(sample.trades, name)).max())
    assert difference(sample, with_trade(sample, name, largest * 1e-6)) == pytest.approx(1e-6, rel=0.01)
    assert difference(sample, with_trade(sample, name, math.inf)) == math.inf


@pytest.mark.parametrize("name", EXACT)
def test_what_must_be_exact_is_infinitely_wrong(sample: Backtest, name: str) -> None:
    assert difference(sample, with_trade(sample, name, 1)) == math.inf


def test_another_number_of_trades_or_bars_is_infinitely_wrong(sample: Backtest) -> None:
    assert difference(sample, replace(sample, trades=sample.trades.take(np.arange(1)))) == math.inf
    assert difference(sample, replace(sample, trades=Trades.empty())) == math.inf
    assert difference(sample, replace(sample, capital=1001.0)) == math.inf
    assert difference(sample, replace(sample, closed_at=sample.closed_at + 1)) == math.inf
    assert difference(sample, replace(sample, regime=sample.regime + np.int8(1))) == math.inf


def test_rounding_around_nothing_is_no_difference() -> None:
    bars = random_bars(2, 5)
    still = reference.run(bars, np.zeros(5, np.int8), Costs(), 1000.0, np.zeros(5, np.int8))
    assert difference(still, replace(still, net_return=still.net_return + 1e-17)) < 1e-9
    assert difference(still, replace(still, net_return=still.net_return + 1e-9)) > 1e-9
