"""What a replay found: what each path decided and earned, month by month. Plain values and series; nothing here computes.

A path is one way to run the same months: the deployed procedure, the other policies, always promoting, never retraining, holding, doing
nothing. All paths share one time axis.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import numpy as np
from pydantic import BeforeValidator, ConfigDict, PlainSerializer, TypeAdapter, WithJsonSchema

from tidegate.backtest.result import Floats, Times

Number = float | None
"""A figure, None where there is nothing to compute it from; never NaN or infinite."""
Outcome = Literal["promoted", "refused", "failed", "none"]
ActKind = Literal["rollback", "halt", "expiry"]
Judgement = Literal["right", "wrong", "undecided"]
DecisionKind = Literal["promotion", "refusal", "rollback"]
Name = Literal["deployed", "checklist", "balanced", "strict", "always", "never", "hold", "flat"]


def _array(kind: type[np.generic]) -> tuple[Any, ...]:
    """A series as a list of numbers in JSON; the shortest decimals that give the same bits again."""
    return (
        BeforeValidator(lambda values: np.asarray(values, kind)),
        PlainSerializer(lambda values: values.tolist(), return_type=list),
        WithJsonSchema({"type": "array", "items": {"type": "number"}}),
    )


@dataclass(frozen=True, slots=True)
class Act:
    """Something that happened to the version in production between two retrains.

    Attributes:
        at_ms: UTC ms.
        kind: `rollback` to an earlier version, `halt` (nothing trades until the next promotion) or `expiry`.
        from_version: the version that was left.
        to_version: the version gone back to, None where nothing trades afterwards.
        reason: in a sentence.
    """

    at_ms: int
    kind: ActKind
    from_version: int | None
    to_version: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Hindsight:
    """Whether one decision was right, by what came after it; known only at the end of the replay.

    Attributes:
        decision: what was decided.
        version: the version promoted, refused or gone back from.
        at_ms: UTC ms of the decision.
        until_ms: UTC ms of the end of the span that was compared.
        judgement: `undecided` where the difference is no larger than the cost of one round trip of the capital.
        difference: what the decision earned less what the other choice would have, as a share of the capital.
    """

    decision: DecisionKind
    version: int
    at_ms: int
    until_ms: int
    judgement: Judgement
    difference: float


@dataclass(frozen=True, slots=True)
class Live:
    """What a path traded from one month's retrain to the next.

    Attributes:
        start_ms, end_ms: UTC ms; the end is the next month's retrain.
        net_return: net of costs, as a share of the capital.
        costs: paid, as a share of the capital.
        trades: closed in the month.
        win_rate: of those, None without any.
        max_drawdown: within the month, None without any trade.
    """

    start_ms: int
    end_ms: int
    net_return: float
    costs: float
    trades: int
    win_rate: Number
    max_drawdown: Number


@dataclass(frozen=True, slots=True)
class MonthRecord:
    """One month of one path.

    Attributes:
        month: such as 2018-01.
        as_of_ms: UTC ms of the retrain, the first moment of the month.
        outcome: `promoted`, `refused`, `failed` (no model could be trained; `refusals` says why) or `none` (a path that decides nothing).
        version: the month's model, None where there is none.
        production_before, production_after: version in production before and after the decision, None where nothing trades.
        refusals: what stood against it, each as `title: reason`.
        metrics: of the pooled out-of-sample test: `sharpe`, `sharpe_standard_error`, `win_rate`, `max_drawdown`, `trades`, and of the gate
            `skill` `skill_p` and `skill_level`; a figure that is not known is None or missing.
        live: what was traded until the next retrain.
        acts: what happened in that time, in order.
        hindsight: of the month's decision and of the acts in it.
    """

    month: str
    as_of_ms: int
    outcome: Outcome
    version: int | None
    production_before: int | None
    production_after: int | None
    refusals: tuple[str, ...]
    metrics: Mapping[str, Number]
    live: Live
    acts: tuple[Act, ...] = ()
    hindsight: tuple[Hindsight, ...] = ()


@dataclass(frozen=True, slots=True)
class Summary:
    """A path's figures over the whole replay.

    Attributes:
        total_return: net, a share of the capital; profits are not reinvested.
        annual_return: mean net return a bar times the bars a year.
        sharpe, sharpe_standard_error: annual; None without trades or variation.
        max_drawdown: largest fall from a peak of the equity at bar closes, as a share of that peak.
        trades: closed trades.
        costs: paid, a share of the capital.
        promotions, refusals, failures: months.
        rollbacks, halts, expiries: acts.
        exposure: share of the time in the market.
    """

    total_return: float
    annual_return: float
    sharpe: Number
    sharpe_standard_error: Number
    max_drawdown: float
    trades: int
    costs: float
    promotions: int
    refusals: int
    failures: int
    rollbacks: int
    halts: int
    expiries: int
    exposure: float


@dataclass(frozen=True, slots=True, eq=False)
class PathResult:
    """One path.

    Attributes:
        name: the path's key.
        title: for people.
        policy: name of the policy that decides, empty where none does.
        closed_at: (n,) int64 UTC ms, closes of all bars of the replay, ascending; the same for every path.
        net_return: (n,) float64, the bar's net profit over the capital; sums to the total return.
        months: oldest first, without gaps.
        summary: figures over all bars.
    """

    name: Name
    title: str
    policy: str
    closed_at: Annotated[Times, *_array(np.int64)]
    net_return: Annotated[Floats, *_array(np.float64)]
    months: tuple[MonthRecord, ...]
    summary: Summary

    __pydantic_config__ = ConfigDict(arbitrary_types_allowed=True)


@dataclass(frozen=True, slots=True)
class Training:
    """What training all months took, on the machine that did it; no decision depends on any of it.

    Attributes:
        months: months asked for.
        trained: months trained in this run.
        reused: months taken from an earlier run of the same configuration.
        failed: months for which no model could be trained.
        fits: XGBoost fits in this run.
        fit_s: seconds of those fits, summed over workers.
        workers: processes that trained.
        fits_at_once: fits that each of them makes side by side at most: one a fold.
        seconds: by stage, wall clock of this run; `total` is the whole.
        peak_memory_mb: largest resident memory of any process of the replay.
    """

    months: int
    trained: int
    reused: int
    failed: int
    fits: int
    fit_s: float
    workers: int
    fits_at_once: int
    seconds: Mapping[str, float]
    peak_memory_mb: float


@dataclass(frozen=True, slots=True, eq=False)
class ReplayResult:
    """A whole replay.

    Attributes:
        strategy: its name.
        kind: `real` or `simulated` market.
        symbols: traded together.
        interval: of the bars, such as 1h.
        policy: name of the strategy's own policy, which the path `deployed` follows.
        first_month, last_month: such as 2018-01, both inclusive.
        start_ms, end_ms: UTC ms of the first retrain and of the end of the last month traded.
        capital: quote currency.
        periods_per_year: bars a year on the market's calendar.
        costs: the strategy's, as in its file.
        seed: of the models.
        paths: `deployed` first.
        training: what it took.
        libraries: name to version.
        folder: where months and paths are kept.
    """

    strategy: str
    kind: str
    symbols: tuple[str, ...]
    interval: str
    policy: str
    first_month: str
    last_month: str
    start_ms: int
    end_ms: int
    capital: float
    periods_per_year: float
    costs: Mapping[str, float]
    seed: int
    paths: tuple[PathResult, ...]
    training: Training
    libraries: Mapping[str, str]
    folder: str

    def path(self, name: Name) -> PathResult | None:
        """The path of that name, None where it was not walked."""
        return next((path for path in self.paths if path.name == name), None)

    def to_json(self) -> str:
        """The whole result as JSON; `from_json` gives the same values back, to the last bit."""
        return _RESULT.dump_json(self).decode()

    @classmethod
    def from_json(cls, text: str) -> "ReplayResult":
        """Read what `to_json` wrote.

        Raises:
            ValueError: it is something else.
        """
        return _RESULT.validate_json(text)


_RESULT: Final = TypeAdapter(ReplayResult)
