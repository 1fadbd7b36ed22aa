"""Telling people that a monitoring run failed, and what it had done to production before it did."""

import logging

from tidegate.errors import TidegateError
from tidegate.logs.redaction import without_secrets
from tidegate.pipeline.monitor_job import MonitorJob
from tidegate.registry.events import EventLedger
from tidegate.registry.ledger import Ledger
from tidegate.registry.rules import named
from tidegate.registry.state import derive
from tidegate.rollback.automatic import acts_taken

log = logging.getLogger(__name__)


def raise_alarm(job: MonitorJob, error: Exception) -> None:
    """Record that a run failed, and tell people: without a run nobody knows how the model is doing. Never raises.

    A run that fails after its act, as on a full disk, has acted all the same. Which acts there were is read from the promotion ledger, so that it is
    told also where the task was tried again and the last try found nothing left to do.
    """
    strategy, acted = job.strategy.name, _acted(job)
    content = {
        "what": "monitoring run failed",
        "run": job.subject,
        "error": without_secrets(str(error))[:2000],
        "kind": type(error).__name__,
        "acted": acted,
    }
    try:
        EventLedger.from_settings(job.settings).append(
            "alarm", strategy=strategy, subject=f"monitor/{job.subject}", actor=job.job.actor, content=content
        )
    except TidegateError:
        log.exception("the alarm of a failed monitoring run could not be recorded")
    log.error("the monitoring run %s failed: %s", job.subject, error)
    if job.notifies is not None:
        job.notifies.send(
            "critical",
            f"{strategy}: the {job.period} monitoring run failed{' after production was changed' if acted else ''}",
            f"{error}\n{_words(acted)}\nUntil a run succeeds nobody knows how the model is doing.",
            strategy=strategy,
            subject=f"monitor/{job.subject}",
        )


def _words(acted: list[str] | None) -> str:
    if acted is None:
        return "The promotion ledger cannot be read: whether something was done about production is NOT known."
    return "\n".join(acted) if acted else "Nothing was done about production."


def _acted(job: MonitorJob) -> list[str] | None:
    """Sentences about the acts since the run began; None where the ledger does not tell."""
    began_at = job.job.now_ms if job.job.started_ms is None else job.job.started_ms
    name = job.strategy.name
    try:
        rows = Ledger.from_settings(job.settings).rows(name)
    except TidegateError:
        log.exception("whether the failed monitoring run had acted could not be read")
        return None
    told = [
        f"Production was changed all the same: {'halted' if taken.row.action == 'halt' else 'rolled back'} from "
        f"{named(taken.row.from_version)} to {named(taken.row.to_version)} by {taken.row.actor}, incident {taken.incident}."
        for taken in acts_taken(rows)
        if taken.row.created_at >= began_at
    ]
    intent = derive(name, rows).open_intent
    if intent is not None:
        told.append(
            f"An act was begun and not ended: {intent.action} from {named(intent.from_version)} to {named(intent.to_version)} by "
            f"{intent.actor}; the next look of the watch or the next run ends or undoes it."
        )
    return told
