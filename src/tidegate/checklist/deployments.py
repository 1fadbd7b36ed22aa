"""Reads the record of a deployment, which is written as events of kind `deployment`.

The content of such an event is

    {"version": 3, "by": "...", "changes": "...", "rollback_plan_verified": true,
     "steps": [{"name": "health", "at": <UTC ms>, "outcome": "done", "evidence": "..."}]}

A deployment that is journalled step by step has several events with one subject; their steps are put together, and a later one of the same name counts.
"""

from dataclasses import dataclass, field
from typing import Any, Final

from tidegate.checklist.context import Context
from tidegate.checklist.finding import NotMeasured
from tidegate.registry.events import Event

DONE: Final = frozenset({"done", "pass", "passed", "ok", "kept", "keep"})
HOW: Final = "no deployment is on record: tidegate deploy writes one"


@dataclass(frozen=True, slots=True)
class Step:
    """One step. `at` is UTC ms."""

    name: str
    at: int
    outcome: str
    evidence: str

    @property
    def is_done(self) -> bool:
        """Whether it came to its good end."""
        return self.outcome in DONE


@dataclass(slots=True)
class Deployment:
    """The newest deployment. `at` is UTC ms of its last event; `under_way` is a journal that is not closed by the step `record` yet."""

    id: str
    at: int
    under_way: bool = False
    told: dict[str, Any] = field(default_factory=dict)
    steps: dict[str, Step] = field(default_factory=dict)


def newest_deployment(context: Context) -> Deployment:
    """The newest deployment of the strategy.

    Raises:
        NotMeasured: there is none.
    """
    rows = [one for one in context.events.rows(context.strategy.name) if str(one.kind) == "deployment"]
    if not rows:
        raise NotMeasured(HOW)
    return _read([one for one in rows if one.subject == rows[-1].subject])


def _read(rows: list[Event]) -> Deployment:
    found, whole = Deployment(rows[-1].subject, rows[-1].created_at), False
    for row in rows:
        content = dict(row.content)
        steps = content.pop("steps", None) or ([content] if "name" in content and "outcome" in content else [])
        for told in steps:
            at = told.get("at")
            step = Step(
                str(told["name"]),
                row.created_at if at is None else int(at),
                str(told["outcome"]),
                str(told.get("evidence", "")),
            )
            found.steps[step.name] = step
        whole = whole or "steps" in row.content
        found.told |= {name: value for name, value in content.items() if value is not None}
    found.under_way = not whole and "record" not in found.steps
    return found
