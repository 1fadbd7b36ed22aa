import math

import numpy as np
import pytest
from numpy.typing import ArrayLike
from tests.property.backtest.markets import random_bars, random_target

from tidegate.backtest import reference
from tidegate.backtest.baselines import _scattered, buy_and_hold, random_entries
from tidegate.backtest.portfolio import combine
from tidegate.backtest.result import Backtest
from tidegate.bars.bars import Bars
from tidegate.errors import DataError
from tidegate.strategy.strategy import Costs

COSTS = Costs(impact_coefficient=0.2)
YEAR = 365 * 288.0


def ledger_of(bars: Bars, target: ArrayLike, costs: Costs = COSTS) -> Backtest:
    n = len(bars)
    return reference.run(bars, np.asarray(target, dtype=np.int8), costs, 1000.0, np.zeros(n, np.int8))


def test_a_scattered_trade_earns_what_the_ledger_says_it_earns() -> None:
    bars = random_bars(1, 40)
    for sides in ([1, 1, 1], [-1, -1]):
        trades = ledger_of(bars, sides + [0] * (40 - len(sides))).trades
        returns = _scattered(bars, trades, COSTS, 1000.0, 1.0, np.random.default_rng(2))
        moved = np.flatnonzero(returns)
        target = np.zeros(40, np.int8)
        target[moved[0] - 1 : moved[0] - 1 + len(sides)] = sides[0]
        np.testing.assert_allclose(returns, ledger_of(bars, target).net_return, rtol=0, atol=1e-13)


def test_a_trade_that_fills_all_bars_has_one_place_only() -> None:
    bars = random_bars(3, 10)
    held = buy_and_hold(bars, COSTS, 1000.0)
    returns = _scattered(bars, held.trades, COSTS, 1000.0, 1.0, np.random.default_rng(0))
    np.testing.assert_allclose(returns, held.net_return, rtol=0, atol=1e-13)


def test_every_place_is_equally_likely() -> None:
    bars = random_bars(4, 7)
    trades = ledger_of(bars, [1, 0, 0, 0, 0, 0, 0]).trades
    rng = np.random.default_rng(1)
    places = [int(np.flatnonzero(_scattered(bars, trades, COSTS, 1000.0, 1.0, rng))[0]) for _ in range(3000)]
    counts = np.bincount(places, minlength=7)
    assert counts[0] == 0
    assert counts[1:] == pytest.approx([500] * 6, abs=90)


def test_foresight_beats_every_random_strategy_and_its_mirror_none() -> None:
    bars = random_bars(5, 400)
    seeing = np.zeros(400, np.int8)
    seeing[:-1] = np.sign(bars.close[1:] - bars.open[1:])
    good = random_entries({"X/Y": bars}, ledger_of(bars, seeing), COSTS, YEAR, seed=1, draws=50)
    bad = random_entries({"X/Y": bars}, ledger_of(bars, -seeing), COSTS, YEAR, seed=1, draws=50)
    assert (good.sharpe_percentile, good.total_return_percentile) == (1.0, 1.0)
    assert (bad.sharpe_percentile, bad.total_return_percentile) == (0.0, 0.0)
    assert good.sharpe.shape == good.total_return.shape == (50,)


def test_chance_lies_in_the_middle_of_chance() -> None:
    free = Costs(fee_bps=1)
    percentiles = []
    for seed in range(60):
        bars = random_bars(seed, 300)
        chance = ledger_of(bars, random_target(seed, 300, 0.9), free)
        percentiles.append(random_entries({"X/Y": bars}, chance, free, YEAR, seed=7, draws=40).sharpe_percentile)
    # Uniform on [0, 1]: the mean of 60 has a standard error of 0.037.
    assert np.mean(percentiles) == pytest.approx(0.5, abs=0.12)
    assert np.std(percentiles) == pytest.approx(math.sqrt(1 / 12), abs=0.08)


def test_same_seed_same_draws() -> None:
    bars = random_bars(6, 200)
    result = ledger_of(bars, random_target(6, 200, 0.8))
    first, again, other = (
        random_entries({"X/Y": bars}, result, COSTS, YEAR, seed=seed, draws=5).sharpe for seed in (1, 1, 2)
    )
    assert first.tolist() == again.tolist() != other.tolist()


def test_a_portfolio_is_judged_symbol_by_symbol() -> None:
    parts = {name: random_bars(seed, 150, symbol=name) for name, seed in (("A/B", 1), ("C/D", 2))}
    results = {name: ledger_of(bars, random_target(3, 150, 0.8)) for name, bars in parts.items()}
    whole = combine(results)
    found = random_entries(parts, whole, COSTS, YEAR, seed=1, draws=10)
    assert np.isfinite(found.sharpe).all()
    # Sides, holding times and costs are alike, so random results are of the strategy's size.
    assert np.abs(found.total_return).max() < 20 * np.abs(whole.net_return).sum()


def test_no_trades_are_no_baseline() -> None:
    bars = random_bars(8, 50)
    found = random_entries({"X/Y": bars}, ledger_of(bars, [0] * 50), COSTS, YEAR, seed=1, draws=3)
    assert np.isnan(found.sharpe).all()
    assert math.isnan(found.sharpe_percentile)
    assert math.isnan(found.total_return_percentile)


def test_foreign_or_missing_bars_are_refused() -> None:
    bars = random_bars(9, 50)
    result = ledger_of(bars, random_target(9, 50, 0.5))
    with pytest.raises(DataError, match="times that the backtest has not"):
        random_entries({"X/Y": random_bars(10, 90)}, result, COSTS, YEAR, seed=1)
    with pytest.raises(DataError, match="bars of traded symbols are missing"):
        random_entries({"A/B": bars}, result, COSTS, YEAR, seed=1)


def test_buy_and_hold_by_hand() -> None:
    prices = [100.0, 100.0, 120.0, 150.0]
    bars = Bars.of(
        "X/Y", "5m", opened_at=np.arange(4) * 300_000, open=prices, high=prices, low=prices, close=prices, volume=prices
    )
    held = buy_and_hold(bars, Costs(fee_bps=10, half_spread_bps=0, slippage_bps=0), 1000.0)
    assert held.trades.net_pnl == pytest.approx([500 - 1 - 1.5])
