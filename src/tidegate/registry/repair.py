"""Repair at the next start: finish or abort open intents, and judge changes that somebody made in MLflow itself.

An open intent of a rollback or halt is finished, since that is the safe direction. One of a promotion is finished when production already
names the new version, else aborted. Any other difference between ledger and alias is an `external` change: a version that passes
all rules of a bundle is recorded, if it was in production before or the gates' decision about it promotes and, where there is a key, the pipeline
signed its registration. Any other is refused. Both raise an alert, and the alias is left to people.

At the end the signed state is published where it is not what the ledger says, and the version in production is signed where it carries no signature by the key in use.
"""

import logging
from dataclasses import dataclass, field
from typing import Any

from tidegate.errors import PromotionRefused
from tidegate.keys.signing import production_message, shadow_message
from tidegate.model.bundle import ONNX
from tidegate.model.manifest import Manifest
from tidegate.registry.ledger import LedgerWriter
from tidegate.registry.promotion import PREVIOUS, PRODUCTION, Promoter
from tidegate.registry.rules import Refusal, named
from tidegate.registry.state import Draft, LedgerRow, StrategyState

log = logging.getLogger(__name__)

ACTOR = "tidegate repair"


@dataclass(slots=True)
class RepairReport:
    """What a repair wrote, and what people must look at. Without new rows and alerts, all was well.

    Attributes:
        rows: rows that were added to the ledger.
        alerts: what people must look at.
        published: the signed state was published, since it was not what the ledger says.
        signed: the version in production was signed, since it carried no signature by the key in use.
    """

    rows: list[LedgerRow] = field(default_factory=list)
    alerts: list[str] = field(default_factory=list)
    published: bool = False
    signed: bool = False


def repair(promoter: Promoter, strategy: str) -> RepairReport:
    """Bring one strategy's ledger and aliases together again. Doing it twice equals doing it once.

    Raises:
        ConfigurationError: acts must be signed, and there is no key; nothing was changed.
        RegistryError: MLflow or the ledger could not be reached; what was decided before is in the ledger.
    """
    promoter.publisher.require_signer(f"{strategy} not repaired")
    report = RepairReport()
    with promoter.ledger.writing() as writer:
        intent = writer.state(strategy).open_intent
        if intent is not None:
            row = _close(promoter, writer, intent)
            report.rows.append(row)
            if row.state == "aborted" and row.action != "promote":
                report.alerts.append(
                    f"{strategy}: a {row.action} was not finished: {'; '.join(row.evidence['refusals'])}"
                )
        state = writer.state(strategy)
        alias = promoter.versions.alias(strategy, PRODUCTION)
        if alias != state.current:
            _judge_external(promoter, writer, state, alias, report)
        published = promoter.versions.signed_state(strategy)
    report.signed = _sign_production(promoter, strategy)
    report.published = promoter.publisher.publish(strategy)
    if report.published and published is not None and not report.rows:
        report.alerts.append(
            f"{strategy}: the signed state in MLflow was not what the ledger says, and was published again: an act was broken off "
            "before services were told, the key was changed, or somebody altered it"
        )
    promoter.settle(strategy)
    for alert in report.alerts:
        log.warning("%s", alert)
    return report


def _close(promoter: Promoter, writer: LedgerWriter, intent: LedgerRow) -> LedgerRow:
    alias = promoter.versions.alias(intent.strategy, PRODUCTION)
    refusals = _bundle_refusals(promoter, writer.state(intent.strategy), intent.to_version)
    evidence = {"repaired_by": ACTOR, "production_found": alias, "refusals": [str(refusal) for refusal in refusals]}
    # A rollback may have begun from an alias that somebody had moved away from what it leaves.
    begun_from = {intent.from_version, intent.evidence["aliases_before"][PRODUCTION]}
    forward = alias == intent.to_version or (intent.action != "promote" and alias in begun_from)
    if forward and not refusals:
        promoter.publisher.announce(writer, intent)
        evidence |= promoter.publisher.sign_intent(intent)
        promoter.apply_aliases(intent)
        return promoter.commit(writer, intent, reason="finished after a crash", evidence=evidence)
    _undo(promoter, intent, alias)
    return writer.close(intent, "aborted", reason="aborted after a crash", evidence=evidence)


def _undo(promoter: Promoter, intent: LedgerRow, alias: int | None) -> None:
    """Take back what this intent itself did to the aliases, and nothing that anybody else did."""
    before = intent.evidence["aliases_before"]
    versions, strategy = promoter.versions, intent.strategy
    if alias == intent.to_version:
        versions.set_alias(strategy, PRODUCTION, before[PRODUCTION])
    if versions.alias(strategy, PREVIOUS) == intent.evidence["previous_after"]:
        versions.set_alias(strategy, PREVIOUS, before[PREVIOUS])


