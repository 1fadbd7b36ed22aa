"""The event ledger: what happened after promotion, append-only and chained by hashes like the promotion ledger.

It holds what monitoring saw and did (runs, alarms, decisions, verifications), incidents, maintenance windows and proofs of delivery. What an event
means is decided where it is written; here it is a kind, a subject and JSON. The promotion ledger alone decides what is in production.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from sqlalchemy import Connection, select

from tidegate.errors import LedgerError
from tidegate.registry.chain import canonical
from tidegate.registry.database import Database
from tidegate.registry.schema import GENESIS, events, require_fit
from tidegate.settings.settings import Settings

Kind = Literal[
    "monitor_run",
    "alarm",
    "decision",
    "verification",
    "incident_opened",
    "incident_noted",
    "incident_closed",
    "maintenance_started",
    "maintenance_ended",
    "notification",
    "backup",
    "backup_verified",
    "restored",
    "restore_drill",
    "signature",
    "deployment",
]
KINDS = frozenset(get_args(Kind))
_HASHED = ("id", "strategy", "kind", "subject", "actor", "content", "created_at", "previous_hash")


@dataclass(frozen=True, slots=True)
class Event:
    """One row. `subject` names what it is about within its kind, such as an incident's id; `created_at` is UTC ms."""

    id: int
    strategy: str
    kind: Kind
    subject: str
    actor: str
    content: dict[str, Any]
    created_at: int
    previous_hash: str
    row_hash: str


class EventLedger:
    """The event ledger of one database."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @classmethod
    def from_settings(cls, settings: Settings) -> "EventLedger":
        """Open the ledger that the settings name; nothing is read or written yet."""
        return cls(Database.from_settings(settings))

    def append(
        self, kind: Kind, *, strategy: str, subject: str, actor: str, content: Mapping[str, Any], once: bool = False
    ) -> Event | None:
        """Add an event.

        Args:
            kind: what sort of event it is.
            strategy: the strategy's id; empty for what is about none.
            subject: what it is about.
            actor: who wrote it, a person or a process.
            content: JSON; numbers must be finite.
            once: add nothing where this kind, strategy and subject are there already.

        Returns:
            the event, None where `once` found it there.

        Raises:
            LedgerError: unreachable, busy, or the row was refused; nothing was written.
        """
        return self.append_if(
            kind,
            strategy=strategy,
            subject=subject,
            actor=actor,
            content=content,
            condition=(lambda found: not found) if once else (lambda _found: True),
        )

    def append_if(
        self,
        kind: Kind,
        *,
        strategy: str,
        subject: str,
        actor: str,
        content: Mapping[str, Any],
        condition: Callable[[list[Event]], bool],
        seen: Collection[Kind] | None = None,
    ) -> Event | None:
        """Add an event if what is there already allows it, judged while nobody else can write.

        Args:
            kind: what sort of event it is.
            strategy: the strategy's id; empty for what is about none.
            subject: what it is about.
            actor: who wrote it.
            content: JSON; numbers must be finite.
            condition: given the strategy's events of the kinds in `seen` (of this subject where `seen` is None), oldest first.
            seen: kinds that `condition` looks at; None: this kind and subject only.
        """
        if kind not in KINDS or not actor.strip() or not subject.strip():
            raise LedgerError("an event needs a known kind, an actor and a subject", actual=(kind, actor, subject))
        text = canonical(dict(content))
        with self.database.write() as connection:
            found = _rows(
                connection, strategy=strategy, kinds=seen or (kind,), subject=subject if seen is None else None
            )
            if not condition(found):
                return None
            return self._insert(connection, kind, strategy, subject, actor, text)

    def rows(
        self,
        strategy: str | None = None,
        *,
        kinds: Collection[Kind] | None = None,
        subject: str | None = None,
        since_ms: int | None = None,
    ) -> list[Event]:
        """Events, oldest first.

        Args:
            strategy: only of this strategy.
            kinds: only of these kinds.
            subject: only about this.
            since_ms: only written at or after this, UTC ms.
        """
        with self.database.read() as connection:
            return _rows(connection, strategy=strategy, kinds=kinds, subject=subject, since_ms=since_ms)

    def newest(self, strategy: str, kind: Kind) -> Event | None:
        """The newest event of a kind, None where there is none."""
        with self.database.read() as connection:
            query = (
                select(events)
                .where(events.c.strategy == strategy, events.c.kind == kind)
                .order_by(events.c.id.desc())
                .limit(1)
            )
            row = connection.execute(query).mappings().one_or_none()
            return None if row is None else _event(row)

    def verify(self) -> str:
        """Check the whole chain and return its last hash.

        Raises:
            LedgerError: names the first broken row.
        """
        with self.database.read() as connection:
            return _verify(dict(row) for row in connection.execute(select(events).order_by(events.c.id)).mappings())

    def _insert(self, connection: Connection, kind: Kind, strategy: str, subject: str, actor: str, text: str) -> Event:
        last = connection.execute(
            select(events.c.id, events.c.row_hash).order_by(events.c.id.desc()).limit(1)
        ).one_or_none()
        columns: dict[str, Any] = {
            "id": 1 if last is None else last.id + 1,
            "strategy": strategy,
            "kind": kind,
            "subject": subject,
            "actor": actor,
            "content": text,
            "created_at": self.database.clock(),
            "previous_hash": GENESIS if last is None else last.row_hash,
        }
        columns["row_hash"] = _hash(columns)
        require_fit(events, columns)
        connection.execute(events.insert().values(columns))
        return _event(columns)


def _rows(
    connection: Connection,
    *,
    strategy: str | None,
    kinds: Collection[Kind] | None,
    subject: str | None,
    since_ms: int | None = None,
) -> list[Event]:
    query = select(events).order_by(events.c.id)
    if strategy is not None:
        query = query.where(events.c.strategy == strategy)
    if kinds is not None:
        query = query.where(events.c.kind.in_(sorted(kinds)))
    if subject is not None:
        query = query.where(events.c.subject == subject)
    if since_ms is not None:
        query = query.where(events.c.created_at >= since_ms)
    return [_event(row) for row in connection.execute(query).mappings()]


def _event(columns: Mapping[str, Any] | Any) -> Event:  # noqa: ANN401  SQLAlchemy's row mapping has no public type
    return Event(**{**columns, "content": json.loads(columns["content"])})


def _hash(columns: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical({name: columns[name] for name in _HASHED}).encode()).hexdigest()


def _verify(rows: Iterable[Mapping[str, Any]]) -> str:
    last, expected_id = GENESIS, 1
    for row in rows:
        if (row["id"], row["previous_hash"], row["row_hash"]) != (expected_id, last, _hash(row)):
            raise LedgerError(
                f"the event ledger's chain is broken at row {row['id']}",
                expected=f"row {expected_id} after {last}",
                actual=(row["id"], row["previous_hash"], row["row_hash"]),
                next_step="restore the ledger from a backup and find out who changed it",
            )
        last, expected_id = str(row["row_hash"]), expected_id + 1
    return last
