"""Stage B: one path through the months, in order: decide, promote, trade, watch, roll back, with the code of production and a clock of history.

What a person does in production is done here by a rule, since nobody is there: incidents are closed at the next retrain, and a halt ends with
the next model that the gates let through; until then nothing trades.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tidegate.backtest.ratios import max_drawdown
from tidegate.backtest.result import Trades
from tidegate.gates.result import Decision
from tidegate.pipeline.evidence import plain
from tidegate.pipeline.judge import Measured
from tidegate.replay.market import Market
from tidegate.replay.plan import Month
from tidegate.replay.result import Act, Live, MonthRecord, Name, Number, Outcome
from tidegate.replay.trading import Stint, Traded, close, enter, idle, join, settling, trade
from tidegate.replay.trained import TrainedMonth

_SHOWN = ("sharpe", "sharpe_standard_error", "win_rate", "max_drawdown", "trades")


@dataclass(frozen=True, slots=True, eq=False)
class Newest:
    """What stage A found for a month.

    Attributes:
        month: the month.
        trained: its folder.
        version: its number, by which all paths know it; None where no model could be trained.
        measured: None where no model could be trained.
        tried: annual Sharpe ratio by the trial's id, of all months up to this one.
    """

    month: Month
    trained: TrainedMonth
    version: int | None
    measured: Measured | None
    tried: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Ruling:
    """What a retrain came to: `refusals` as `title: reason`."""

    outcome: Outcome
    refusals: tuple[str, ...] = ()
    metrics: Mapping[str, Number] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Stepped:
    """One month of a path: what is told, and what was traded."""

    record: MonthRecord
    traded: Traded


class Life(Protocol):
    """A path. Its state after a month is plain text, so that a process that died goes on from there."""

    name: Name
    title: str
    policy: str

    def step(self, newest: Newest) -> Stepped:
        """Live through one month."""

    def know(self, newest: Newest) -> None:
        """Hear of a month that was lived through before: its model may still be traded or gone back to."""

    def remember(self, traded: Traded) -> None:
        """Hear of what was earned in such a month."""

    def save(self) -> str:
        """The state after the last month, as JSON."""

    def load(self, content: str) -> None:
        """Go on from a state."""


class Desk:
    """What every path with models shares: who trades, and what a month of trading comes to.

    Args:
        market: bars and answers.
    """

    def __init__(self, market: Market) -> None:
        self.market = market
        self.stint: Stint | None = None
        self.known: dict[int, TrainedMonth] = {}

    @property
    def version(self) -> int | None:
        """The version that trades now."""
        return None if self.stint is None else self.stint.version

    def change_to(self, version: int | None, at_ms: int) -> tuple[float, Trades]:
        """Put another version, or none, in the place of what trades; returns the cost of closing and the trades that it ends."""
        left = self.stint
        self.stint = None if version is None else enter(version, at_ms, self.market.strategy)
        return (
            (0.0, Trades.empty()) if left is None else close(self.market, self.known[left.version].bundle, left, at_ms)
        )

    def trade(self, start_ms: int, end_ms: int) -> Traded:
        """Trade on until `end_ms`."""
        if self.stint is None or start_ms >= end_ms:
            return idle(self.market, start_ms, end_ms)
        bundle = self.known[self.stint.version].bundle
        traded, self.stint = trade(self.market, bundle, self.stint, start_ms, end_ms, leaves=False)
        return traded


def with_closing(traded: Traded, cost: float, ended: Trades) -> Traded:
    """A month whose first bar also pays for closing what another version had held."""
    return join([settling(cost, ended), traded]) if len(ended) else traded


def record_of(
    newest: Newest, ruling: Ruling, before: int | None, after: int | None, traded: Traded, acts: tuple[Act, ...] = ()
) -> MonthRecord:
    """A month in plain values."""
    return MonthRecord(
        month=newest.month.name,
        as_of_ms=newest.month.as_of_ms,
        outcome=ruling.outcome,
        version=newest.version,
        production_before=before,
        production_after=after,
        refusals=ruling.refusals,
        metrics=dict(ruling.metrics or {}),
        live=live_of(newest.month, traded),
        acts=acts,
    )


def live_of(month: Month, traded: Traded) -> Live:
    """What a month of trading came to."""
    trades = traded.trades
    equity = 1.0 + np.cumsum(traded.net_return)
    return Live(
        start_ms=month.as_of_ms,
        end_ms=month.end_ms,
        net_return=traded.total,
        costs=float(traded.cost.sum()),
        trades=len(trades),
        win_rate=float(np.mean(trades.net_pnl > 0)) if len(trades) else None,
        max_drawdown=plain(max_drawdown(equity, equity, 1.0)) if traded.position.any() or len(trades) else None,
    )


def metrics_of(measured: Measured, decision: Decision | None = None) -> dict[str, Number]:
    """Figures of the pooled test, with p and level of the gate `skill` where it was judged."""
    found: dict[str, Number] = {name: plain(measured.metrics.get(name)) for name in _SHOWN}
    skill = None if decision is None else next((each for each in decision.results if each.name == "skill"), None)
    if skill is not None:
        found |= {"skill_p": plain(skill.observed), "skill_level": plain(skill.threshold)}
    return found
