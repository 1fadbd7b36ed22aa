"""The promotion ledger: append-only rows, one open intent a strategy, rising fencing tokens, a hash chain over all of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, select

from tidegate.errors import LedgerError, PromotionConflict
from tidegate.registry.chain import canonical, row_hash, verify_chain
from tidegate.registry.database import Clock, Database
from tidegate.registry.schema import GENESIS, promotion_ledger, require_fit
from tidegate.registry.state import Draft, LedgerRow, RowState, Status, StrategyState, derive
from tidegate.settings.settings import Settings


class Ledger:
    """The promotion ledger of one database."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @classmethod
    def from_settings(cls, settings: Settings) -> "Ledger":
        """Open the ledger that the settings name; nothing is read or written yet."""
        return cls(Database.from_settings(settings))

    @contextmanager
    def writing(self) -> Iterator["LedgerWriter"]:
        """A transaction that alone may write. All its rows become visible together, or none when it fails.

        The chain is verified first: nothing is added to a ledger that somebody has altered.

        Raises:
            LedgerError: unreachable, busy, broken, or a row was refused; nothing was written.
        """
        with self.database.write() as connection:
            verify_chain(_columns(connection))
            yield LedgerWriter(connection, self.database.clock)

    def rows(self, strategy: str | None = None) -> list[LedgerRow]:
        """All rows, or one strategy's, oldest first."""
        with self.database.read() as connection:
            return _rows(connection, strategy)

    def state(self, strategy: str) -> StrategyState:
        """The strategy's state after the newest row."""
        return derive(strategy, self.rows(strategy))

    def version_status(self, strategy: str, version: int) -> Status:
        """Whether a version may be used: `ok`, `barred` or `halted`."""
        return self.state(strategy).status(version)

    def verify(self, head: str | None = None) -> str:
        """Check the whole chain and return its last hash.

        Args:
            head: a row hash kept outside the database; it must still be found, so rows cannot be cut off unseen.

        Raises:
            LedgerError: names the first broken row.
        """
        with self.database.read() as connection:
            return verify_chain(_columns(connection), head)


class LedgerWriter:
    """Adds rows inside one write transaction; made by `Ledger.writing`."""

    def __init__(self, connection: Connection, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock

    def state(self, strategy: str) -> StrategyState:
        """The strategy's state, the rows of this transaction included."""
        return derive(strategy, _rows(self._connection, strategy))

    def append(self, draft: Draft, state: RowState) -> LedgerRow:
        """Add an intent, or a row that is complete by itself; it gets the strategy's next fencing token.

        Raises:
            PromotionConflict: an intent of this strategy is still open.
        """
        found = self.state(draft.strategy)
        if found.open_intent is not None:
            raise conflict_with(found.open_intent)
        return self._insert(draft, state, token=found.token + 1, intent_id=None)

    def close(self, intent: LedgerRow, state: RowState, *, reason: str, evidence: dict[str, Any]) -> LedgerRow:
        """Close an intent by a row of its own, `committed` or `aborted`."""
        self.require_open(intent)
        draft = Draft(
            intent.strategy,
            intent.action,
            intent.from_version,
            intent.to_version,
            intent.actor,
            reason,
            intent.bundle_digest,
            evidence,
        )
        return self._insert(draft, state, token=intent.fencing_token, intent_id=intent.id)

    def require_open(self, intent: LedgerRow) -> None:
        """The fence: refuse to go on with an intent that was closed meanwhile or is not the newest.

        Raises:
            PromotionConflict: this promoter was overtaken and must not touch the aliases.
        """
        found = self.state(intent.strategy)
        if found.open_intent is None or found.open_intent.id != intent.id or found.token != intent.fencing_token:
            raise PromotionConflict(
                f"{intent.action} of {intent.strategy} was overtaken: its intent (row {intent.id}) is no longer the open one",
                expected=f"fencing token {intent.fencing_token}",
                actual=f"fencing token {found.token}",
                next_step="look at `tidegate history`, then decide again",
            )

    def _insert(self, draft: Draft, state: RowState, *, token: int, intent_id: int | None) -> LedgerRow:
        if not draft.actor.strip() or not draft.reason.strip():
            raise LedgerError("a ledger row needs an actor and a reason", actual=(draft.actor, draft.reason))
        table = promotion_ledger.c
        last = self._connection.execute(
            select(table.id, table.row_hash).order_by(table.id.desc()).limit(1)
        ).one_or_none()
        columns: dict[str, Any] = {
            "id": 1 if last is None else last.id + 1,
            "strategy": draft.strategy,
            "action": draft.action,
            "from_version": draft.from_version,
            "to_version": draft.to_version,
            "bundle_digest": draft.bundle_digest,
            "state": state,
            "intent_id": intent_id,
            "fencing_token": token,
            "actor": draft.actor,
            "reason": draft.reason,
            "evidence": canonical(draft.evidence),
            "created_at": self._clock(),
            "previous_hash": GENESIS if last is None else last.row_hash,
        }
        columns["row_hash"] = row_hash(columns)
        require_fit(promotion_ledger, columns)
        self._connection.execute(promotion_ledger.insert().values(columns))
        return LedgerRow.from_columns(columns)


def conflict_with(intent: LedgerRow) -> PromotionConflict:
    """The error for an act that meets another's open intent."""
    return PromotionConflict(
        f"a {intent.action} of {intent.strategy} by {intent.actor} is under way (row {intent.id}, to v{intent.to_version})",
        next_step="wait for it; if its process has died, `tidegate repair` finishes or aborts it",
    )


def _columns(connection: Connection, strategy: str | None = None) -> list[dict[str, Any]]:
    query = select(promotion_ledger).order_by(promotion_ledger.c.id)
    if strategy is not None:
        query = query.where(promotion_ledger.c.strategy == strategy)
    return [dict(row) for row in connection.execute(query).mappings()]


def _rows(connection: Connection, strategy: str | None) -> list[LedgerRow]:
    return [LedgerRow.from_columns(columns) for columns in _columns(connection, strategy)]
