"""What the watch does by MLflow and the ledgers: repair, decisions, incidents under watch, figures, and telling people. Everything here may wait long."""

import logging
import threading
from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from tidegate.registry.events import EventLedger, Kind
from tidegate.registry.instances import Instances
from tidegate.registry.promotion import PRODUCTION, Promoter
from tidegate.registry.repair import RepairReport, repair
from tidegate.registry.retrains import RetrainLedger
from tidegate.rollback.automatic import read_situation
from tidegate.rollback.decision import ACTS, Decision, decide
from tidegate.rollback.finding import Finding
from tidegate.rollback.incidents import open_incidents
from tidegate.rollback.maintenance import active
from tidegate.settings.operations import Watch as WatchSettings
from tidegate.watch.aftermath import ACTOR, Aftermath, Notifies, longest_gap_ms
from tidegate.watch.figures import Ledgers, Sample, backup_samples, samples_of
from tidegate.watch.scrape import Target
from tidegate.watch.strategies import Watched
from tidegate.watch.targets import configured, registered

__all__ = ["ACTOR", "Delivers", "Ports", "RegistryDesk"]

log = logging.getLogger(__name__)

_DAY_MS: Final = 86_400_000
_RUNS: Final[tuple[Kind, ...]] = ("monitor_run",)
_LOOKS: Final[tuple[Kind, ...]] = ("backup_verified",)
_DRILLS: Final[tuple[Kind, ...]] = ("restore_drill",)
_RUNS_MS: Final = 40 * _DAY_MS
"""How far back runs of monitoring are read: a monthly one is still among them."""
_WHOLE_EVERY: Final = 20
"""Rounds between two whole repairs, which also look at the signed state and at signatures."""
_VERIFYING_MS: Final = 15_000
"""On top of `watch.verify_s`: what else belongs to an act that somebody is doing right now."""
_SETTLING_MS: Final = 60_000
"""An act that is under way is left alone for so long; after that it was broken off, and repair ends it."""


class Delivers(Notifies, Protocol):
    """Delivers again what could not be delivered."""

    def retry(self) -> Sized:
        """Try what is undelivered once more, and return what still is."""


@dataclass(frozen=True, slots=True)
class Ports:
    """What the desk works with.

    Attributes:
        promoter: the promotion ledger, MLflow, and the acts on both.
        events: the event ledger.
        retrains: the ledger of retrains.
        instances: serving processes as they registered themselves.
        notifier: tells people.
        carry_out: carries a decision out, by the rules of the strategy that it is about.
        finish: completes acts of a model that were broken off: verification, incident, telling people.
    """

    promoter: Promoter
    events: EventLedger
    retrains: RetrainLedger
    instances: Instances
    notifier: Delivers
    carry_out: Callable[[Decision, Watched], object]
    finish: Callable[[str], object]


