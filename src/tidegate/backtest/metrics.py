"""The one table of metric names, for MLflow, Prometheus, gates and reports, and the function that fills it."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from tidegate.backtest.costs import BPS, break_even_multiple
from tidegate.backtest.ratios import (
    NAN,
    max_drawdown,
    payoff_ratio,
    profit_factor,
    sharpe,
    sharpe_standard_error,
    sortino,
    wilson_interval,
    win_rate,
)
from tidegate.backtest.result import Backtest
from tidegate.bars.interval import DAY_MS


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Attributes:
        name: the key everywhere.
        title: for people.
        unit: `fraction` (0.1 is 10 %), `ratio`, `bps`, `bars`, `count` or `per day`.
        higher_is_better: None where neither is.
        description: how it is computed, and when it is NaN.
    """

    name: str
    title: str
    unit: str
    higher_is_better: bool | None
    description: str


METRICS: Final = (
    Metric(
        "total_return", "Total return", "fraction", True, "Net profit over the capital; profits are not reinvested."
    ),
    Metric("annual_return", "Annual return", "fraction", True, "Mean net return a period times the periods a year."),
    Metric(
        "sharpe", "Sharpe ratio", "ratio", True, "Annual, of net returns a period; NaN without trades or variation."
    ),
    Metric(
        "sharpe_standard_error",
        "Sharpe standard error",
        "ratio",
        False,
        "Annual; allows for skew, tails and autocorrelation (Mertens 2002, Lo 2002).",
    ),
    Metric("sortino", "Sortino ratio", "ratio", True, "Annual, against zero; NaN without trades or losing periods."),
    Metric(
        "max_drawdown",
        "Maximum drawdown",
        "fraction",
        False,
        "Largest loss from an earlier peak, at the worst moment inside each bar; NaN without trades.",
    ),
    Metric(
        "win_rate",
        "Win rate",
        "fraction",
        True,
        "Share of all closed trades with a profit net of costs; zero is a loss; trades closed by the window's end count.",
    ),
    Metric("win_rate_low", "Win rate, low", "fraction", True, "Lower end of the 95 % Wilson interval."),
    Metric("win_rate_high", "Win rate, high", "fraction", True, "Upper end of the 95 % Wilson interval."),
    Metric("payoff_ratio", "Payoff ratio", "ratio", True, "Mean profit over mean loss; NaN without winners or losers."),
    Metric(
        "profit_factor", "Profit factor", "ratio", True, "Sum of profits over sum of losses; infinite without losses."
    ),
    Metric("trades", "Trades", "count", None, "Closed trades, those closed by the window's end included."),
    Metric("trades_per_day", "Trades a day", "per day", None, "Trades over days of market time (24 h of bars)."),
    Metric("turnover_per_day", "Turnover a day", "per day", None, "Traded value over capital a day of market time."),
    Metric("exposure", "Exposure", "fraction", None, "Mean absolute position over the bars."),
    Metric("average_bars_held", "Average holding", "bars", None, "Mean bars held a trade; NaN without trades."),
    Metric(
        "mean_cost_bps", "Mean cost", "bps", False, "All costs over all traded value, so a side; NaN without trades."
    ),
    Metric("min_cost_bps", "Least cost", "bps", None, "Least cost a side that any trade paid; NaN without trades."),
    Metric("total_cost", "Total cost", "fraction", False, "All costs over the capital."),
    Metric(
        "break_even_cost_multiple",
        "Break-even cost",
        "ratio",
        True,
        "Multiple of the costs paid at which nothing is left; below 0 the trades lose even for nothing; NaN without costs.",
    ),
    Metric(
        "buy_and_hold_return", "Buy and hold return", "fraction", None, "Of the market over the same bars, no costs."
    ),
    Metric("buy_and_hold_sharpe", "Buy and hold Sharpe", "ratio", None, "Annual, of the market over the same bars."),
)
BY_NAME: Final = {metric.name: metric for metric in METRICS}


def summarise(backtest: Backtest, periods_per_year: float) -> dict[str, float]:
    """Every metric of the table, in its order.

    Counts and sums of nothing are zero. Whatever would have to be estimated from nothing is NaN, which every gate refuses: a model
    that never traded has no drawdown to be proud of.

    Args:
        backtest: of one symbol, a portfolio or joined folds.
        periods_per_year: bars a year on the market's calendar.
    """
    returns, trades = backtest.net_return, backtest.trades
    traded = len(trades) > 0
    days = float(np.sum(backtest.closed_at - backtest.opened_at)) / DAY_MS
    mean_return = float(np.mean(returns)) if len(returns) else NAN
    low, high = wilson_interval(int(np.sum(trades.net_pnl > 0)), len(trades))
    turnover, cost = float(backtest.turnover.sum()), float(backtest.cost.sum())
    trade_value = trades.units * (trades.entry_price + trades.exit_price)
    values = {
        "total_return": float(returns.sum()),
        "annual_return": mean_return * periods_per_year,
        "sharpe": sharpe(returns, periods_per_year) if traded else NAN,
        "sharpe_standard_error": sharpe_standard_error(returns, periods_per_year) if traded else NAN,
        "sortino": sortino(returns, periods_per_year) if traded else NAN,
        "max_drawdown": max_drawdown(backtest.equity, backtest.equity_low, backtest.capital) if traded else NAN,
        "win_rate": win_rate(trades.net_pnl),
        "win_rate_low": low,
        "win_rate_high": high,
        "payoff_ratio": payoff_ratio(trades.net_pnl),
        "profit_factor": profit_factor(trades.net_pnl),
        "trades": float(len(trades)),
        "trades_per_day": len(trades) / days if days else NAN,
        "turnover_per_day": turnover / days if days else NAN,
        "exposure": float(np.mean(np.abs(backtest.position))) if len(returns) else NAN,
        "average_bars_held": float(np.mean(trades.bars_held)) if traded else NAN,
        "mean_cost_bps": cost / turnover / BPS if turnover > 0 else NAN,
        "min_cost_bps": float(np.min(trades.cost / trade_value)) / BPS if traded else NAN,
        "total_cost": cost,
        "break_even_cost_multiple": break_even_multiple(backtest),
        "buy_and_hold_return": float(np.prod(1.0 + backtest.market_return) - 1.0) if len(returns) else NAN,
        "buy_and_hold_sharpe": sharpe(backtest.market_return, periods_per_year),
    }
    return {metric.name: values[metric.name] for metric in METRICS}
