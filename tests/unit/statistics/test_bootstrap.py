import math
from dataclasses import astuple, replace

import numpy as np
import pytest
from arch.bootstrap import StationaryBootstrap, optimal_block_length
from tests.unit.backtest.samples import HOUR, backtest_of, trades_of

from tidegate.backtest import ratios
from tidegate.backtest.result import Backtest, Floats, Trades
from tidegate.bars.interval import DAY_MS
from tidegate.statistics import bootstrap
from tidegate.statistics.bootstrap import (
    block_length,
    interval_of,
    metric_intervals,
    resamples,
    stationary_rows,
    times_drawn,
)

NAMES = ("sharpe", "win_rate", "max_drawdown", "profit_factor", "payoff_ratio", "total_return")


def following(n: int, share: float, seed: int) -> Floats:
    noise = np.random.default_rng(seed).standard_normal(n)
    for row in range(1, n):
        noise[row] += share * noise[row - 1]
    return noise


def strategy(n: int, trades: int, seed: int = 1, low: float = 2.0) -> Backtest:
    """n hours with a trade's profit in some of them."""
    chance = np.random.default_rng(seed)
    returns = chance.normal(0.0005, 0.01, n)
    exits = np.sort(chance.choice(np.arange(2, n + 1), trades, replace=False))
    net = chance.normal(1.0, 10.0, trades)
    return backtest_of(returns.tolist(), trades_of(net.tolist(), exit_hours=exits.tolist()), low=low)


def test_block_lengths_grow_with_what_follows_from_one_another() -> None:
    lengths = [block_length(following(2000, share, 5)) for share in (0.0, 0.3, 0.7, 0.95)]
    assert lengths == sorted(lengths)
    assert lengths[0] < 4.0
    assert lengths[-1] > 10.0
    assert lengths[-1] == pytest.approx(optimal_block_length(following(2000, 0.95, 5))["stationary"].iloc[0])


@pytest.mark.parametrize("series", [np.zeros(100), np.ones(1), np.empty(0), np.arange(19.0), -np.ones(50) * 1e-300])
def test_where_nothing_can_be_told_blocks_are_single(series: Floats) -> None:
    assert block_length(series) == 1.0


def test_a_series_that_is_not_finite_has_no_block_length() -> None:
    assert math.isnan(block_length(np.array([1.0, math.nan] * 20)))


@pytest.mark.parametrize("block", [1.0, 4.0, 25.0])
def test_blocks_are_geometric_and_wrap_around(block: float) -> None:
    n, draws = 200, 300
    rows = stationary_rows(n, block, draws, np.random.default_rng(1))
    assert rows.shape == (draws, n)
    assert rows.min() == 0
    assert rows.max() == n - 1
    goes_on = (rows[:, 1:] == (rows[:, :-1] + 1) % n).mean()
    # A block goes on with probability 1 - 1 / block; a new one begins at just the next row with 1 / n.
    stays = 1.0 - 1.0 / block
    expected = stays + (1.0 - stays) / n
    assert goes_on == pytest.approx(expected, abs=5 * math.sqrt(max(expected * (1 - expected), 1 / n) / (draws * n)))
    assert np.bincount(rows.ravel(), minlength=n) == pytest.approx(np.full(n, draws), abs=8 * math.sqrt(draws * block))


def test_resamples_come_in_parts_of_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "_CHUNK", 1000)
    parts = [rows.shape for rows in resamples(300, 2.0, 10, np.random.default_rng(1))]
    assert parts == [(3, 300)] * 3 + [(1, 300)]


def test_times_drawn_counts() -> None:
    rows = np.array([[0, 1, 1], [2, 2, 2]])
    assert times_drawn(rows, 3).tolist() == [[1.0, 2.0, 0.0], [0.0, 0.0, 3.0]]


@pytest.mark.parametrize(
    ("draws", "low", "high"),
    [
        (range(101), 2.0, 98.0),
        ([1.0] * 40, 1.0, 1.0),
        ([math.nan] + [1.0] * 100, 1.0, 1.0),
        ([math.nan] * 5 + [1.0] * 96, math.nan, math.nan),
        ([math.inf] * 5 + [1.0] * 96, 1.0, math.inf),
        ([math.nan], math.nan, math.nan),
    ],
)
def test_an_interval_is_as_wide_as_its_unknown_draws_allow(draws: list[float], low: float, high: float) -> None:
    found = interval_of(np.array(draws, np.float64), 0.95, 1.0)
    assert (found.low, found.high) == pytest.approx((low, high), nan_ok=True)


