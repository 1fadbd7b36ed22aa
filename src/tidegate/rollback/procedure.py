"""What the procedure of a rollback works with, and what it tells when it is through."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from tidegate.errors import ConfigurationError
from tidegate.registry.events import EventLedger
from tidegate.registry.opening import open_promoter
from tidegate.registry.promotion import Promoter
from tidegate.registry.state import LedgerRow
from tidegate.rollback.decision import Act
from tidegate.rollback.verification import Verification, verify
from tidegate.settings.settings import Settings
from tidegate.strategy.strategy import Rollback, load_strategy


class Notifies(Protocol):
    """Tells people; never raises. `tidegate.notify.notifier.Notifier` is the real one."""

    def send(
        self, severity: Literal["info", "warning", "critical"], title: str, body: str, *, strategy: str, subject: str
    ) -> None:
        """Record a notification and deliver it."""


Verifies = Callable[[str, int | None, str | None], Verification]
"""Strategy, version (None: halted), digest -> what the serving processes did."""


@dataclass(frozen=True, slots=True)
class Procedure:
    """The ports of a rollback.

    Attributes:
        promoter: the promotion ledger, MLflow, and the acts on both.
        events: the event ledger.
        verifies: asks the serving processes.
        notifies: tells people; None tells nobody.
        logs: where the logs of the time lie, for the incident.
        on_step: told each finished step, for progress and for tests that stop a process there.
    """

    promoter: Promoter
    events: EventLedger
    verifies: Verifies
    notifies: Notifies | None = None
    logs: tuple[str, ...] = ()
    on_step: Callable[[str], None] = lambda _step: None


@dataclass(frozen=True, slots=True)
class ActReport:
    """What became of a decision or of a person's word.

    Attributes:
        act: what was decided in the end; another process may have acted in between.
        changed: whether this very call changed what is in production.
        message: one sentence for people.
        suppressed: what held an act back, empty where nothing did.
        row: the ledger's row of the act.
        verification: what the serving processes did; None where they were not asked.
        incident: id of the incident, None where there is none.
        finished: incidents of earlier acts that were broken off and are complete now.
    """

    act: Act
    changed: bool
    message: str
    suppressed: str = ""
    row: LedgerRow | None = None
    verification: Verification | None = None
    incident: str | None = None
    finished: tuple[str, ...] = ()


def open_procedure(
    settings: Settings,
    *,
    notifies: Notifies | None = None,
    promoter: Promoter | None = None,
    deadline_s: float | None = None,
) -> Procedure:
    """The procedure of an installation; nothing is read but the signing key, and nothing written.

    Args:
        settings: name the ledgers, MLflow, the serving processes and their key.
        notifies: tells people.
        promoter: by default the one that the settings name.
        deadline_s: for serving processes to follow; by default `watch.verify_s`.

    Raises:
        ConfigurationError: the signing key's file cannot be used.
    """
    promoter = promoter or open_promoter(settings)

    def verifies(strategy: str, version: int | None, digest: str | None) -> Verification:
        return verify(settings, strategy, version, digest, deadline_s=deadline_s)

    return Procedure(promoter, EventLedger(promoter.ledger.database), verifies, notifies, _logs(settings))


def rules_of(settings: Settings, model: str) -> Rollback:
    """The rules of a model's strategy; the defaults where its file is gone or wrong, since that must keep nobody from going back."""
    folder = settings.paths.strategies
    for path in sorted(folder.glob("*.yaml"), key=lambda each: each.stem != model):
        with suppress(ConfigurationError):
            strategy = load_strategy(path)
            if model in {strategy.name, *(single.name for single in strategy.single())}:
                return strategy.rollback
    return Rollback()


def _logs(settings: Settings) -> tuple[str, ...]:
    """Where to look for what happened: the prediction log, the processes' own logs, the watch's minutes."""
    places: list[Path] = [settings.serving.log_folder, settings.paths.runs / "watch"]
    return tuple(str(place) for place in (*places, settings.logs.file) if place is not None)
