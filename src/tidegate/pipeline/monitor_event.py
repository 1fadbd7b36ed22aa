"""The `monitor_run` event: what a run found, once, and what is different where the same run gives something else later."""

from collections.abc import Mapping
from typing import Any, Final

from tidegate.monitoring.page.record import MonitorRecord
from tidegate.pipeline.monitor_job import MonitorJob
from tidegate.registry.events import Event, EventLedger, Kind
from tidegate.rollback.decision import Decision
from tidegate.rollback.finding import Finding
from tidegate.rollback.words import plain

_ABOUT_THE_RUN: Final = frozenset({"report", "differs"})
_LONGEST: Final = 12
_KINDS: Final[tuple[Kind, ...]] = ("monitor_run",)


def run_content(
    record: MonitorRecord, findings: tuple[Finding, ...], decision: Decision, newest_closed_at: int | None
) -> dict[str, Any]:
    """The event's content but for the report's place; numbers that are NaN or infinite are null.

    Args:
        record: what the page shows.
        findings: of the rules.
        decision: as it was made; what became of it stands in the event `decision` and in the promotion ledger.
        newest_closed_at: UTC ms, the close up to which every symbol has bars.
    """
    live, own = record.live, record.own
    balance = {} if live is None else {name: getattr(live.balance, name) for name in live.balance.__slots__}
    content: dict[str, Any] = {
        "period": record.period,
        "as_of": record.as_of,
        "window_start_at": record.window_start_at,
        "window_end_at": record.as_of,
        "version": record.version,
        "bars_newest_closed_at": newest_closed_at,
        "bars": {} if live is None else dict(live.snapshot),
        "outcome": record.outcome,
        "reason": record.reason,
        "doubts": list(record.doubts),
        "balance": balance,
        "live": {} if own is None else dict(own.metrics),
        "promised": dict(record.promised),
        "calibration_error": None if own is None else own.calibration.error,
        "estimated_win_rate": None if own is None else own.estimated_win_rate,
        "shadow": {} if live is None else {str(each.version): dict(each.metrics) for each in live.shadow},
        "sequential": _sequential(record),
        "drift": _drift(record),
        "importance_moved": None if record.importance is None else record.importance.moved,
        "reconciliation": _reconciliation(record),
        "findings": [_finding(finding) for finding in findings],
        "decision": {"act": decision.act, "rule": decision.rule, "reason": decision.reason},
        "checklist": [
            {
                "row": row.row,
                "verdict": row.verdict,
                "observed": row.observed,
                "threshold": row.threshold,
                "reason": row.reason,
            }
            for row in record.checklist
        ],
    }
    found: dict[str, Any] = plain(content)
    return found


def subject_of(job: MonitorJob, events: EventLedger, content: Mapping[str, Any]) -> tuple[str, bool]:
    """Under which subject a run stands: the newest record's where that says the same, else a new one; and whether it is new.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    before = _of_run(events, job)
    if before and not differing(before[-1].content, content):
        return before[-1].subject, False
    return (job.subject if not before else f"{job.subject}/again-{len(before)}"), True


def record_run(job: MonitorJob, events: EventLedger, subject: str, content: Mapping[str, Any]) -> Event | None:
    """Record a run, with what differs from the record before; None where another process has recorded it meanwhile.

    Args:
        job: the run.
        events: the event ledger.
        subject: from `subject_of`.
        content: as `run_content` made it, with the report's place.
    Raises:
        LedgerError: the ledger cannot be written.
    """
    before = _of_run(events, job)
    told = {**content, "differs": differing(before[-1].content, content)} if before else dict(content)
    return events.append(
        "monitor_run", strategy=job.strategy.name, subject=subject, actor=job.job.actor, content=told, once=True
    )


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Names of what differs, such as `live.win_rate`; those that only tell where a report lies are left out."""
    names: list[str] = []
    for key in sorted(before.keys() | after.keys()):
        if key in _ABOUT_THE_RUN or before.get(key) == after.get(key):
            continue
        old, new = before.get(key), after.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            names += [f"{key}.{one}" for one in sorted(old.keys() | new.keys()) if old.get(one) != new.get(one)]
        else:
            names.append(key)
    return names if len(names) <= _LONGEST else [*names[:_LONGEST], f"and {len(names) - _LONGEST} more"]


def _of_run(events: EventLedger, job: MonitorJob) -> list[Event]:
    rows = events.rows(job.strategy.name, kinds=_KINDS)
    return [row for row in rows if row.subject == job.subject or row.subject.startswith(f"{job.subject}/again-")]


def _sequential(record: MonitorRecord) -> dict[str, Any] | None:
    found = record.sequential
    if found is None or not found.testable:
        return None
    return {
        "statistic": float(found.statistic[-1]) if len(found.statistic) else 0.0,
        "threshold": found.threshold,
        "alarm": found.alarm_trade is not None,
        "trades": len(found.statistic),
        "healthy": found.healthy,
        "gone": found.gone,
        "false_alarms_per_year": found.false_alarms_per_year,
        "median_days_to_detection": found.median_days_to_detection,
    }


def _drift(record: MonitorRecord) -> dict[str, Any]:
    found = record.drift
    if found is None or not found.items:
        return {}  # neither an empty list of drifted items, which would read as "none drifted"
    return {
        "drifted": [item.name for item in found.items if item.drifted],
        "effects": {item.name: item.effect for item in found.items},
    }


def _reconciliation(record: MonitorRecord) -> dict[str, Any] | None:
    found = None if record.live is None else record.live.reconciliation
    if found is None:
        return None
    return {
        "promised": found.promised,
        "live": found.live,
        "causes": {cause.name: cause.effect for cause in found.causes},
    }


def _finding(finding: Finding) -> dict[str, Any]:
    names = ("rule", "action", "verdict", "observed", "threshold", "unit", "n", "since", "reason", "error_rate")
    return {name: getattr(finding, name) for name in names}
