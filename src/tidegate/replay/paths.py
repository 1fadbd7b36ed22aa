"""Which paths are walked: the deployed procedure, and what it is compared with."""

import hashlib
import json
from functools import cache
from typing import Any, Final

from tidegate.pipeline.fold_identity import NO_PART_IN_A_MODEL, code_digest, own_files
from tidegate.replay.journal import Journal
from tidegate.replay.judged import Judged
from tidegate.replay.life import Life
from tidegate.replay.market import Market
from tidegate.replay.plain import Flat, Hold, Unjudged
from tidegate.replay.plan import Plan
from tidegate.replay.result import Name
from tidegate.strategy.gates import Gates

_CODE: Final = ("backtest", "gates", "monitoring", "pipeline", "policy", "registry", "replay", "rollback", "statistics")
_NAMED: Final[tuple[Name, ...]] = ("checklist", "balanced", "strict")
_DIGITS: Final = 12


def lives(plan: Plan, market: Market) -> list[tuple[Life, Journal]]:
    """All paths with the folders they are kept in, `deployed` first."""
    found = []
    for name, title, gates in _judged(plan):
        strategy = plan.strategy.model_copy(update={"gates": gates})
        journal = _journal(plan, name, strategy.model_dump(mode="json", include=NO_PART_IN_A_MODEL))
        journal.folder.mkdir(parents=True, exist_ok=True)
        life: Life = Judged(name, title, strategy, plan, market, journal.work)
        found.append((life, journal))
    plain: tuple[Life, ...] = (
        Unjudged(market, always=True),
        Unjudged(market, always=False),
        Hold(market),
        Flat(market),
    )
    return [*found, *((life, _journal(plan, life.name, {})) for life in plain)]


def _judged(plan: Plan) -> list[tuple[Name, str, Gates]]:
    own = plan.policies["deployed"]
    found: list[tuple[Name, str, Gates]] = [("deployed", "Deployed procedure", own)]
    return found + [(name, f"Policy {name}", plan.policies[name]) for name in _NAMED if name in plan.policies]


def _journal(plan: Plan, name: Name, rules: dict[str, Any]) -> Journal:
    """Another start, other rules or other code make another path."""
    content = {"first": plan.months[0].name, "rules": rules, "code": _code()}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return Journal(plan.folder / "paths" / f"{name}-{plan.months[0].name}-{digest[:_DIGITS]}")


@cache
def _code() -> str:
    return code_digest(
        path for path in own_files(*_CODE) if not (path.parent.name == "replay" and path.name.startswith("page"))
    )
