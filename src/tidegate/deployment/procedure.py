"""Deploys: makes the plan or reads it from the journal, and takes every step that is not done."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tidegate.deployment.journal import FAILED, STEPS, Entry, Journal, Plan, new_journal, open_journal
from tidegate.deployment.ports import Ports
from tidegate.deployment.steps import STEPS as TAKE
from tidegate.deployment.steps import Work, plan_entry, told_of
from tidegate.errors import ConfigurationError, PromotionRefused, TidegateError
from tidegate.model.manifest import Manifest
from tidegate.registry.eligibility import refuse
from tidegate.registry.repair import repair
from tidegate.registry.rules import named, state_refusals

_ENDING: Final = ("verdict", "stop", "record")
_HOLD_FOR_A_WHILE: Final = frozenset({"backup", "start", "health", "prediction"})
"""Taken again before the switch by a command that goes on: a process may have died since, and a backup become old."""
_NOT_COMPARED: Final = frozenset({"files", "reference", "probability_reference", "created_at", "importance"})
_LONGEST: Final = 160


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants to deploy.

    Attributes:
        strategy: the model's name.
        version: None: the one in production, with new processes; or the one of the deployment that is open.
        actor: who deploys.
        reason: why.
        watch_minutes: how long it is watched.
    """

    strategy: str
    version: int | None
    actor: str
    reason: str
    watch_minutes: float


@dataclass(frozen=True, slots=True)
class Deployed:
    """What became of a deployment; `entries` are its steps in the order in which they were taken."""

    id: str
    plan: Plan
    entries: Mapping[str, Entry]

    @property
    def verdict(self) -> str:
        """`kept`, `gone_back` or `abandoned`."""
        return self.entries["verdict"].outcome


def make_plan(ports: Ports, wish: Wish) -> Plan:
    """What a deployment would change; nothing is written.

    Raises:
        ConfigurationError: there is no version to deploy.
        PromotionRefused: the version may not go into production, with every reason.
        BundleError: the version does not answer its golden windows.
        RegistryError: MLflow or the ledger cannot be reached.
    """
    promoter, strategy = ports.promoter, wish.strategy
    state = promoter.ledger.state(strategy)
    version = state.current if wish.version is None else wish.version
    if version is None:
        raise ConfigurationError(
            f"{strategy} has no version in production", next_step=f"name one: tidegate deploy {strategy} VERSION"
        )
    manifest = promoter.eligibility.verified(strategy, version)
    refusals = promoter.eligibility.usable(state, version, manifest)
    if version != state.current:
        refusals += state_refusals(state, version, promoter.versions.alias(strategy, "production"))
        refusals += promoter.eligibility.judged(state, version, manifest)[1]
    refuse(f"{strategy} {named(version)} not deployed", refusals)
    target = state.current
    if version == state.current:
        target, _, _ = promoter.eligibility.target(state, version, None)
    before = None if state.current in {None, version} else promoter.eligibility.verified(strategy, state.current or 0)
    return Plan(
        strategy=strategy,
        from_version=state.current,
        version=version,
        digest=manifest.digest(),
        changes=() if before is None else changes_between(before, manifest),
        rollback_to=target,
        rollback_verified=target is not None and _is_answering(ports, strategy, target),
        by=wish.actor,
        reason=wish.reason,
        watch_minutes=wish.watch_minutes,
    )


def deploy(ports: Ports, wish: Wish) -> Deployed:
    """Deploy, or go on with the deployment that is open.

    A step that fails before the switch raises; nothing that bots see has changed then, and giving the command again takes that step again. From the
    switch on what goes wrong leads back to the old version.

    Raises:
        ConfigurationError: another version's deployment is open, or there is nothing to deploy.
        PromotionRefused: the version may not go into production.
        TidegateError: a step failed; its journal says so.
    """
    journal = open_journal(ports.events, wish.strategy)
    if journal is None:
        plan = make_plan(ports, wish)
        journal = new_journal(ports.events, wish.strategy)
        ports.on_step("plan: done")
        journal.write(plan_entry(plan), told=told_of(plan))
        ports.on_step("plan")
    plan = _plan_of(journal, wish)
    # One whose verdict is given, such as that it was given up, has only its end left, whoever gives which command again.
    names = _ENDING if "verdict" in journal.done() else STEPS[1:]
    return _go_on(ports, journal, plan, wish.actor, names, abandoned=False)


def abandon(ports: Ports, strategy: str, actor: str) -> Deployed:
    """Give the open deployment up: stop what was started, end the window, close the record.

    Raises:
        ConfigurationError: none is open.
        PromotionRefused: it is past its switch.
    """
    journal = open_journal(ports.events, strategy)
    if journal is None:
        raise ConfigurationError(f"no deployment of {strategy} is open")
    plan = _plan_of(journal, None)
    repair(ports.promoter, strategy)
    done = journal.done()
    moved = plan.moves and ports.promoter.current(strategy) == plan.version
    if "verdict" not in done and ("switch" in done or moved):
        raise PromotionRefused(
            f"deployment {journal.id} of {strategy} is past its switch",
            next_step=f"go on with it, or go back: tidegate rollback {strategy}",
        )
    return _go_on(ports, journal, plan, actor, _ENDING, abandoned=True)


def changes_between(before: Manifest, after: Manifest) -> tuple[str, ...]:
    """What differs between two manifests, a line a field; times of the data and the files' digests are left out, as they always differ."""
    old, new = before.model_dump(mode="json"), after.model_dump(mode="json")
    return tuple(
        f"{name}: {_short(old.get(name))} > {_short(new[name])}"
        for name in sorted(new)
        if name not in _NOT_COMPARED and old.get(name) != new[name]
    )


def _go_on(
    ports: Ports, journal: Journal, plan: Plan, actor: str, names: tuple[str, ...], *, abandoned: bool
) -> Deployed:
    work = Work(ports, journal, plan, ports.replicas(journal.id, plan), actor, abandoned)
    again = frozenset() if abandoned else _again(journal.done())
    for name in names:
        if name in journal.done() and name not in again:
            continue
        try:
            entry = TAKE[name](work)
        except (TidegateError, OSError) as error:
            journal.write(Entry(name, FAILED, str(error)[:1000], by=actor))
            raise
        ports.on_step(f"{name}: done")
        journal.write(entry)
        ports.on_step(name)
    return Deployed(journal.id, plan, journal.entries())


def _again(done: Collection[str]) -> frozenset[str]:
    """Steps that are done and are taken again all the same, each of which finds what is still there."""
    if "verdict" in done:
        return frozenset()
    return frozenset({"window"}) | (frozenset() if "switch" in done else _HOLD_FOR_A_WHILE)


def _plan_of(journal: Journal, wish: Wish | None) -> Plan:
    plan = journal.plan()
    assert plan is not None, "a journal begins with its plan"
    if wish is not None and wish.version not in {None, plan.version}:
        raise ConfigurationError(
            f"deployment {journal.id} of {plan.strategy} {named(plan.version)} is open",
            actual=f"asked for {named(wish.version)}",
            next_step=f"go on with it: tidegate deploy {plan.strategy}; or give it up: tidegate deploy {plan.strategy} --abandon",
        )
    return plan


def _is_answering(ports: Ports, strategy: str, version: int) -> bool:
    try:
        ports.answers(strategy, version)
    except TidegateError:
        return False
    return True


def _short(value: Any) -> str:  # noqa: ANN401  any JSON value
    text = str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
