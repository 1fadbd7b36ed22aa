"""The loop: look at every serving process, keep minutes, judge, have decisions made. Nothing that fails ends it.

Looks and judgements happen here, every `watch.poll_s`. What may wait long (MLflow, ledgers, acts, notifications) is the desk's, in threads of its own:
while MLflow or the database is away, looks go on and no act is made.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from tidegate.rollback.finding import BotWord, Finding, Minute
from tidegate.settings.operations import Watch as WatchSettings
from tidegate.watch.exporter import WatchMetrics
from tidegate.watch.figures import Sample, findings_samples, instance_samples
from tidegate.watch.history import History
from tidegate.watch.lane import Lane
from tidegate.watch.lookout import Lookout
from tidegate.watch.minutes import Kept, Minutes
from tidegate.watch.scrape import Look, Target
from tidegate.watch.strategies import Strategies, Watched

log = logging.getLogger(__name__)

_RETRY_MS: Final = 60_000
_STALLED_POLLS: Final = 10
_HANGING_S: Final = 60.0
"""A job that takes as much longer than a whole verification hangs, and so do all acts behind it."""
_BLIND_LOOKS: Final = 10
"""Looks in a row without counters after which people are told: no rule can fire for such an instance."""

Judge = Callable[[Watched, int | None, Sequence[Minute], Sequence[BotWord], int], list[Finding]]


_Judged = tuple[int | None, list[Finding]]
_NOTHING: Final[_Judged] = (None, [])


class Desk(Protocol):
    """What the watch has done by MLflow and the ledgers. Everything may raise; the watch counts it, tells it once, and goes on."""

    def targets(self, now_ms: int) -> list[Target]:
        """Serving processes to look at."""

    def version(self, model: str) -> int | None:
        """The version in production as the ledger had it last, None where none is or nothing is known yet. Waits for nothing."""

    def go_round(self, watched: Watched, version: int | None, findings: Sequence[Finding]) -> None:
        """Bring ledger and aliases together, and look after incidents; `findings` are about `version`."""

    def figures(self, watched: Watched) -> list[Sample]:
        """Figures of the ledgers and of the flows' newest runs."""

    def decide(self, watched: Watched, version: int, findings: Sequence[Finding]) -> None:
        """Decide by findings about a version, of which one fired, and act. Nothing is done where another version is in production."""

    def deliver(self) -> list[Sample]:
        """Try undelivered notifications again, and return how many there are."""

    def failed(self, kind: str, why: str) -> None:
        """Tell people, once, that something of this kind (`round`, `notifications`, `decision NAME`) does not work. Never raises."""

    def worked(self, kind: str) -> None:
        """Tell people that it works again, where they were told that it did not. Never raises."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a watch is made of."""

    settings: WatchSettings
    strategies: Strategies
    lookout: Lookout
    judge: Judge
    desk: Desk
    history: History
    metrics: WatchMetrics
    now_ms: Callable[[], int]
    monotonic: Callable[[], float]


