"""Everything that a monitoring page shows, with nothing that only some other part could know."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tidegate.monitoring.result import Drift, ImportanceChange, LiveFigures, Sequential, VersionFigures
from tidegate.strategy.strategy import Strategy

Outcome = Literal["healthy", "watch", "rolled_back", "halted", "nothing_to_monitor"]
RowVerdict = Literal["pass", "fail", "not_measured"]


@dataclass(frozen=True, slots=True)
class ChecklistRow:
    """One row of the checklist. A figure that could not be measured is `not_measured`, never `pass`.

    Attributes:
        row: its name.
        period: daily, weekly or monthly.
        verdict: whether it holds.
        observed, threshold: in words, empty where there is none.
        reason: what it was measured from, or why it was not.
    """

    row: str
    period: str
    verdict: RowVerdict
    observed: str
    threshold: str
    reason: str


@dataclass(frozen=True, slots=True)
class FindingLine:
    """What one rule said; the fields of a finding that people read. `unit` as in `report.formats.quantity`."""

    rule: str
    action: str
    verdict: Literal["quiet", "fired", "not_enough_evidence"]
    observed: float | None
    threshold: float | None
    unit: str
    n: int
    reason: str
    error_rate: str


@dataclass(frozen=True, slots=True, eq=False)
class MonitorRecord:
    """One monitoring run.

    Attributes:
        strategy: of one model.
        period: daily, weekly or monthly.
        as_of, window_start_at: UTC ms.
        outcome: what came of it; `reason` says why, in a sentence.
        version: the version in production that was judged, None where there is none.
        now: the version in production after the run, None where there is none.
        live: None where there was nothing to compute figures from.
        own: figures of the version in production within the window.
        since: all its closed trades since it entered production.
        promised: the manifest's out-of-sample metrics.
        sequential, drift, importance: None where they could not be computed.
        findings: what each rule said.
        checklist: rows.
        alerts: what else people must look at.
        trail: newest acts of the promotion ledger as text, newest first; empty where it was not read.
        doubts: those of the alerts that speak against the figures: old bars, missing ones, a model that says nothing.
    """

    strategy: Strategy
    period: str
    as_of: int
    window_start_at: int
    outcome: Outcome
    reason: str
    version: int | None
    now: int | None
    live: LiveFigures | None
    own: VersionFigures | None
    since: VersionFigures | None
    promised: Mapping[str, float | None]
    sequential: Sequential | None
    drift: Drift | None
    importance: ImportanceChange | None
    findings: tuple[FindingLine, ...]
    checklist: tuple[ChecklistRow, ...]
    alerts: tuple[str, ...]
    trail: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
