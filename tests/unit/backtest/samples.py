"""Backtests written down by hand."""

from collections.abc import Sequence

import numpy as np

from tidegate.backtest.result import Backtest, Trades

HOUR = 3_600_000


def trades_of(
    net_pnl: Sequence[float],
    *,
    cost: float = 1.0,
    symbol: str = "X/Y",
    exit_hours: Sequence[int] | None = None,
    regime: Sequence[int] | None = None,
    bars_held: Sequence[int] | None = None,
) -> Trades:
    """Long trades of 10 units from 100 to 100, each with its net profit; capital 1000."""
    m = len(net_pnl)
    net = np.array(net_pnl, dtype=np.float64)
    exits = np.array(exit_hours if exit_hours is not None else range(2, m + 2)) * HOUR
    return Trades.of(
        symbol=np.full(m, symbol),
        side=np.ones(m),
        entry_at=exits - HOUR,
        exit_at=exits,
        signal_at=exits - HOUR,
        entry_price=np.full(m, 100.0),
        exit_price=np.full(m, 100.0),
        units=np.full(m, 10.0),
        gross_pnl=net + cost,
        cost=np.full(m, cost),
        net_pnl=net,
        net_return=net / 1000.0,
        bars_held=bars_held if bars_held is not None else np.ones(m),
        regime=regime if regime is not None else np.zeros(m),
        forced_exit=np.zeros(m),
    )


def backtest_of(
    net_return: Sequence[float],
    trades: Trades,
    *,
    first_hour: int = 0,
    hours: Sequence[int] | None = None,
    position: Sequence[float] | None = None,
    low: float = 0.0,
    market: Sequence[float] | None = None,
    regime: Sequence[int] | None = None,
    turnover: float = 0.0,
    cost: float = 0.0,
    capital: float = 1000.0,
) -> Backtest:
    """Hourly bars; the worst equity inside each bar lies `low` under its close."""
    n = len(net_return)
    returns = np.array(net_return, dtype=np.float64)
    opened = np.array(hours if hours is not None else range(first_hour, first_hour + n), dtype=np.int64) * HOUR
    equity = capital * (1.0 + np.cumsum(returns))
    return Backtest(
        opened_at=opened,
        closed_at=opened + HOUR,
        position=np.array(position if position is not None else np.zeros(n), dtype=np.float64),
        net_return=returns,
        cost=np.full(n, cost),
        turnover=np.full(n, turnover),
        equity=equity,
        equity_low=equity - low,
        market_return=np.array(market if market is not None else np.zeros(n), dtype=np.float64),
        regime=np.array(regime if regime is not None else np.zeros(n), dtype=np.int8),
        capital=capital,
        trades=trades,
    )
