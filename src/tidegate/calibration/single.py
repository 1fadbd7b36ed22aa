"""One world trade by trade, as a backtest that the full statistics can be taken of."""

import numpy as np
from numpy.typing import NDArray

from tidegate.backtest.result import Backtest, Floats, Times, Trades
from tidegate.bars.interval import DAY_MS
from tidegate.calibration.draws import Days
from tidegate.calibration.figures import Figures

CAPITAL = 10_000.0
_UNKNOWN_REGIME = -1


def as_backtest(rng: np.random.Generator, days: Days, world: int, figures: Figures) -> Backtest:
    """The days of one world, a bar each, with trades whose profits add up to them.

    Args:
        rng: the chance by which a day's sums are split over its trades.
        days: of all worlds.
        world: which.
        figures: how single profits and losses vary, and the regimes' shares.
    """
    net = days.returns[world].astype(np.float64)
    n = len(net)
    equity = CAPITAL * (1.0 + np.cumsum(net))
    opened_at = np.arange(n, dtype=np.int64) * DAY_MS
    trades = _trades(rng, days, world, figures, opened_at)
    cost = np.bincount(trades.entry_at // DAY_MS, minlength=n).astype(np.float64) * figures.cost
    return Backtest(
        opened_at=opened_at,
        closed_at=opened_at + DAY_MS,
        position=np.zeros(n),
        net_return=net,
        cost=cost,
        turnover=np.where(cost > 0, 2.0, 0.0),
        equity=equity,
        equity_low=equity.copy(),
        market_return=np.zeros(n),
        regime=np.full(n, _UNKNOWN_REGIME, np.int8),
        capital=CAPITAL,
        trades=trades,
    )


def _trades(rng: np.random.Generator, days: Days, world: int, figures: Figures, opened_at: Times) -> Trades:
    day, net = [], []
    for counts, sums, mean, spread, sign in (
        (days.wins, days.gained, figures.gain, figures.gain_spread, 1.0),
        (days.losses, days.lost, figures.loss, figures.loss_spread, -1.0),
    ):
        numbers = counts[world].astype(np.int64)
        on = np.repeat(np.arange(len(numbers)), numbers)
        day.append(on)
        net.append(sign * _split(rng, on, sums[world].astype(np.float64), mean, spread))
    on, profit = np.concatenate(day), np.concatenate(net)
    order = np.lexsort((rng.random(len(on)), on))
    on, profit = on[order], profit[order] * CAPITAL
    count = len(on)
    start = opened_at[on] if count else np.array([], np.int64)
    shares = [*figures.regimes, max(0.0, 1.0 - sum(figures.regimes))]
    regime = rng.choice([0, 1, 2, _UNKNOWN_REGIME], count, p=np.array(shares) / sum(shares))
    cost = np.full(count, figures.cost * CAPITAL)
    return Trades.of(
        symbol=np.full(count, "SIM"),
        side=np.ones(count),
        entry_at=start,
        exit_at=start + DAY_MS // 2,
        signal_at=start,
        entry_price=np.ones(count),
        exit_price=np.ones(count),
        units=np.full(count, CAPITAL),
        gross_pnl=profit + cost,
        cost=cost,
        net_pnl=profit,
        net_return=profit / CAPITAL,
        bars_held=np.ones(count),
        regime=regime,
        forced_exit=np.zeros(count),
    )


def _split(rng: np.random.Generator, on: NDArray[np.intp], sums: Floats, mean: float, spread: float) -> Floats:
    """Amounts of single trades: gamma distributed, scaled so that each day's add up to its sum."""
    weights = rng.standard_gamma((mean / spread) ** 2, len(on)) if spread > mean * 1e-3 else np.ones(len(on))
    totals = np.bincount(on, weights, minlength=len(sums))
    found: Floats = weights * sums[on] / np.where(totals > 0, totals, 1.0)[on]
    return found