class RegistryDesk:
    """The desk of one project; used by the watch's own threads only.

    Args:
        settings: of the watch.
        ports: what it works with.
        now_ms: UTC ms.
    """

    def __init__(self, settings: WatchSettings, ports: Ports, now_ms: Callable[[], int]) -> None:
        self._settings = settings
        self._ports = ports
        self._now_ms = now_ms
        self._aftermath = Aftermath(ports.events, ports.notifier, now_ms, longest_gap_ms(settings))
        self._versions: dict[str, int | None] = {}
        self._rounds: dict[str, int] = {}
        self._alerts: dict[str, tuple[str, ...]] = {}
        self._said: set[tuple[object, ...]] = set()
        self._broken: dict[str, int] = {}
        self._lock = threading.Lock()

    def targets(self, now_ms: int) -> list[Target]:
        """Serving processes that the settings name, else those that have registered themselves."""
        if self._settings.instances:
            return configured(self._settings.instances)
        return registered(self._ports.instances.all(now_ms), now_ms)

    def version(self, model: str) -> int | None:
        """The version in production as the ledger had it last."""
        return self._versions.get(model)

    def go_round(self, watched: Watched, version: int | None, findings: Sequence[Finding]) -> None:
        """Bring ledger and aliases together where they differ, complete acts that were broken off, and look after incidents."""
        model = watched.model
        try:
            self._versions[model] = self._ports.promoter.current(model)
            if self._needs_repair(model):
                self._tell_repair(model, repair(self._ports.promoter, model))
        finally:
            self._versions[model] = self._ports.promoter.current(model)
        if not self._is_verifying(model):
            self._ports.finish(model)
        # Findings about a version that is not in production any more say nothing about what came after it.
        self._aftermath.look_after(model, findings if self._versions[model] == version else ())

    def figures(self, watched: Watched) -> list[Sample]:
        """Figures of the ledgers and of the flows' newest runs."""
        now_ms, model, events = self._now_ms(), watched.model, self._ports.events
        # Of the whole installation, shown with each strategy: one with the same labels is shown once.
        backups = backup_samples(
            events.newest("", "backup"),
            events.rows("", kinds=_LOOKS, since_ms=now_ms - _RUNS_MS),
            events.rows("", kinds=_DRILLS, since_ms=now_ms - _RUNS_MS),
        )
        own = samples_of(
            Ledgers(
                strategy=model,
                acts=self._ports.promoter.history(model),
                retrains=self._ports.retrains.runs(model),
                runs=events.rows(model, kinds=_RUNS, since_ms=now_ms - _RUNS_MS),
                open_incidents=len(open_incidents(events, model)),
                maintenance=active(events, model, now_ms) is not None,
            )
        )
        return [*own, *backups]

    def decide(self, watched: Watched, version: int, findings: Sequence[Finding]) -> None:
        """Decide by findings about a version, and carry the decision out. Nothing is done where another version is in production."""
        model, ports = watched.model, self._ports
        situation = read_situation(
            ports.promoter.ledger, ports.events, model, watched.rules, acting_allowed=self._settings.act
        )
        self._versions[model] = situation.version
        if situation.version != version:
            return
        self._aftermath.note_findings(model, findings)
        decision = decide(findings, situation)
        if decision.finding is None or self._is_said(decision):
            return
        try:
            ports.carry_out(decision, watched)
        finally:
            self._versions[model] = ports.promoter.current(model)
        if decision.act not in ACTS:
            self._said.add(_saying(decision, self._now_ms()))

    def deliver(self) -> list[Sample]:
        """Try undelivered notifications again, and return how many there are."""
        left = len(self._ports.notifier.retry())
        return [Sample("tidegate_undelivered_notifications", (), float(left))]

    def failed(self, kind: str, why: str) -> None:
        """Tell people that something does not work, once a day while it goes on or comes again."""
        with self._lock:
            told_at = self._broken.get(kind)
            if told_at is not None and self._now_ms() - told_at < _DAY_MS:
                return
            self._broken[kind] = self._now_ms()
        severity, title = _trouble(kind)
        self._ports.notifier.send(severity, title, why, strategy="", subject=f"watch/{kind}")

    def worked(self, kind: str) -> None:
        """Tell people that it works again."""
        with self._lock:
            if kind not in self._broken:
                return
            del self._broken[kind]
        title = f"works again: {_trouble(kind)[1]}"
        self._ports.notifier.send("info", title, "the watch could do it again", strategy="", subject=f"watch/{kind}")

    def _is_verifying(self, model: str) -> bool:
        """Whether an act is so young that whoever did it may still be asking the serving processes."""
        acted = [row.created_at for row in self._ports.promoter.history(model) if row.action in {"rollback", "halt"}]
        return self._now_ms() - max(acted, default=0) < self._settings.verify_s * 1000 + _VERIFYING_MS

    def _needs_repair(self, model: str) -> bool:
        """Repair holds the ledger's lock while it asks MLflow, so it is done where it is due, not at each look."""
        promoter = self._ports.promoter
        rounds = self._rounds.get(model, 0)
        self._rounds[model] = rounds + 1
        alias, state = promoter.versions.alias(model, PRODUCTION), promoter.ledger.state(model)
        intent = state.open_intent
        if intent is not None and self._now_ms() - intent.created_at < _SETTLING_MS:
            return False  # the aliases of an act that is under way may differ for a moment
        if state.last_row is None and alias is None:
            return False
        return intent is not None or alias != state.current or rounds % _WHOLE_EVERY == 0

    def _tell_repair(self, model: str, report: RepairReport) -> None:
        told = self._alerts.get(model, ())
        refused = any(row.state == "aborted" for row in report.rows)
        for alert in report.alerts:
            if alert in told:
                continue  # repeated at each repair for as long as nobody does anything about it
            recorded = any(row.action == "external" and row.state == "committed" for row in report.rows)
            title = (
                f"{model}: production was changed in MLflow"
                if recorded and not refused
                else f"{model}: ledger and MLflow do not agree"
            )
            subject = f"repair/{report.rows[-1].id}" if report.rows else f"repair/{model}"
            severity: Literal["warning", "critical"] = "warning" if recorded and not refused else "critical"
            self._ports.notifier.send(severity, title, alert, strategy=model, subject=subject)
        self._alerts[model] = tuple(report.alerts)

    def _is_said(self, decision: Decision) -> bool:
        """Whether an alert was carried out today: a rule goes on firing at each look, and each would ask for the ledger's lock."""
        return decision.act not in ACTS and _saying(decision, self._now_ms()) in self._said


def _saying(decision: Decision, now_ms: int) -> tuple[object, ...]:
    day = now_ms // _DAY_MS
    return (decision.strategy, decision.version, decision.act, decision.rule, decision.suppressed, day)


def _trouble(kind: str) -> tuple[Literal["warning", "critical"], str]:
    if kind.startswith("decision "):
        return "critical", f"{kind.removeprefix('decision ')}: a rule fired, and the act that it asks for failed"
    if kind.startswith("looks "):
        return "critical", f"the watch cannot read the metrics in its {kind}: its rules are blind there"
    if kind == "round":
        return "warning", "the watch cannot reach the registry or the ledgers: nothing is rolled back meanwhile"
    return "warning", f"the watch cannot do its {kind}"
