"""Everything a report shows of one retraining, gathered by the pipeline."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tidegate.backtest.baselines import RandomBaseline
from tidegate.backtest.result import Backtest
from tidegate.bars.bars import Floats, Times
from tidegate.gates.result import Decision
from tidegate.model.manifest import Manifest
from tidegate.strategy.strategy import Strategy


@dataclass(frozen=True, slots=True, eq=False)
class FoldRecord:
    """One fold: its windows (UTC ms), what was chosen inside the training window, and its out-of-sample metrics."""

    train_start_at: int
    train_end_at: int
    test_start_at: int
    test_end_at: int
    training_rows: int
    rounds: int
    margin: float
    log_loss: float
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class SymbolRecord:
    """One symbol's data: origin, snapshot, and what validation found (its `summary()`)."""

    symbol: str
    origin: str
    notes: tuple[str, ...]
    snapshot: str
    bars: int
    first_at: int
    last_at: int
    validation: Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationCurve:
    """Out-of-sample probabilities against outcomes: k bins with mean forecast, share of wins and number of rows."""

    forecast: Floats
    observed: Floats
    count: Floats


@dataclass(frozen=True, slots=True, eq=False)
class ContestRecord:
    """The challenger against the champion on the same unseen window.

    `champion_version` is None for the first model; series are None where the contest could not be held, for `reason`.
    """

    champion_version: int | None
    reason: str
    closed_at: Times | None = None
    challenger_equity: Floats | None = None
    champion_equity: Floats | None = None
    challenger_metrics: Mapping[str, float] = field(default_factory=dict)
    champion_metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class PromotionRecord:
    """What came of it: `promoted`, `refused` or `not_tried`, with the registry's words."""

    outcome: str
    version: int | None
    previous_version: int | None
    message: str


@dataclass(frozen=True, slots=True, eq=False)
class RunRecord:
    """One retraining.

    Attributes:
        strategy: as read from its file.
        retrain_key: strategy and month.
        as_of: UTC ms up to which bars were known.
        decision: every gate's result and what they add up to.
        manifest: of the newest fold's model.
        symbols: data and validation, by symbol.
        folds: oldest first.
        pooled: all folds' portfolios as one out-of-sample series.
        metrics: of `pooled`, keys of the metrics table.
        regimes: metrics by regime.
        stress: annual Sharpe and total return at multiples of the cost, such as {1.0: {...}, 1.5: {...}, 2.0: {...}}.
        random_baseline: random entries with the same turnover.
        calibration: out-of-sample calibration curve.
        contest: against the champion.
        promotion: what came of it.
        timings_s: seconds by stage.
        run_id: MLflow's id of the run, if there is one.
        links: label to address or relative path, for the page's foot.
    """

    strategy: Strategy
    retrain_key: str
    as_of: int
    created_at: int
    decision: Decision
    manifest: Manifest
    symbols: tuple[SymbolRecord, ...]
    folds: tuple[FoldRecord, ...]
    pooled: Backtest
    metrics: Mapping[str, float]
    regimes: Mapping[str, Mapping[str, float]]
    stress: Mapping[float, Mapping[str, float]]
    random_baseline: RandomBaseline | None
    calibration: CalibrationCurve
    contest: ContestRecord
    promotion: PromotionRecord
    timings_s: Mapping[str, float]
    run_id: str | None = None
    links: Mapping[str, str] = field(default_factory=dict)
