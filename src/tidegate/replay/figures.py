"""A path's figures over the whole replay."""

from collections.abc import Sequence

import numpy as np

from tidegate.backtest.ratios import sharpe, sharpe_standard_error
from tidegate.replay.life import Life, Stepped, finite
from tidegate.replay.result import MonthRecord, PathResult, Summary
from tidegate.strategy.strategy import Strategy


def path_result(
    life: Life, steps: Sequence[Stepped], months: tuple[MonthRecord, ...], strategy: Strategy
) -> PathResult:
    """A path with its series and figures.

    Args:
        life: for its names.
        steps: what was traded, month by month.
        months: the same months, with hindsight.
        strategy: for the periods of a year.
    """
    traded = [step.traded for step in steps]
    closed_at, net, position = (
        np.concatenate([getattr(part, name) for part in traded]) for name in ("closed_at", "net_return", "position")
    )
    per_year = strategy.periods_per_year
    equity = 1.0 + np.concatenate(([0.0], np.cumsum(net)))
    outcomes = [month.outcome for month in months]
    acts = [act.kind for month in months for act in month.acts]
    summary = Summary(
        total_return=float(net.sum()),
        annual_return=float(net.mean()) * per_year,
        sharpe=finite(sharpe(net, per_year)),
        sharpe_standard_error=finite(sharpe_standard_error(net, per_year)),
        max_drawdown=float((1.0 - equity / np.maximum.accumulate(equity)).max()),
        trades=sum(month.live.trades for month in months),
        costs=sum(month.live.costs for month in months),
        promotions=outcomes.count("promoted"),
        refusals=outcomes.count("refused"),
        failures=outcomes.count("failed"),
        rollbacks=acts.count("rollback"),
        halts=acts.count("halt"),
        expiries=acts.count("expiry"),
        exposure=float(np.mean(position)),
    )
    return PathResult(life.name, life.title, life.policy, closed_at, net, months, summary)