@pytest.mark.parametrize("hours", [500, 4800])
def test_undisturbed_units_have_the_metrics_of_the_bars(hours: int) -> None:
    # As if each unit were drawn once and in order: whatever days hold of their bars must give the bars' own figures.
    backtest = strategy(hours, 100)
    units = bootstrap._units(backtest)
    n = len(units.profit)
    assert n == (500 if hours == 500 else 200)
    assert units.count.sum() == hours
    assert units.profit.sum() == pytest.approx(backtest.net_return.sum())
    assert units.square.sum() == pytest.approx(np.sum(backtest.net_return**2))
    (fall,) = bootstrap._drawdown(units, np.arange(n)[None, :])
    assert fall == pytest.approx(ratios.max_drawdown(backtest.equity, backtest.equity_low, backtest.capital), rel=1e-3)


def test_the_drawdown_of_a_shuffled_path_is_that_of_its_bars() -> None:
    backtest = strategy(72, 10)
    days = np.array([2, 0, 0, 1])
    hours = (days[:, None] * 24 + np.arange(24)).ravel()
    returns = backtest.net_return[hours]
    equity = 1000.0 * (1.0 + np.cumsum(returns))
    low = equity + (backtest.equity_low - backtest.equity)[hours]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bootstrap, "MOST_UNITS", 50)
        patch.setattr(bootstrap, "_LEAST_DAYS", 2)
        units = bootstrap._units(backtest)
    (fall,) = bootstrap._drawdown(units, days[None, :])
    assert fall == pytest.approx(ratios.max_drawdown(equity, low, 1000.0), rel=1e-3)


@pytest.mark.parametrize(
    ("returns", "low", "fall"),
    [
        # Lows of rising bars lie above the close before: nothing was lost from any earlier close.
        ([0.5, 0.4, 0.5, 0.4], 300.0, 0.0),
        # Up to 1.5 and down to 1.1 within the first day.
        ([0.5, -0.3, 0.4, 0.4], 100.0, 0.4 / 1.5),
    ],
)
def test_a_fall_inside_a_day_counts_from_an_earlier_close(returns: list[float], low: float, fall: float) -> None:
    backtest = backtest_of(returns, trades_of([1.0]), hours=[0, 1, 24, 25], low=low)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bootstrap, "MOST_UNITS", 3)
        patch.setattr(bootstrap, "_LEAST_DAYS", 2)
        units = bootstrap._units(backtest)
    assert units.count.tolist() == [2.0, 2.0]
    assert bootstrap._drawdown(units, np.array([[0, 1]])) == pytest.approx([fall])
    assert ratios.max_drawdown(backtest.equity, backtest.equity_low, 1000.0) == pytest.approx(fall)


@pytest.mark.parametrize("returns", [[-0.5] * 8, [0.5, -1.5, -2.0, 1.0, 0.0, -1.0, 3.0, -0.5]])
def test_more_than_everything_may_be_lost(returns: list[float]) -> None:
    backtest = backtest_of(returns, trades_of([1.0]), low=5.0)
    (fall,) = bootstrap._drawdown(bootstrap._units(backtest), np.arange(8)[None, :])
    assert fall == pytest.approx(ratios.max_drawdown(backtest.equity, backtest.equity_low, 1000.0))
    assert fall > 1.0


def test_many_bars_are_drawn_by_days_and_few_days_by_runs_of_bars() -> None:
    day_of_bar = (np.arange(2400) * HOUR + HOUR - 1) // DAY_MS
    assert np.array_equal(bootstrap._together(np.arange(2400) * HOUR, 2400), day_of_bar)
    minutes = bootstrap._together(np.arange(7200) * HOUR // 60, 7200)
    assert (len(np.unique(minutes)), minutes[-1]) == (1800, 1799)


def test_one_day_of_bars_more_or_less_changes_little_at_the_border() -> None:
    # 2,000 bars are drawn one by one, 2,001 by days: the intervals must tell the same story.
    single, daily = (metric_intervals(strategy(n, 150, seed=3), 8760, seed=1) for n in (2000, 2040))
    for name in ("sharpe", "total_return"):
        width = single[name].high - single[name].low
        assert daily[name].low == pytest.approx(single[name].low, abs=0.35 * width)
        assert daily[name].high == pytest.approx(single[name].high, abs=0.35 * width)


def test_sharpe_agrees_with_arch() -> None:
    backtest = strategy(200, 50)
    found = metric_intervals(backtest, 365, seed=1, draws=4000)["sharpe"]
    other = StationaryBootstrap(found.block, backtest.net_return, seed=2)
    low, high = other.conf_int(lambda r: ratios.sharpe(r, 365), reps=2000, method="percentile").ravel()
    # A percentile's own standard error is about sqrt(p (1 - p) / draws) over the density: 6 % of a standard deviation at 2,000 draws.
    spread = (found.high - found.low) / 3.92
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.3 * spread)


def test_trade_metrics_are_those_of_the_drawn_trades() -> None:
    backtest = strategy(400, 80)
    found = metric_intervals(backtest, 8760, seed=4, draws=300)
    net = backtest.trades.net_pnl
    block = max(block_length(net), block_length((net > 0).astype(np.float64)))
    drawn = net[stationary_rows(80, block, 300, np.random.default_rng([4, 1]))]
    for name, metric in (
        ("win_rate", ratios.win_rate),
        ("profit_factor", ratios.profit_factor),
        ("payoff_ratio", ratios.payoff_ratio),
    ):
        expected = interval_of(np.array([metric(each) for each in drawn]), 0.95, block)
        assert astuple(found[name]) == pytest.approx(astuple(expected)), name


