"""The rule for runs that were missed while the machine was down.

Of each deployment's missed runs the newest catches up for all. A missed retraining does so within `prefect.catch_up_days` of its time, and where that month
has no finished retraining yet, by the schedule's time zone; else it is skipped, and where it was too late people are told. Never two retrainings for a month.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from prefect import runtime
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.states import Cancelled
from prefect.types._datetime import now

from tidegate.errors import ConfigurationError, TidegateError
from tidegate.notify.notifier import Notifier
from tidegate.registry.events import EventLedger
from tidegate.registry.retrains import RetrainLedger
from tidegate.settings.settings import Settings
from tidegate.strategy.strategy import find_strategy

log = logging.getLogger(__name__)

Refuses = Callable[[str, datetime, datetime], str | None]
"""Strategy, when its run was due, now -> why the run is not caught up; None: it is."""


@dataclass(frozen=True)
class Rule:
    """Which missed retrainings are caught up.

    Args:
        settings: `prefect.catch_up_days`; where the ledgers are.
    """

    settings: Settings

    def __call__(self, strategy: str, due: datetime, at: datetime) -> str | None:
        """Why a missed retraining is not caught up, None where it is. Who is skipped for being too late is told to people."""
        there = due.astimezone(ZoneInfo(self.settings.prefect.time_zone))
        if self.is_finished(strategy, there.replace(day=1, hour=0, minute=0, second=0, microsecond=0)):
            return f"Missed, and {there:%Y-%m} has a finished retraining already."
        return self.too_late(strategy, due, at)

    def too_late(self, strategy: str, due: datetime, at: datetime) -> str | None:
        """Why a retraining is skipped that was due long ago, None where it is not; people are told."""
        days = self.settings.prefect.catch_up_days
        if at - due <= timedelta(days=days):
            return None
        why = f"Missed longer ago than prefect.catch_up_days ({days:g})."
        self._tell(strategy, due, why)
        return why

    def is_finished(self, strategy: str, since: datetime) -> bool:
        """Whether every model of the strategy has a retraining that finished since a time; a ledger that cannot be asked has none."""
        since_ms = since.timestamp() * 1000
        with suppress(TidegateError):
            ledger = RetrainLedger.from_settings(self.settings)
            return all(
                any(run.state == "finished" and run.created_at >= since_ms for run in ledger.runs(model))
                for model in self._models(strategy)
            )
        return False

    def _models(self, strategy: str) -> list[str]:
        try:
            return [one.name for one in find_strategy(strategy, self.settings.paths.strategies).single()]
        except ConfigurationError:
            return [strategy]

    def _tell(self, strategy: str, due: datetime, why: str) -> None:
        try:
            notifier = Notifier(self.settings, EventLedger.from_settings(self.settings))
        except TidegateError as error:
            log.warning("nobody is told that a retraining of %s was skipped: %s", strategy, error)
            return
        body = (
            f"It was due at {due:%Y-%m-%d %H:%M} UTC, and the servers were down. {why} The model in production goes on until it expires.\n"
            f"To train all the same: tidegate retrain {strategy}"
        )
        title = f"{strategy}: the month's retraining was missed and is skipped"
        try:
            notifier.send("warning", title, body, strategy=strategy, subject=f"retrain/missed/{due:%Y-%m-%d}")
        finally:
            notifier.close()


def why_skipped(strategy: str, settings: Settings) -> str | None:
    """Why this run is skipped, as where the machine slept or no worker was there while the servers ran; None where it is not, as without a deployment.

    It was due too long ago, or a retraining has finished since it was due, such as one by hand.
    """
    due = runtime.flow_run.scheduled_start_time
    if not runtime.deployment.id or due is None:
        return None
    rule = Rule(settings)
    if rule.is_finished(strategy, due):
        return "A retraining has finished since it was due."
    return rule.too_late(strategy, due, now("UTC"))


def skip_missed_runs(
    client: SyncPrefectClient, runs: list[FlowRun], strategy: str, refuses: Refuses | None = None
) -> tuple[int, str | None]:
    """Cancel missed scheduled runs of one deployment: all but the newest, and that one too where the rule refuses it.

    After three months without servers Prefect would otherwise run three late trainings one after another.

    Args:
        client: of the Prefect server.
        runs: the deployment's scheduled runs.
        strategy: the deployment's.
        refuses: the rule; None catches up always.

    Returns:
        how many were cancelled, and why the newest one was; None where it catches up, or none was missed.
    """
    until = now("UTC")
    missed = [
        run
        for run in runs
        if run.auto_scheduled and run.expected_start_time is not None and run.expected_start_time <= until
    ]
    missed.sort(key=lambda run: run.expected_start_time or until, reverse=True)
    message = "Missed while no worker ran; the newest missed run catches up."
    for run in missed[1:]:
        client.set_flow_run_state(run.id, Cancelled(message=message), force=True)
    if not missed or refuses is None:
        return len(missed[1:]), None
    newest = missed[0]
    why = refuses(strategy, newest.expected_start_time or until, until)
    if why is not None:
        client.set_flow_run_state(newest.id, Cancelled(message=why), force=True)
    return len(missed) - (why is None), why
