"""A path's figures over the whole replay."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tidegate.backtest.ratios import max_drawdown, sharpe, sharpe_standard_error
from tidegate.backtest.result import Floats, Times
from tidegate.pipeline.evidence import plain
from tidegate.replay.life import Life, Stepped
from tidegate.replay.result import MonthRecord, Name, PathResult, Summary
from tidegate.replay.yardstick import ratio_returns
from tidegate.strategy.strategy import Strategy


@dataclass(frozen=True, slots=True, eq=False)
class Walked:
    """What is kept in memory of a month that is over: years of short bars are long.

    Attributes:
        record: what is told.
        net_return: (n,) of the month's bars.
        held: sum of the positions over these bars.
    """

    record: MonthRecord
    net_return: Floats
    held: float

    @classmethod
    def of(cls, stepped: Stepped) -> "Walked":
        """The month without what nobody asks for again."""
        return cls(stepped.record, stepped.traded.net_return, float(stepped.traded.position.sum()))


def path_result(
    life: Life, closed_at: Times, walked: Sequence[Walked], months: tuple[MonthRecord, ...], strategy: Strategy
) -> PathResult:
    """A path with its series and figures.

    Args:
        life: for its names.
        closed_at: (n,) closes of all bars.
        walked: what was traded, month by month, over these bars.
        months: the same months, with hindsight.
        strategy: for the periods of a year.
    """
    net = np.concatenate([month.net_return for month in walked])
    return PathResult(
        life.name, life.title, life.policy, closed_at, net, months, _summary(life.name, net, walked, months, strategy)
    )


def _summary(
    name: Name, net: Floats, walked: Sequence[Walked], months: Sequence[MonthRecord], strategy: Strategy
) -> Summary:
    per_year = strategy.periods_per_year
    returns = ratio_returns(name, net)
    equity = 1.0 + np.cumsum(net)
    outcomes = [month.outcome for month in months]
    acts = [act.kind for month in months for act in month.acts]
    return Summary(
        total_return=float(net.sum()),
        annual_return=float(net.mean()) * per_year,
        sharpe=plain(sharpe(returns, per_year)),
        sharpe_standard_error=plain(sharpe_standard_error(returns, per_year)),
        max_drawdown=max_drawdown(equity, equity, 1.0),
        trades=sum(month.live.trades for month in months),
        costs=sum(month.live.costs for month in months),
        promotions=outcomes.count("promoted"),
        refusals=outcomes.count("refused"),
        failures=outcomes.count("failed"),
        rollbacks=acts.count("rollback"),
        halts=acts.count("halt"),
        expiries=acts.count("expiry"),
        exposure=sum(month.held for month in walked) / len(net),
    )