def _judge_external(
    promoter: Promoter, writer: LedgerWriter, state: StrategyState, alias: int | None, report: RepairReport
) -> None:
    strategy = state.strategy
    refusals = [Refusal("alias_removed", "the alias production was removed")] if alias is None else []
    if state.halt is not None:
        refusals.append(Refusal("halted", "the strategy is halted"))
    manifest, unusable = _examined(promoter, state, alias)
    refusals += unusable
    evidence: dict[str, Any] = {}
    if alias is not None and manifest is not None and alias not in state.productions:
        evidence, unjudged = _judge_newcomer(promoter, state, alias, manifest)
        refusals += unjudged
    what = f"{strategy}: production was changed outside tidegate from {named(state.current)} to {named(alias)}"
    reasons = [str(refusal) for refusal in refusals]
    if refusals:
        report.alerts.append(
            f"{what}, refused: {'; '.join(reasons)}; set the alias back in MLflow, or roll back with `tidegate rollback`"
        )
    else:
        report.alerts.append(f"{what}, recorded; if that was not meant, roll back with `tidegate rollback`")
    last = state.last_row
    seen = last is not None and (last.action, last.to_version) == ("external", alias)
    if refusals and last is not None and seen and last.evidence.get("refusals") == reasons:
        return  # the same change was refused before; the alert is repeated, the row is not
    digest = None
    if alias is not None and manifest is not None and not refusals:
        # Of the very manifest that was judged: the registry may give another one by now.
        digest = manifest.digest()
        evidence |= promoter.publisher.sign_version(strategy, alias, digest)
    draft = Draft(strategy, "external", state.current, alias, ACTOR, what, digest, evidence | {"refusals": reasons})
    report.rows.append(writer.append(draft, "aborted" if refusals else "committed"))


def _sign_production(promoter: Promoter, strategy: str) -> bool:
    """Sign the version in production anew where it has no signature by the key in use: it was promoted without one, or with another.

    Only what the ledger says is in production is signed, and only with the manifest that the ledger knows it by.
    """
    signer = promoter.publisher.signer
    if signer is None:
        return False
    with promoter.ledger.writing() as writer:
        state = writer.state(strategy)
        version = state.current
        digest = None if version is None else state.digests.get(version)
        if version is None or digest is None or version in state.barred:
            return False
        message = production_message(digest)
        if promoter.versions.signature(strategy, version) == signer.sign(message):
            return False
        refusals = _bundle_refusals(promoter, state, version)
        if refusals:
            log.warning("%s v%s is not signed: %s", strategy, version, "; ".join(map(str, refusals)))
            return False
        promoter.publisher.sign_version(strategy, version, digest)
    log.info("%s v%s was signed with key %s", strategy, version, signer.key_id)
    return True


def _judge_newcomer(
    promoter: Promoter, state: StrategyState, version: int, manifest: Manifest
) -> tuple[dict[str, Any], list[Refusal]]:
    """A version that never was in production needs a decision of the gates that promotes, also when somebody moves the alias.

    Where acts are signed, it must carry the signature that the pipeline made when it registered the version: whoever can write into MLflow could otherwise
    bring a bundle and a decision of his own, and have both signed here.
    """
    decision, refusals = promoter.eligibility.judged(state, version, manifest)
    signer = promoter.publisher.signer
    if signer is not None:
        signed = promoter.versions.shadow_signature(state.strategy, version)
        if signed != signer.sign(shadow_message(manifest.digest())):
            refusals = [
                *refusals,
                Refusal("not_registered_here", f"v{version} carries no signature of its registration"),
            ]
    shown = None if decision is None else decision.model_dump(mode="json")
    return {"decision": shown, "model": manifest.files[ONNX]}, refusals


def _bundle_refusals(promoter: Promoter, state: StrategyState, version: int | None) -> list[Refusal]:
    return _examined(promoter, state, version)[1]


def _examined(promoter: Promoter, state: StrategyState, version: int | None) -> tuple[Manifest | None, list[Refusal]]:
    """A version's manifest where its bundle verifies, and why it may not be in production."""
    if version is None:
        return None, []
    barred = [Refusal("barred", f"v{version} was barred")] if version in state.barred else []
    try:
        manifest = promoter.eligibility.verified(state.strategy, version)
    except PromotionRefused as error:
        return None, [*barred, Refusal("bundle_broken", error.what)]
    return manifest, barred + promoter.eligibility.usable(state, version, manifest)
