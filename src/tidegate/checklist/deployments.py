"""The newest deployment, as its journal has it while it is written and after."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tidegate.checklist.context import Context
from tidegate.checklist.finding import NotMeasured
from tidegate.deployment.journal import Entry, Journal

HOW: Final = "no deployment is on record: tidegate deploy writes one"


@dataclass(frozen=True, slots=True)
class Deployment:
    """The newest deployment.

    Attributes:
        id: its id.
        at: of its last event, UTC ms.
        under_way: whether its record is not closed yet.
        told: the record's fields: version, by, changes, rollback_plan_verified.
        steps: the newest entry of each.
    """

    id: str
    at: int
    under_way: bool
    told: Mapping[str, Any]
    steps: Mapping[str, Entry]


def newest_deployment(context: Context) -> Deployment:
    """The newest deployment of the strategy.

    Raises:
        NotMeasured: there is none.
    """
    name = context.strategy.name
    rows = context.rows("deployment", name)
    if not rows:
        raise NotMeasured(HOW)
    journal = Journal(context.events, name, rows[-1].subject)
    told: dict[str, Any] = {}
    for row in rows:
        if row.subject == journal.id:
            told |= {field: value for field, value in row.content.items() if value is not None}
    return Deployment(journal.id, rows[-1].created_at, "record" not in journal.done(), told, journal.entries())