def test_series_metrics_are_those_of_the_drawn_bars() -> None:
    backtest = strategy(300, 40)
    found = metric_intervals(backtest, 8760, seed=4, draws=300)
    block = block_length(backtest.net_return)
    rows = stationary_rows(300, block, 300, np.random.default_rng([4, 0]))
    drawn = backtest.net_return[rows]
    falls = []
    for each in drawn:
        equity = 1000.0 * (1.0 + np.cumsum(each))
        falls.append(ratios.max_drawdown(equity, equity - 2.0, 1000.0))
    for name, values in (
        ("sharpe", [ratios.sharpe(each, 8760) for each in drawn]),
        ("total_return", drawn.sum(axis=1)),
        ("max_drawdown", falls),
    ):
        assert astuple(found[name]) == pytest.approx(astuple(interval_of(np.array(values), 0.95, block))), name


def test_many_trades_are_drawn_by_days() -> None:
    found = metric_intervals(strategy(4800, 3000), 8760, seed=1, draws=500)
    plain = ratios.wilson_interval(*_counted(strategy(4800, 3000).trades))
    assert found["win_rate"].low == pytest.approx(plain[0], abs=0.006)
    assert found["win_rate"].high == pytest.approx(plain[1], abs=0.006)


def _counted(trades: Trades) -> tuple[int, int]:
    return int(np.sum(trades.net_pnl > 0)), len(trades)


def test_trades_are_drawn_in_order_of_exit() -> None:
    backtest = strategy(400, 80)
    mixed = replace(backtest, trades=backtest.trades.take(np.random.default_rng(1).permutation(80)))
    assert metric_intervals(mixed, 8760, seed=1, draws=50) == metric_intervals(backtest, 8760, seed=1, draws=50)


def test_a_trade_that_made_exactly_nothing_is_a_loss() -> None:
    found = metric_intervals(backtest_of([0.001] * 30, trades_of([0.0] * 30)), 365, seed=1, draws=50)
    assert (found["win_rate"].low, found["win_rate"].high) == (0.0, 0.0)
    assert math.isnan(found["profit_factor"].low)


def test_the_return_of_days_of_unequal_length_is_that_of_the_record() -> None:
    # Every second day has but one bar. Each bar earns the same, so each resample must earn the same, whichever days it holds.
    hours = [day * 24 + hour for day in range(200) for hour in (range(24) if day % 2 else range(1))]
    backtest = backtest_of([0.001] * len(hours), trades_of([1.0]), hours=hours)
    assert len(hours) > bootstrap.MOST_UNITS
    found = metric_intervals(backtest, 8760, seed=1, draws=50)["total_return"]
    assert (found.low, found.high) == pytest.approx((2.5, 2.5))


def test_trades_without_a_loss_have_an_infinite_profit_factor_and_no_payoff() -> None:
    found = metric_intervals(backtest_of([0.001, 0.002] * 20, trades_of([1.0] * 20)), 365, seed=1, draws=100)
    assert (found["win_rate"].low, found["win_rate"].high) == (1.0, 1.0)
    assert found["profit_factor"].low == math.inf
    assert math.isnan(found["payoff_ratio"].low)
    assert math.isnan(found["payoff_ratio"].high)


@pytest.mark.parametrize(
    "backtest",
    [
        backtest_of([0.0] * 5, Trades.empty()),
        backtest_of([], Trades.empty()),
        backtest_of([0.1, math.nan, 0.2], trades_of([1.0])),
        backtest_of([0.1, math.inf, 0.2], trades_of([1.0])),
        backtest_of([0.1, -0.1, 0.2], trades_of([1.0, math.nan])),
        backtest_of([0.1, -0.1, 0.2], trades_of([1.0]), low=math.nan),
    ],
)
def test_nothing_to_stand_on_is_nan(backtest: Backtest) -> None:
    found = metric_intervals(backtest, 365, seed=1)
    assert tuple(found) == NAMES
    assert all(math.isnan(each.low) and math.isnan(each.high) for each in found.values())


def test_equal_returns_have_no_sharpe_interval() -> None:
    found = metric_intervals(backtest_of([0.1] * 40, trades_of([1.0])), 365, seed=1)
    assert math.isnan(found["sharpe"].low)
    assert found["total_return"].low == pytest.approx(4.0)


def test_same_seed_same_intervals() -> None:
    first, again, other = (metric_intervals(strategy(300, 40), 8760, seed=seed, draws=100) for seed in (1, 1, 2))
    assert first == again
    assert first["sharpe"] != other["sharpe"]