class Watch:
    """One watch of one project.

    Args:
        parts: its settings, ports and clocks.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._settings, self._metrics, self._desk = parts.settings, parts.metrics, parts.desk
        self._watched: list[Watched] = []
        self._targets: tuple[Target, ...] = ()
        self._looked_at: set[str] = set()
        self._blind: dict[str, int] = {}
        self._findings: dict[str, _Judged] = {}
        self._round_at = self._retry_at = float("-inf")
        self._turned_at = parts.monotonic()
        self._minutes = Minutes(self._loaded())
        self._office = Lane("watch desk", self._failed, parts.monotonic)
        # Apart from the desk: a receiver of notifications that hangs must not delay a decision.
        self._post = Lane("watch post", self._failed)

    def run(self, stop: threading.Event) -> None:
        """Turn until `stop` is set; then the act under way is finished, and all open minutes are kept."""
        try:
            while not stop.is_set():
                began = self._parts.monotonic()
                self.turn()
                stop.wait(max(0.0, self._settings.poll_s - (self._parts.monotonic() - began)))
        finally:
            self.close()

    def turn(self) -> None:
        """Look once at everything, judge, and have done what is due. Never raises."""
        for kind, step in (
            ("files", self._read),
            ("look", self._look),
            ("judge", self._judge),
            ("desk", self._have_done),
        ):
            try:
                step()
            except Exception as error:
                log.exception("the watch could not do a step of its turn")
                self._count(kind, error)
        self._turned_at = self._parts.monotonic()
        self._metrics.last_look.set(self._parts.now_ms() / 1000)

    def is_turning(self) -> bool:
        """Whether the loop has turned within the last ten polls, each with its look, and no act has been under way for much too long."""
        slowest_s = self._settings.poll_s + self._settings.timeout_s
        turns = self._parts.monotonic() - self._turned_at <= _STALLED_POLLS * slowest_s
        return turns and self._office.busy_s <= self._settings.verify_s + _HANGING_S

    def close(self) -> None:
        """Finish the act under way, and keep all open minutes."""
        self._parts.lookout.close()
        if not self._office.stop(self._settings.verify_s + 10):
            log.error("what the watch was doing has not ended; it is taken up at the next start")
        self._post.stop(1.0)
        self._keep(self._minutes.end())

    def _read(self) -> None:
        before, self._watched = self._watched, self._parts.strategies.watched()
        for model in {one.model for one in before} - {one.model for one in self._watched}:
            self._findings.pop(model, None)
            for group in ("rules", "ledgers"):
                self._metrics.shown.replace(f"{group} of {model}", ())
        for _ in self._parts.strategies.wrong:
            self._metrics.errors.labels("strategy_file").inc()

    def _look(self) -> None:
        targets = self._targets
        looks = self._parts.lookout.look(targets)
        ended: list[Kept] = []
        for instance in self._looked_at - {one.instance for one in targets}:
            ended += self._minutes.forget(instance)
        self._looked_at = {one.instance for one in targets}
        for look in looks:
            self._metrics.looks.labels(look.instance, _result(look)).inc()
            self._note_missing(look)
            ended += self._minutes.take(look)
        self._metrics.shown.replace("instances", instance_samples(looks))
        self._keep(ended)

    def _note_missing(self, look: Look) -> None:
        """Count what an instance that answers does not say, and tell people where the rules stay blind for it."""
        for path in look.missing if look.reachable else ():
            self._metrics.errors.labels(f"unreadable {path}").inc()
        if not look.reachable:
            return  # that is what the rules see
        blind = self._blind.get(look.instance, 0) + 1 if look.counts is None else 0
        kind = f"looks at {look.instance}"
        if blind == _BLIND_LOOKS:
            told = ", ".join(f"{path}: {why}" for path, why in look.missing.items())
            self._post.submit(kind, partial(self._desk.failed, kind, told))
        elif not blind and self._blind.get(look.instance, 0) >= _BLIND_LOOKS:
            self._post.submit(f"{kind} again", partial(self._desk.worked, kind))
        self._blind[look.instance] = blind

    def _judge(self) -> None:
        now_ms = self._parts.now_ms()
        for one in self._watched:
            version: int | None = None
            try:
                version = self._desk.version(one.model)
                minutes, words = self._minutes.of(one.model, now_ms), self._minutes.words(one.model, now_ms)
                found = self._parts.judge(one, version, minutes, words, now_ms)
            except Exception as error:
                # Without a judgement nothing may look quiet: the rules of this strategy have no sample at all.
                found = []
                log.exception("%s cannot be judged", one.model)
                self._count("judge", error)
            self._findings[one.model] = (version, found)
            self._metrics.shown.replace(f"rules of {one.model}", findings_samples(one.model, found))
            if any(finding.verdict == "fired" for finding in found):
                self._office.submit(f"decision {one.model}", partial(self._decide, one))

    def _have_done(self) -> None:
        now = self._parts.monotonic()
        if now - self._round_at >= self._settings.registry_poll_s and self._office.submit("round", self._go_round):
            self._round_at = now
        if (now - self._retry_at) * 1000 >= _RETRY_MS and self._post.submit("notifications", self._deliver):
            self._retry_at = now

    def _decide(self, watched: Watched) -> None:
        # What the rules say now, not when the job was put into the lane: the act before it may have ended the fault.
        version, findings = self._findings.get(watched.model, _NOTHING)
        if version is not None and any(finding.verdict == "fired" for finding in findings):
            self._desk.decide(watched, version, findings)
            self._desk.worked(f"decision {watched.model}")

    def _go_round(self) -> None:
        watched = list(self._watched)
        jobs: list[tuple[str, Callable[[], None]]] = [("instances", self._find_targets)]
        for one in watched:
            jobs.append(("registry", partial(self._desk.go_round, one, *self._findings.get(one.model, _NOTHING))))
            jobs.append(("ledgers", partial(self._show_ledgers, one)))
        failures: dict[str, None] = {}
        for kind, job in jobs:  # each is done whatever becomes of the others
            try:
                job()
            except Exception as error:  # noqa: BLE001  the border: it is counted and told
                self._count(kind, error)
                failures[str(error)] = None
        if failures:
            self._desk.failed("round", "\n".join(failures))
        else:
            self._desk.worked("round")

    def _find_targets(self) -> None:
        self._targets = tuple(self._desk.targets(self._parts.now_ms()))

    def _show_ledgers(self, watched: Watched) -> None:
        group = f"ledgers of {watched.model}"
        try:
            self._metrics.shown.replace(group, self._desk.figures(watched))
        except Exception:
            self._metrics.shown.replace(group, ())  # unknown now, whatever it was
            raise

    def _deliver(self) -> None:
        try:
            self._metrics.shown.replace("notifications", self._desk.deliver())
        except Exception:
            self._metrics.shown.replace("notifications", ())
            raise
        self._desk.worked("notifications")

    def _keep(self, kept: Sequence[Kept]) -> None:
        try:
            self._parts.history.append(kept, self._parts.now_ms())
        except OSError as error:
            self._count("history", error)

    def _loaded(self) -> list[Kept]:
        try:
            return self._parts.history.load(self._parts.now_ms())
        except OSError as error:
            self._count("history", error)
            return []

    def _failed(self, kind: str, error: Exception) -> None:
        self._count(kind.partition(" ")[0], error)
        self._desk.failed(kind, str(error))

    def _count(self, kind: str, error: Exception) -> None:
        self._metrics.errors.labels(kind).inc()
        log.warning("%s: %s", kind, error)


def _result(look: Look) -> str:
    if not look.reachable:
        return "unreachable"
    return "partial" if look.missing else "whole"
