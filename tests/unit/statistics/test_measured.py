"""What `benchmarks.statistics_errors` draws is what its tables say."""

import math

import numpy as np
import pytest
from benchmarks.statistics_errors import DAILY, ENOUGH, HELD, HOURLY, HOURS, YEAR, record, share

from tidegate.backtest.ratios import payoff_ratio, win_rate
from tidegate.backtest.result import Floats

DAYS = {**DAILY, **ENOUGH}


@pytest.mark.parametrize("name", [*DAYS, *HOURLY])
def test_worlds_without_skill_have_none(name: str) -> None:
    draw, n = (DAYS[name], YEAR) if name in DAYS else (HOURLY[name], HOURS)
    means = np.array([draw(np.random.default_rng([3, seed]), n).mean() for seed in range(300)])
    assert abs(means.mean()) <= 4 * means.std(ddof=1) / math.sqrt(300)


def trades_in(returns: Floats, held: int) -> Floats:
    """What each slot of bars earned, where anything moved."""
    slots = returns[: len(returns) // held * held].reshape(-1, held)
    return np.asarray(slots.sum(axis=1)[(slots != 0).any(axis=1)], np.float64)


@pytest.mark.parametrize(
    ("name", "trades", "rate"),
    [("40 trades, 85 % win", 40, 0.85), (f"100 trades of {HELD} bars, 60 % win", 100, 0.6)],
)
def test_trades_are_as_many_and_win_as_often_as_said(name: str, trades: int, rate: float) -> None:
    daily = name in DAILY
    draw, n, held = (DAILY[name], YEAR, 1) if daily else (HOURLY[name], HOURS, HELD)
    worlds = 200
    ends = np.concatenate([trades_in(draw(np.random.default_rng([4, seed]), n), held) for seed in range(worlds)])
    assert len(ends) == pytest.approx(trades * worlds, abs=4 * math.sqrt(trades * worlds))
    assert np.mean(ends > 0) == pytest.approx(rate, abs=4 * math.sqrt(rate * (1 - rate) / len(ends)))


def test_within_a_trade_the_price_has_no_memory() -> None:
    chance = np.random.default_rng(5)
    returns = HOURLY[f"500 trades of {HELD} bars, 60 % win"](chance, 200 * HOURS)
    slots = returns[: len(returns) // HELD * HELD].reshape(-1, HELD)
    slots = slots[(slots != 0).any(axis=1)]
    spread = slots.std()
    assert np.mean(slots[:, 1:] * slots[:, :-1]) / spread**2 == pytest.approx(0.0, abs=0.02)
    assert slots.sum(axis=1).std() == pytest.approx(spread * math.sqrt(HELD), rel=0.05)


@pytest.mark.parametrize("in_clusters", [False, True])
def test_the_strategy_with_an_edge_wins_about_60_percent(in_clusters: bool) -> None:
    backtest = record(np.random.default_rng(6), 200 * YEAR, 200 * 250, in_clusters=in_clusters)
    assert win_rate(backtest.trades.net_pnl) == pytest.approx(0.6, abs=0.02)
    assert payoff_ratio(backtest.trades.net_pnl) == pytest.approx(1.0, abs=0.03)
    assert backtest.net_return.sum() * backtest.capital == pytest.approx(backtest.trades.net_pnl.sum())


def test_a_share_stands_with_its_error() -> None:
    assert share(np.array([True] * 25 + [False] * 75)).split() == ["25.00%", "±4.33%"]
