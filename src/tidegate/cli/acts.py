"""The promotion ledger for people: one line an act."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidegate.registry.state import LedgerRow

COLUMNS = ("id", "at (UTC)", "act", "version", "who", "why")


def act_lines(rows: Sequence["LedgerRow"], *, every_row: bool = False) -> list[tuple[object, ...]]:
    """Lines for a table, oldest first.

    An act that moves the aliases has two rows: what was intended and how it ended. Only the second is shown, with the first one's
    reason, unless `every_row` is asked for or the act has not ended yet.

    Args:
        rows: of one strategy, oldest first.
        every_row: show intents that have ended too.
    """
    intents = {row.id: row for row in rows if row.state == "intent"}
    ended = {row.intent_id for row in rows}
    return [
        (row.id, _minute(row.created_at), _act(row), _move(row), row.actor, _why(row, intents))
        for row in rows
        if every_row or row.state != "intent" or row.id not in ended
    ]


def named(version: int | None) -> str:
    """A version for people."""
    return "none" if version is None else f"v{version}"


def _minute(time_ms: int) -> str:
    from tidegate.bars.bars import iso

    return iso(time_ms)[:16].replace("T", " ")


def _act(row: "LedgerRow") -> str:
    action = "resume" if row.action == "clear" and row.to_version is None else str(row.action)
    return action + {"committed": "", "aborted": " ABORTED", "intent": " intended"}[row.state]


def _move(row: "LedgerRow") -> str:
    if row.action in {"promote", "rollback", "external"} or (
        row.action == "halt" and row.from_version != row.to_version
    ):
        return f"{named(row.from_version)} > {named(row.to_version)}"
    return "" if row.to_version is None else named(row.to_version)


def _why(row: "LedgerRow", intents: dict[int, "LedgerRow"]) -> str:
    intent = row if row.intent_id is None else intents.get(row.intent_id, row)
    override = "gates OVERRIDDEN: " if intent.evidence.get("overridden") else ""
    ending = f" ({row.reason})" if row.reason != intent.reason else ""
    return f"{override}{intent.reason}{ending}"
