"""What must hold after a fault, and what must hold once the operation was asked again."""

import time

from tests.chaos.operations import Act
from tests.chaos.stage import Stage

from tidegate.backup.listing import list_backups
from tidegate.backup.opening import open_repository
from tidegate.deployment.journal import open_journal
from tidegate.deployment.opening import answers_golden
from tidegate.errors import TidegateError
from tidegate.registry.database import system_clock
from tidegate.registry.events import EventLedger
from tidegate.registry.promotion import PREVIOUS, PRODUCTION
from tidegate.registry.repair import repair
from tidegate.registry.retrains import RetrainLedger
from tidegate.rollback.maintenance import active


def after_fault(stage: Stage, act: Act) -> list[str]:
    """What is broken right after a fault, when the servers are back; nothing was repaired yet."""
    promoter, broken = stage.promoter, _chains(stage)
    state, alias = promoter.ledger.state(act.strategy), promoter.versions.alias(act.strategy, PRODUCTION)
    intent = state.open_intent
    if intent is None and alias != state.current:
        broken.append(f"production is v{alias} in MLflow and v{state.current} in the ledger, and no intent says why")
    if intent is not None and alias not in {intent.from_version, intent.to_version}:
        broken.append(
            f"production is v{alias}, and the open intent is from v{intent.from_version} to v{intent.to_version}"
        )
    allowed = {act.before, act.after} | ({None} if state.halt is not None else set())
    if act.is_served and (served := stage.served(act.strategy)) not in allowed:
        broken.append(f"v{served} is served, neither the version before nor the one after")
    broken += _whole(stage, act.strategy, (alias, promoter.versions.alias(act.strategy, PREVIOUS)))
    return broken + _promotions(stage, act)


def after_rerun(stage: Stage, act: Act) -> list[str]:
    """What is broken once the same command was given again and ended well."""
    broken = after_fault(stage, act)
    promoter = stage.promoter
    state, alias = promoter.ledger.state(act.strategy), promoter.versions.alias(act.strategy, PRODUCTION)
    if state.open_intent is not None:
        broken.append("an intent is open")
    if alias is None or alias != state.current or act.after not in {None, alias}:
        broken.append(
            f"production is v{alias} in MLflow, v{state.current} in the ledger, and v{act.after} was asked for"
        )
    if act.is_served and (served := stage.until_served(act.strategy, alias)) != alias:
        broken.append(f"v{served} is served, not v{alias}")
    found = repair(promoter, act.strategy)
    if found.rows or found.alerts or found.published or found.signed:
        broken.append(f"a repair still finds something: {found.alerts or found}")
    if act.version is not None and _times(stage, act) != 1:
        broken.append(f"v{act.version} was promoted {_times(stage, act)} times")
    if act.operation == "rollback" and (act.before not in state.barred or len(_since(stage, act, "rollback")) != 1):
        broken.append("the version that was left is not barred, or it was left more than once")
    return broken + _of_operation(stage, act)


def after_halt(stage: Stage, act: Act) -> list[str]:
    """What is broken where a rollback found no version that verified and has halted the strategy, as it says it does."""
    promoter, broken = stage.promoter, _chains(stage)
    state, alias = promoter.ledger.state(act.strategy), promoter.versions.alias(act.strategy, PRODUCTION)
    if (alias, state.current, state.open_intent) != (None, None, None):
        broken.append(f"halted, and production is v{alias} in MLflow and v{state.current} in the ledger")
    if (served := stage.until_served(act.strategy, None)) is not None:
        broken.append(f"halted, and v{served} is served")
    found = repair(promoter, act.strategy)
    if found.rows or found.alerts or found.published:
        broken.append(f"a repair still finds something: {found.alerts or found}")
    return broken


def _of_operation(stage: Stage, act: Act) -> list[str]:
    events, broken = EventLedger.from_settings(stage.settings), list[str]()
    if act.operation == "retrain":
        states = [run.state for run in RetrainLedger.from_settings(stage.settings).runs(act.strategy)]
        if states[-1] != "finished":
            broken.append(f"the retrain's newest state is {states[-1]}")
    if act.operation == "deploy":
        if open_journal(events, act.strategy) is not None:
            broken.append("the deployment is still open")
        if (window := active(events, act.strategy, system_clock())) is not None:
            broken.append(f"a maintenance window is open: {window.reason}")
    if act.operation in {"backup", "deploy"}:
        broken += backups_are_whole(stage, act.newest)
    return broken


def backups_are_whole(stage: Stage, before: str) -> list[str]:
    """What is wrong with the backups that are listed: the newest is another than before, and holds what is in production."""
    repository, broken = open_repository(stage.settings), list[str]()
    listing = list_backups(repository)
    if listing.newest().id == before:
        broken.append("no new backup is listed")
    if listing.halves:
        broken.append(f"{len(listing.halves)} halves were left by the next backup")
    manifest = listing.newest().manifest(repository)
    if any(one.fault or one.unsigned for one in manifest.versions if one.production):
        broken.append("the newest backup holds a damaged bundle of what was in production")
    return broken


def _chains(stage: Stage) -> list[str]:
    try:
        stage.promoter.ledger.verify()
        EventLedger.from_settings(stage.settings).verify()
    except TidegateError as error:
        return [f"a chain does not hold: {error.what}"]
    return []


def _whole(stage: Stage, strategy: str, versions: tuple[int | None, ...]) -> list[str]:
    """Versions that an alias names must be fetched whole, and answer their golden windows as the service has them do."""
    broken: list[str] = []
    for version in [one for one in versions if one is not None]:
        try:
            answers_golden(stage.tracking, strategy, version)
        except TidegateError as error:
            broken.append(f"v{version} has an alias and is not whole: {error.what}")
    return broken


def _since(stage: Stage, act: Act, action: str) -> list[int | None]:
    """Versions that acts of one kind led to since the operation was prepared."""
    rows = stage.promoter.ledger.rows(act.strategy)[act.rows :]
    return [row.to_version for row in rows if row.action == action and row.state == "committed"]


def _times(stage: Stage, act: Act) -> int:
    return _since(stage, act, "promote").count(act.version)


def _promotions(stage: Stage, act: Act) -> list[str]:
    promoted = _since(stage, act, "promote")
    twice = {version for version in promoted if promoted.count(version) > 1}
    return [f"v{version} was promoted more than once" for version in sorted(one for one in twice if one is not None)]


def leftovers(stage: Stage) -> dict[str, int]:
    """Temporary files and folders that kills have left, by where they lie; they disturb nobody and take room."""
    now = time.time()
    found = {"tmp": len(list((stage.disk / "tmp").iterdir()))}
    for path in stage.root.rglob("*"):
        if path.name.startswith((".new", ".tmp", "tmp")) and path.stat().st_mtime < now - 5:
            kind = path.relative_to(stage.root).parts[0]
            found[kind] = found.get(kind, 0) + 1
    return found
