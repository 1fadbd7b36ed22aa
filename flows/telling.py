"""Tells people what came of a retraining. Nothing here raises: whatever cannot be told changes no outcome."""

import logging
from typing import Literal

from tidegate.errors import TidegateError
from tidegate.notify.notifier import Notifier
from tidegate.pipeline.job import Job
from tidegate.registry.events import EventLedger
from tidegate.report.record import PromotionRecord

log = logging.getLogger(__name__)

_SEVERITIES: dict[str, Literal["info", "warning"]] = {"promoted": "info", "refused": "warning", "not_tried": "warning"}


def tell_outcome(job: Job, promotion: PromotionRecord) -> None:
    """A promotion is told as information, a refusal as a warning."""
    name = job.strategy.name
    severity = _SEVERITIES.get(promotion.outcome, "warning")
    _send(job, severity, f"{name}: {promotion.outcome.replace('_', ' ')} in the month's retraining", promotion.message)


def tell_failure(job: Job, error: BaseException) -> None:
    """A retraining that failed is critical: the model in production grows old."""
    if isinstance(error, Exception):
        text = (
            f"{type(error).__name__}: {error}\nNothing was promoted; the model in production goes on until it expires."
        )
        _send(job, "critical", f"{job.strategy.name}: the month's retraining failed", text)


def _send(job: Job, severity: Literal["info", "warning", "critical"], title: str, body: str) -> None:
    try:
        notifier = Notifier(job.settings, EventLedger.from_settings(job.settings))
    except TidegateError as error:
        log.warning("nobody is told of %s: %s", title, error)
        return
    try:
        notifier.send(severity, title, body, strategy=job.strategy.name, subject=f"retrain/{job.key}")
    finally:
        notifier.close()
