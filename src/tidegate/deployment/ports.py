"""What a deployment works with; `opening` makes the real ones."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from tidegate.deployment.journal import Plan
from tidegate.registry.events import EventLedger
from tidegate.registry.promotion import Promoter
from tidegate.rollback.maintenance import Alertmanager
from tidegate.rollback.procedure import Notifies, Verifies


class Replicas(Protocol):
    """Serving processes, or containers, of one deployment. Everything may be done twice; each method returns what it saw.

    Methods raise ServiceError where something does not become as it should.
    """

    def addresses(self) -> list[str]:
        """Where the new ones listen, such as http://127.0.0.1:8081; none where nothing of the deployment runs."""

    def pull(self) -> str:
        """Fetch what the new ones are started from."""

    def start(self) -> str:
        """Have the new one run beside the old one."""

    def require_healthy(self) -> str:
        """Require that what was started is alive and ready; where nothing was started, that every known process is."""

    def switch(self) -> str:
        """Send requests to the new one."""

    def back(self) -> str:
        """Send requests to the old one again."""

    def stop_old(self) -> str:
        """Stop the old one."""

    def stop_new(self) -> str:
        """Stop the new one."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look over some time came to.

    Attributes:
        outcome: `done`, or a word that says why not: `fired`, `not_watched`, `not_seen`, `silent`, `left`.
        evidence: for people.
        details: for programs; JSON.
    """

    outcome: Literal["done", "fired", "not_watched", "not_seen", "silent", "left", "skipped"]
    evidence: str
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of a deployment.

    Attributes:
        promoter: the promotion ledger, the registry, and the acts on both.
        events: the event ledger.
        notifies: tells people.
        replicas: gives the serving processes of a deployment by its id and plan.
        back_up: takes a backup for a reason and returns its id, or raises.
        answers: has a version's bundle fetched, loaded and asked its golden windows; returns what was seen, or raises BundleError.
        verifies: asks the serving processes which version answers.
        bots: whether every known bot names a version, waited for from a time on (UTC ms).
        watches: watches a version until a time (UTC ms).
        shows: keeps a record's files with the version in the registry.
        alertmanager: where the window's silence is made, None for none.
        folder: where records are written.
        on_step: told each step twice, as `NAME: done` before the journal has it and as `NAME` after; for progress and for tests that stop there.
    """

    promoter: Promoter
    events: EventLedger
    notifies: Notifies
    replicas: Callable[[str, Plan], Replicas]
    back_up: Callable[[str], str]
    answers: Callable[[str, int], str]
    verifies: Verifies
    bots: Callable[[str, int, int], Seen]
    watches: Callable[[str, int, int], Seen]
    shows: Callable[[Plan, Mapping[str, str], tuple[Path, ...]], None]
    alertmanager: Alertmanager | None
    folder: Path
    on_step: Callable[[str], None] = lambda _step: None
