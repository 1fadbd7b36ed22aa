"""Signatures of people under manual items: standing, with an expiry, in the event ledger."""

from dataclasses import dataclass
from typing import Final

from tidegate.checklist.items import Item
from tidegate.errors import ConfigurationError
from tidegate.registry.events import Event, EventLedger, Kind

DAY_MS: Final = 86_400_000
_LONGEST_DAYS: Final = 400


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature. Times are UTC ms.

    Attributes:
        item: id of the line.
        by: whose word it is.
        note: what that person says.
        signed_at: when.
        expires_at: from when on it says nothing.
        actor: who typed it, a user of a machine.
    """

    item: str
    by: str
    note: str
    signed_at: int
    expires_at: int
    actor: str

    def holds(self, now_ms: int) -> bool:
        """Whether it has not expired. One from the future does not hold either."""
        return self.signed_at <= now_ms < self.expires_at


def sign(
    events: EventLedger, item: Item, strategy: str, *, by: str, note: str, actor: str, days: int | None = None
) -> Signature:
    """Write a signature; it replaces the item's one before.

    Args:
        events: the event ledger.
        item: a manual line.
        strategy: whose checklist; empty for all strategies of the installation.
        by: name of the person who answers for it.
        note: what was done or seen.
        actor: who types it.
        days: how long it holds; None: as long as the item says, which is also the most.

    Raises:
        ConfigurationError: a probe answers for the item, the name or note is empty, or the days are too many.
        LedgerError: the ledger cannot be written.
    """
    if item.manual is None:
        raise ConfigurationError(f"item {item.id} cannot be signed", expected="a manual item", actual="a probe's")
    if not by.strip() or not note.strip():
        raise ConfigurationError("a signature needs a name and a note", next_step="say who answers, and for what")
    days = item.manual if days is None else days
    if not 1 <= days <= min(item.manual, _LONGEST_DAYS):
        raise ConfigurationError(
            f"a signature under {item.id} cannot hold {days} days", expected=f"1 to {item.manual} days", actual=days
        )
    content = {"by": by.strip(), "note": note.strip(), "days": days}
    event = events.append("signature", strategy=strategy, subject=item.id, actor=actor, content=content)
    assert event is not None
    return _signature(event)


def newest(events: EventLedger, item: str, strategy: str, *, most_days: int | None = None) -> Signature | None:
    """The newest signature under an item, for the strategy or for all of them.

    Args:
        events: the event ledger.
        item: id of the line.
        strategy: whose checklist.
        most_days: that one holds by today's list, also where it was signed under another.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    kinds: list[Kind] = ["signature"]
    found = events.rows(kinds=kinds, subject=item)
    mine = [one for one in found if one.strategy in {"", strategy}]
    return _signature(mine[-1], most_days) if mine else None


def _signature(event: Event, most_days: int | None = None) -> Signature:
    told = event.content
    days = min(int(told["days"]), _LONGEST_DAYS if most_days is None else most_days)
    expires_at = event.created_at + days * DAY_MS
    return Signature(event.subject, str(told["by"]), str(told["note"]), event.created_at, expires_at, event.actor)
