"""Every reason to refuse a promotion, as pure functions. An empty answer is the only way through."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from tidegate.gates.result import Decision, Verdict
from tidegate.model.manifest import Manifest
from tidegate.registry.state import StrategyState
from tidegate.strategy.gates import Gates
from tidegate.strategy.strategy import SIMULATED_PREFIX

REQUIRED_GATES = frozenset(Gates().rules())

# Gates whose observation may be missing although they pass: without a champion there is nothing to compare.
_MAY_PASS_UNOBSERVED = frozenset({"champion", "champion_difference"})


@dataclass(frozen=True, slots=True)
class Refusal:
    """One reason: a stable code for machines and a sentence for people."""

    code: str
    text: str

    def __str__(self) -> str:
        return f"{self.code} ({self.text})"


def decision_refusals(
    decision: Decision | None, strategy: str, manifest_digest: str, required: Collection[str] = REQUIRED_GATES
) -> list[Refusal]:
    """Why a gate decision does not allow this promotion.

    The decision's own `promote` is not believed alone: it must be complete (one result for each required gate), bound to this very
    manifest, and contradict none of its results.
    """
    if decision is None:
        return [Refusal("no_decision", "there is no gate decision")]
    found: list[Refusal] = []
    if decision.strategy != strategy:
        found.append(Refusal("other_strategy", f"the decision is about {decision.strategy}"))
    if decision.manifest_digest != manifest_digest:
        found.append(Refusal("other_manifest", "the decision judged another manifest"))
    if decision.promote is not True:
        found.append(Refusal("gates_refused", decision.summary))
    names = [result.name for result in decision.results]
    missing = sorted(set(required) - set(names))
    if missing:
        found.append(Refusal("gates_missing", f"no result for {', '.join(missing)}"))
    if len(set(names)) != len(names):
        found.append(Refusal("gates_twice", "a gate has two results"))
    refusing = [
        result.name
        for result in decision.results
        if result.refuses or (result.blocking and result.verdict is Verdict.FAIL)
    ]
    if refusing and decision.promote is True:
        found.append(Refusal("gates_contradict", f"the decision says promote, but refused by {', '.join(refusing)}"))
    unobserved = [
        result.name
        for result in decision.results
        if result.verdict is Verdict.PASS
        and (
            (result.observed is None and result.name not in _MAY_PASS_UNOBSERVED)
            or (result.observed is not None and not math.isfinite(result.observed))
        )
    ]
    if unobserved:
        found.append(Refusal("gates_unobserved", f"passed without a finite value: {', '.join(unobserved)}"))
    return found


def manifest_refusals(
    manifest: Manifest, strategy: str, kind: str | None, now_ms: int, ledger_digest: str | None = None
) -> list[Refusal]:
    """Why a manifest may not be in production under this strategy.

    Args:
        manifest: the version's manifest, its files already verified.
        strategy: the registered model's name.
        kind: the registered model's `kind`, set at its first registration.
        now_ms: time now, UTC ms.
        ledger_digest: the manifest digest that the ledger knows this version by, if it knows it.
    """
    found: list[Refusal] = []
    if manifest.strategy != strategy:
        found.append(Refusal("other_bundle", f"the bundle belongs to {manifest.strategy}"))
    if kind is None:
        found.append(Refusal("kind_unknown", "the registered model carries no kind"))
    elif manifest.kind != kind:
        found.append(Refusal("kind_differs", f"the bundle is {manifest.kind}, the registered model is {kind}"))
    simulated = manifest.kind == "simulated"
    if strategy.startswith("simulated") != simulated:
        found.append(Refusal("kind_differs", f"a {manifest.kind} model under the name {strategy}"))
    odd = [symbol for symbol in manifest.symbols if symbol.startswith(SIMULATED_PREFIX) != simulated]
    if odd or not manifest.symbols:
        found.append(Refusal("symbols_differ", f"a {manifest.kind} model with symbols {', '.join(odd) or 'none'}"))
    if manifest.expires_at <= now_ms:
        found.append(Refusal("expired", f"the model expired at {manifest.expires_at}"))
    if ledger_digest is not None and ledger_digest != manifest.digest():
        found.append(Refusal("digest_differs", "the version's manifest is not the one that was promoted"))
    return found


def state_refusals(state: StrategyState, version: int, alias: int | None) -> list[Refusal]:
    """Why the ledger's state does not allow the promotion of a version.

    Args:
        state: the strategy's state.
        version: the version to promote.
        alias: where MLflow's alias `production` points.
    """
    found: list[Refusal] = []
    if state.halt is not None:
        found.append(Refusal("halted", f"halted by {state.halt.actor}: {state.halt.reason}"))
    if version in state.barred:
        found.append(Refusal("barred", f"v{version} was barred"))
    if alias != state.current:
        found.append(
            Refusal(
                "alias_differs",
                f"MLflow's production is {named(alias)}, the ledger's is {named(state.current)}",
            )
        )
    if state.current is not None and version < state.current:
        found.append(Refusal("older", f"v{version} is older than v{state.current}; going back is a rollback"))
    return found


def same_model_refusals(model: str, barred_models: Mapping[int, str]) -> list[Refusal]:
    """A barred model may not come back under a new number, as it would when a retrain is simply run again.

    Args:
        model: SHA-256 of the model file to promote.
        barred_models: barred version to SHA-256 of its model file.
    """
    return [
        Refusal("same_as_barred", f"the model is, byte for byte, that of v{version}, which was barred")
        for version, other in sorted(barred_models.items())
        if other == model
    ]


def named(version: int | None) -> str:
    """A version for messages.

    >>> named(3), named(None)
    ('v3', 'none')
    """
    return "none" if version is None else f"v{version}"
