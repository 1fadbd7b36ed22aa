"""Incidents: one for each act that took a version out of production or halted a strategy, watched for a while and closed by a person.

An incident is what the event ledger says of it: an `incident_opened`, any number of `incident_noted`, at most one `incident_closed`, all with the
same subject, `<strategy>/<id of the promotion ledger's row>`. So one act has one incident, however often its opening is tried.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from tidegate.errors import ConfigurationError
from tidegate.registry.events import Event, EventLedger

_KINDS: Final = ("incident_opened", "incident_noted", "incident_closed")


@dataclass(frozen=True, slots=True)
class Note:
    """What was added to an incident; `content` is what the event holds."""

    at: int
    actor: str
    content: Mapping[str, Any]

    @property
    def text(self) -> str:
        """The note for people."""
        told = self.content.get("note")
        return str(told) if told else ", ".join(f"{name}: {value}" for name, value in self.content.items())


@dataclass(frozen=True, slots=True)
class Incident:
    """One incident. Times are UTC ms.

    Attributes:
        id: `<strategy>/<ledger row>`.
        strategy: whose it is.
        opened_at: when it was opened.
        opened_by: who acted.
        content: act, automatic, from_version, to_version, rule, reason, ledger_row, finding, verification, logs, watch_until.
        notes: what was added since, oldest first.
        closed_at: when a person closed it, None while it is open.
        closed_by: who.
        closing_note: what that person said.
    """

    id: str
    strategy: str
    opened_at: int
    opened_by: str
    content: Mapping[str, Any]
    notes: tuple[Note, ...]
    closed_at: int | None
    closed_by: str | None
    closing_note: str | None

    @property
    def is_open(self) -> bool:
        """Whether nobody has closed it yet."""
        return self.closed_at is None

    @property
    def automatic(self) -> bool:
        """Whether a rule acted; what does not say so counts as automatic, which is the careful side."""
        return bool(self.content.get("automatic", True))

    @property
    def act(self) -> Literal["rollback", "halt"]:
        """What was done."""
        return "halt" if self.content.get("act") == "halt" else "rollback"

    @property
    def watch_until(self) -> int:
        """UTC ms until when it is watched."""
        return int(self.content["watch_until"])

    @property
    def watched(self) -> str | None:
        """What the watch over it came to, None while it has not ended."""
        return next((str(note.content["watched"]) for note in reversed(self.notes) if "watched" in note.content), None)


def incident_id(strategy: str, ledger_row: int) -> str:
    """The id of the incident of an act of the promotion ledger."""
    return f"{strategy}/{ledger_row}"


def open_incident(
    events: EventLedger, strategy: str, ledger_row: int, *, actor: str, content: Mapping[str, Any]
) -> bool:
    """Open the incident of an act; False where it is there already, also where a person has closed it.

    Raises:
        LedgerError: the event ledger cannot be written.
    """
    subject = incident_id(strategy, ledger_row)
    return events.append("incident_opened", strategy=strategy, subject=subject, actor=actor, content=content, once=True) is not None  # fmt: skip


def note_incident(events: EventLedger, incident: str, *, actor: str, content: Mapping[str, Any]) -> None:
    """Add a note to an incident, open or closed.

    Args:
        events: the event ledger.
        incident: its id.
        actor: who notes.
        content: `note` for people's words; the watch writes `watched`.

    Raises:
        ConfigurationError: there is no such incident, or the words are empty.
        LedgerError: the event ledger cannot be written.
    """
    found = find_incident(events, incident)
    if "note" in content and not str(content["note"]).strip():
        raise ConfigurationError(f"a note to incident {incident} needs words", next_step="say what was found")
    events.append("incident_noted", strategy=found.strategy, subject=incident, actor=actor, content=content)


def close_incident(events: EventLedger, incident: str, *, actor: str, note: str) -> Incident:
    """Close an incident: a person has understood it. The bar of the version that was left stays until `clear`.

    Raises:
        ConfigurationError: there is no such incident, it is closed already, or the note is empty.
        LedgerError: the event ledger cannot be written.
    """
    found = find_incident(events, incident)
    if not note.strip():
        raise ConfigurationError(f"incident {incident} needs a note to be closed with", next_step="say what was found")
    content = {"note": note.strip()}
    closed = events.append(
        "incident_closed", strategy=found.strategy, subject=incident, actor=actor, content=content, once=True
    )
    if closed is None:
        now = find_incident(events, incident)
        raise ConfigurationError(
            f"incident {incident} is closed already",
            actual=f"closed by {now.closed_by}: {now.closing_note}",
            next_step="`tidegate incident note` adds what was found later",
        )
    return find_incident(events, incident)


def find_incident(events: EventLedger, incident: str) -> Incident:
    """One incident by its id.

    Raises:
        ConfigurationError: there is no such incident.
    """
    found = _incidents(events.rows(kinds=_KINDS, subject=incident))
    if not found:
        raise ConfigurationError(
            f"there is no incident {incident}",
            expected="<strategy>/<number>",
            next_step="`tidegate incidents` lists them",
        )
    return found[0]


def incidents(events: EventLedger, strategy: str | None = None) -> list[Incident]:
    """All incidents, oldest first."""
    return _incidents(events.rows(strategy, kinds=_KINDS))


def open_incidents(events: EventLedger, strategy: str | None = None) -> list[Incident]:
    """Incidents that nobody has closed yet, oldest first."""
    return [one for one in incidents(events, strategy) if one.is_open]


def _incidents(rows: Iterable[Event]) -> list[Incident]:
    opened: dict[str, Event] = {}
    notes: dict[str, list[Note]] = {}
    closed: dict[str, Event] = {}
    for row in rows:
        if row.kind == "incident_opened":
            opened.setdefault(row.subject, row)
        elif row.kind == "incident_noted":
            notes.setdefault(row.subject, []).append(Note(row.created_at, row.actor, row.content))
        elif row.kind == "incident_closed":
            closed.setdefault(row.subject, row)
    return [_incident(event, notes.get(subject, []), closed.get(subject)) for subject, event in opened.items()]


def _incident(event: Event, notes: list[Note], closed: Event | None) -> Incident:
    return Incident(
        id=event.subject,
        strategy=event.strategy,
        opened_at=event.created_at,
        opened_by=event.actor,
        content=event.content,
        notes=tuple(notes),
        closed_at=None if closed is None else closed.created_at,
        closed_by=None if closed is None else closed.actor,
        closing_note=None if closed is None else str(closed.content.get("note", "")),
    )
