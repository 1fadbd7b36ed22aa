"""The journal of a deployment: events of kind `deployment`, one a step, whose subject is the deployment's id.

The journal says which steps are done. Whether what a step does is there is looked up where it is, since a kill may come between the two.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tidegate.bars.bars import iso
from tidegate.logs.redaction import without_secrets
from tidegate.registry.events import Event, EventLedger, Kind

STEPS: Final = (
    "plan",
    "notify",
    "window",
    "backup",
    "pull",
    "start",
    "health",
    "prediction",
    "switch",
    "bots",
    "watch",
    "verdict",
    "stop",
    "record",
)
"""In their order. Nothing that bots see changes before `switch`; the old process is stopped last."""
FAILED: Final = "failed"
_GOOD: Final = frozenset({"done", "kept"})
_KINDS: Final[tuple[Kind, ...]] = ("deployment",)


@dataclass(frozen=True, slots=True)
class Entry:
    """One step of a deployment.

    Attributes:
        name: of the step.
        outcome: `done`, `kept`, `failed`, or a word that says why it is neither. A step that failed is taken again.
        evidence: what was seen, for people.
        details: the same for programs; JSON.
        at: UTC ms; 0 before it is written.
        by: who took it.
    """

    name: str
    outcome: str
    evidence: str
    details: Mapping[str, Any] = field(default_factory=dict)
    at: int = 0
    by: str = ""

    @property
    def is_good(self) -> bool:
        """Whether it came to its good end."""
        return self.outcome in _GOOD


@dataclass(frozen=True, slots=True)
class Plan:
    """What a deployment will change.

    Attributes:
        strategy: the model's name.
        from_version: in production before, None where there was none.
        version: in production after it.
        digest: of its manifest.
        changes: what differs between the two manifests, a line each.
        rollback_to: the version that going back leads to, None where there is none: then it halts.
        rollback_verified: whether that version was loaded and answered its golden windows.
        by: who deploys.
        reason: why.
        watch_minutes: how long it is watched.
    """

    strategy: str
    from_version: int | None
    version: int
    digest: str
    changes: tuple[str, ...]
    rollback_to: int | None
    rollback_verified: bool
    by: str
    reason: str
    watch_minutes: float

    @property
    def moves(self) -> bool:
        """Whether another version comes into production; otherwise only the processes are new."""
        return self.from_version != self.version


class Journal:
    """The journal of one deployment.

    Args:
        events: the event ledger.
        strategy: the model's name.
        name: the deployment's id.
    """

    def __init__(self, events: EventLedger, strategy: str, name: str) -> None:
        self.events = events
        self.strategy = strategy
        self.id = name

    def entries(self) -> dict[str, Entry]:
        """The newest entry of each step, in the order of their first ones."""
        rows = self.events.rows(self.strategy, kinds=_KINDS, subject=self.id)
        return {entry.name: entry for entry in map(_entry, rows)}

    def done(self) -> dict[str, Entry]:
        """Steps that need not be taken again."""
        return {name: entry for name, entry in self.entries().items() if entry.outcome != FAILED}

    def plan(self) -> Plan | None:
        """The plan, None before it is made."""
        entry = self.done().get("plan")
        if entry is None:
            return None
        return Plan(**{**entry.details, "changes": tuple(entry.details["changes"])})

    def write(self, entry: Entry, *, told: Mapping[str, Any] | None = None) -> None:
        """Add an entry.

        Args:
            entry: the step.
            told: fields of the record that are known with it: version, by, changes, rollback_plan_verified.

        Raises:
            LedgerError: it cannot be written.
        """
        content = {
            "name": entry.name,
            "at": self.events.database.clock(),
            "outcome": entry.outcome,
            # What commands and libraries said may repeat what they were given.
            "evidence": without_secrets(entry.evidence),
            "details": dict(entry.details),
        }
        self.events.append(
            "deployment", strategy=self.strategy, subject=self.id, actor=entry.by, content=content | dict(told or {})
        )


def new_journal(events: EventLedger, strategy: str) -> Journal:
    """A journal with a new id; nothing is written yet."""
    now = events.database.clock()
    stamp = iso(now - now % 1000).replace("-", "").replace(":", "")
    return Journal(events, strategy, f"deploy-{stamp}-{secrets.token_hex(3)}")


def open_journal(events: EventLedger, strategy: str) -> Journal | None:
    """The newest deployment of a model, where its record is not closed yet."""
    rows = events.rows(strategy, kinds=_KINDS)
    if not rows:
        return None
    journal = Journal(events, strategy, rows[-1].subject)
    return None if "record" in journal.done() else journal


def is_told(rows: Sequence[Event], title: str) -> bool:
    """Whether a notification with this title is among events."""
    return any(row.content.get("title") == title for row in rows)


def _entry(row: Event) -> Entry:
    content = row.content
    return Entry(
        name=str(content["name"]),
        outcome=str(content["outcome"]),
        evidence=str(content["evidence"]),
        details=content.get("details", {}),
        at=int(content["at"]),
        by=row.actor,
    )
