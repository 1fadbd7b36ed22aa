"""What the promotion ledger's rows mean: the state of a strategy, derived anew from its rows and stored nowhere."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Action = Literal["promote", "rollback", "halt", "clear", "bar", "external"]
RowState = Literal["intent", "committed", "aborted"]
Status = Literal["ok", "barred", "halted"]


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One row of the promotion ledger. `created_at` is UTC ms; the columns are described in docs/contracts/promotion-ledger.md."""

    id: int
    strategy: str
    action: Action
    from_version: int | None
    to_version: int | None
    bundle_digest: str | None
    state: RowState
    intent_id: int | None
    fencing_token: int
    actor: str
    reason: str
    evidence: dict[str, Any]
    created_at: int
    previous_hash: str
    row_hash: str

    @classmethod
    def from_columns(cls, columns: Mapping[str, Any]) -> "LedgerRow":
        """Build a row from the database's columns."""
        return cls(**{**columns, "evidence": json.loads(columns["evidence"])})


@dataclass(frozen=True, slots=True)
class Draft:
    """What a new row says; the ledger adds id, token, time and hashes."""

    strategy: str
    action: Action
    from_version: int | None
    to_version: int | None
    actor: str
    reason: str
    bundle_digest: str | None = None
    evidence: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StrategyState:
    """A strategy's state after its newest row.

    Attributes:
        strategy: the strategy's id.
        current: version in production as the ledger knows it, None before the first and after a halt that took it away.
        productions: every version that was in production, newest first, each once.
        left: versions that were gone back from, by a rollback or by hand in MLflow: nobody goes back to one by itself, also where it is not barred, until
            it is promoted again or a person clears it or goes to it by name.
        barred: versions that may not be used.
        halt: the row that halted the strategy, None when it is not halted.
        open_intent: the intent that no row has closed yet.
        last_row: the newest row.
        last_change: the newest committed row that set what is in production.
        went_back: whether that change went back: a rollback, or a change by hand to an earlier version.
        token: the highest fencing token so far.
        digests: version to manifest digest, from the newest row that names it.
        models: version to SHA-256 of its model file, where a row's evidence tells it.
    """

    strategy: str
    current: int | None
    productions: tuple[int, ...]
    left: frozenset[int]
    barred: frozenset[int]
    halt: LedgerRow | None
    open_intent: LedgerRow | None
    last_row: LedgerRow | None
    last_change: LedgerRow | None
    went_back: bool
    token: int
    digests: Mapping[int, str]
    models: Mapping[int, str]

    def status(self, version: int) -> Status:
        """Return `barred`, else `halted` where the whole strategy is halted, else `ok`."""
        if version in self.barred:
            return "barred"
        return "halted" if self.halt is not None else "ok"

    def good_versions(self, *, without: Iterable[int | None] = ()) -> tuple[int, ...]:
        """Versions that may be gone back to: they were in production, are not barred and were not gone back from; newest first, without the named ones."""
        left_out = {*without, *self.barred, *self.left}
        return tuple(version for version in self.productions if version not in left_out)


def derive(strategy: str, rows: Iterable[LedgerRow]) -> StrategyState:
    """Fold a strategy's rows, in ascending order, into its state."""
    found = list(rows)
    closed = {row.intent_id for row in found}
    open_intents = [row for row in found if row.state == "intent" and row.id not in closed]
    current: int | None = None
    productions: list[int] = []
    barred: set[int] = set()
    left: set[int] = set()
    entered: dict[int, int] = {}
    halt = last_change = None
    went_back = False
    committed = [row for row in found if row.state == "committed"]
    for row in committed:
        version = row.to_version
        if row.action in {"promote", "rollback", "external"} or (row.action == "halt" and version != current):
            went_back = _goes_back(row, current, entered)
            # What the ledger says of the version before, not of the alias, which a person may have moved.
            if went_back and current is not None:
                left.add(current)
            if version is not None:
                left.discard(version)
                if not went_back:
                    entered[version] = row.id
            current, last_change = version, row
            productions = [*([] if version is None else [version]), *(old for old in productions if old != version)]
        if row.action == "halt":
            halt = row
        elif row.action == "clear" and version is None:
            halt = None
        elif row.action == "bar" and version is not None:
            barred.add(version)
        elif row.action == "clear" and version is not None:
            barred.discard(version)
            left.discard(version)
    return StrategyState(
        strategy=strategy,
        current=current,
        productions=tuple(productions),
        left=frozenset(left),
        barred=frozenset(barred),
        halt=halt,
        open_intent=open_intents[0] if open_intents else None,
        last_row=found[-1] if found else None,
        last_change=last_change,
        went_back=went_back,
        token=max((row.fencing_token for row in found), default=0),
        digests={row.to_version: row.bundle_digest for row in committed if row.to_version and row.bundle_digest},
        models={row.to_version: row.evidence["model"] for row in found if row.to_version and "model" in row.evidence},
    )


def _goes_back(row: LedgerRow, current: int | None, entered: Mapping[int, int]) -> bool:
    """Whether a change goes back: a rollback does, and so does a change by hand to a version that came into production earlier.

    Args:
        row: the change.
        current: the version before it.
        entered: version to the row that brought it into production, other than by going back.
    """
    if row.action != "external":
        return row.action in {"rollback", "halt"}
    version = row.to_version
    if version is None or current is None:
        return False
    if version in entered and current in entered:
        return entered[version] < entered[current]
    return version < current
