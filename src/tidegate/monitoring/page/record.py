"""Everything a page shows of one monitoring run, gathered by the pipeline."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tidegate.backtest.result import Floats, Times
from tidegate.monitoring.result import Drift, ImportanceChange, LiveFigures, Sequential
from tidegate.strategy.strategy import Strategy

Period = Literal["daily", "weekly", "monthly"]


@dataclass(frozen=True, slots=True)
class Act:
    """What came of the decision.

    Attributes:
        act: `nothing`, `alert`, `roll_back` or `halt`.
        rule: which rule decided, None for nothing.
        reason: why, in a sentence.
        suppressed: what held back the rollback that a rule asked for; empty where nothing did.
        message: what was done, in a sentence; empty where nothing was.
        incident: id of the incident that was opened, None where none was.
        verified: what serving processes did, in a sentence; empty where they were not asked.
    """

    act: str
    rule: str | None
    reason: str
    suppressed: str = ""
    message: str = ""
    incident: str | None = None
    verified: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class MonitorRecord:
    """One run.

    Attributes:
        strategy: as read from its file; `name` is the model's.
        period: what the run was for.
        as_of: UTC ms up to which bars were looked at.
        created_at: UTC ms by the clock.
        version: in production when the run began, None where none was.
        nothing: why there was nothing to monitor; empty where there was. Then all figures are missing.
        live: figures of the last `monitor.window_days`, None where there is nothing.
        tenure: figures since the version entered production, None where there is nothing.
        promised: the manifest's out-of-sample metrics by name, None where not known.
        promised_returns: (k,) float64 net return a bar of the backtest's pooled series, empty where not at hand; for the band around the promise.
        sequential: the test on the tenure's closed trades, None without a version.
        trade_exit_at: (m,) int64, exit of each trade of the test.
        drift: None where there is no version.
        importance: against the version before, None for the first.
        findings: each as `monitor_run` events hold it: rule, action, verdict, observed, threshold, unit, n, since, reason, error_rate.
        act: what came of them.
        checklist: rows: row, verdict (`pass`, `fail`, `not_measured`), observed, threshold, reason.
        trail: newest acts of the promotion ledger as text, newest first.
        timings_s: seconds by stage.
    """

    strategy: Strategy
    period: Period
    as_of: int
    created_at: int
    version: int | None
    nothing: str
    live: LiveFigures | None
    tenure: LiveFigures | None
    promised: Mapping[str, float | None]
    promised_returns: Floats
    sequential: Sequential | None
    trade_exit_at: Times
    drift: Drift | None
    importance: ImportanceChange | None
    findings: tuple[Mapping[str, Any], ...]
    act: Act
    checklist: tuple[Mapping[str, Any], ...]
    trail: tuple[str, ...]
    timings_s: Mapping[str, float]
