"""Acts of the promotion ledger that rules took, and what a decision has to know of a strategy: read from the ledgers, stored nowhere.

An act is automatic where its evidence says so (`cause.automatic`). The promotion ledger alone tells it, so a process that was killed between the act
and its incident is noticed by the next one: an automatic rollback whose incident was never opened counts as open.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tidegate.registry.events import EventLedger
from tidegate.registry.ledger import Ledger
from tidegate.registry.state import LedgerRow
from tidegate.rollback.decision import Situation
from tidegate.rollback.incidents import Incident, incident_id, incidents
from tidegate.rollback.maintenance import active
from tidegate.strategy.strategy import Rollback


@dataclass(frozen=True, slots=True)
class Taken:
    """One act that was carried out by the procedure of a rollback, by a rule or by a person.

    Attributes:
        row: the committed row.
        cause: what it stands on, as `act` wrote it: automatic, rule, finding, watch_minutes, logs.
        reason: why, also where a repair finished the act after a crash.
    """

    row: LedgerRow
    cause: dict[str, Any]
    reason: str

    @property
    def automatic(self) -> bool:
        """Whether a rule acted."""
        return self.cause.get("automatic") is True

    @property
    def incident(self) -> str:
        """Id of its incident, opened or not."""
        return incident_id(self.row.strategy, self.row.id)


def acts_taken(rows: Sequence[LedgerRow]) -> list[Taken]:
    """Rollbacks and halts with a cause, oldest first.

    Args:
        rows: of one strategy, oldest first; an act with two rows carries its cause in the first one.
    """
    intents = {row.id: row for row in rows if row.state == "intent"}
    taken = []
    for row in rows:
        if row.state != "committed" or row.action not in {"rollback", "halt"}:
            continue
        source = row if row.intent_id is None else intents.get(row.intent_id, row)
        cause = source.evidence.get("cause")
        if isinstance(cause, dict) and "automatic" in cause:
            taken.append(Taken(row, cause, source.reason))
    return taken


def read_situation(
    ledger: Ledger,
    events: EventLedger,
    strategy: str,
    rules: Rollback,
    *,
    acting_allowed: bool,
    now_ms: int | None = None,
) -> Situation:
    """What a decision has to know, as the ledgers say now.

    Args:
        ledger: the promotion ledger.
        events: the event ledger.
        strategy: the strategy's name.
        rules: its rules, for the cooldown and the time of watching.
        acting_allowed: whether rules may act here (`watch.act`).
        now_ms: UTC ms; None: the ledger's clock.

    Raises:
        LedgerError: a ledger cannot be read.
    """
    now = ledger.database.clock() if now_ms is None else now_ms
    state = ledger.state(strategy)
    taken = acts_taken(ledger.rows(strategy))
    gone_back_at = [one.row.created_at for one in taken if one.automatic and one.row.action == "rollback"]
    return Situation(
        strategy=strategy,
        version=state.current,
        halted=state.halt is not None,
        open_incident=open_automatic_rollback(taken, incidents(events, strategy)),
        is_watched=bool(gone_back_at) and now < max(gone_back_at) + rules.watch_minutes * 60_000,
        last_automatic_act_at=max((one.row.created_at for one in taken if one.automatic), default=None),
        cooldown_ms=rules.cooldown_minutes * 60_000,
        maintenance=active(events, strategy, now) is not None,
        acting_allowed=acting_allowed,
        now_ms=now,
        has_good_version=bool(state.good_versions(without=(state.current,))),
        open_intent=state.open_intent is not None,
    )


def open_automatic_rollback(taken: Sequence[Taken], known: Sequence[Incident]) -> str | None:
    """Id of the newest automatic rollback whose incident no person has closed, None where there is none."""
    closed = {one.id for one in known if not one.is_open}
    found = [one.incident for one in taken if one.automatic and one.row.action == "rollback"]
    return next((name for name in reversed(found) if name not in closed), None)
