"""Repair at the next start: finish or abort open intents, and judge changes that somebody made in MLflow itself.

An open intent of a rollback or halt is finished, since that is the safe direction. One of a promotion is finished when production already
names the new version, else aborted. Any other difference between ledger and alias is an `external` change: a version that passes
all rules of a bundle is recorded, if it was in production before or the gates' decision about it promotes. Any other is refused. Both
raise an alert, and the alias is left to people.
"""

import logging
from dataclasses import dataclass, field
from typing import Any

from tidegate.errors import PromotionRefused
from tidegate.model.bundle import ONNX
from tidegate.registry.ledger import LedgerWriter
from tidegate.registry.promotion import PREVIOUS, PRODUCTION, Promoter
from tidegate.registry.rules import Refusal, named
from tidegate.registry.state import Draft, LedgerRow, StrategyState

log = logging.getLogger(__name__)

ACTOR = "tidegate repair"


@dataclass(slots=True)
class RepairReport:
    """What a repair wrote, and what people must look at. Without new rows and alerts, all was well."""

    rows: list[LedgerRow] = field(default_factory=list)
    alerts: list[str] = field(default_factory=list)


def repair(promoter: Promoter, strategy: str) -> RepairReport:
    """Bring one strategy's ledger and aliases together again. Doing it twice equals doing it once.

    Raises:
        RegistryError: MLflow or the ledger could not be reached; nothing was decided.
    """
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
    promoter.settle(strategy)
    for alert in report.alerts:
        log.warning("%s", alert)
    return report


def _close(promoter: Promoter, writer: LedgerWriter, intent: LedgerRow) -> LedgerRow:
    alias = promoter.versions.alias(intent.strategy, PRODUCTION)
    refusals = _bundle_refusals(promoter, writer.state(intent.strategy), intent.to_version)
    evidence = {"repaired_by": ACTOR, "production_found": alias, "refusals": [str(refusal) for refusal in refusals]}
    forward = alias == intent.to_version or (intent.action != "promote" and alias == intent.from_version)
    if forward and not refusals:
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
    refusals += _bundle_refusals(promoter, state, alias)
    evidence: dict[str, Any] = {}
    if alias is not None and alias not in state.productions:
        evidence, unjudged = _judge_newcomer(promoter, state, alias)
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
    digest = None if alias is None or refusals else promoter.versions.verified_manifest(strategy, alias).digest()
    draft = Draft(strategy, "external", state.current, alias, ACTOR, what, digest, evidence | {"refusals": reasons})
    report.rows.append(writer.append(draft, "aborted" if refusals else "committed"))


def _judge_newcomer(promoter: Promoter, state: StrategyState, version: int) -> tuple[dict[str, Any], list[Refusal]]:
    """A version that never was in production needs a decision of the gates that promotes, also when somebody moves the alias."""
    try:
        manifest = promoter.verified(state.strategy, version)
    except PromotionRefused:
        return {}, []  # its bundle does not verify, which is refused already
    decision, refusals = promoter.judged(state, version, manifest)
    shown = None if decision is None else decision.model_dump(mode="json")
    return {"decision": shown, "model": manifest.files[ONNX]}, refusals


def _bundle_refusals(promoter: Promoter, state: StrategyState, version: int | None) -> list[Refusal]:
    if version is None:
        return []
    barred = [Refusal("barred", f"v{version} was barred")] if version in state.barred else []
    try:
        manifest = promoter.verified(state.strategy, version)
    except PromotionRefused as error:
        return [*barred, Refusal("bundle_broken", error.what)]
    return barred + promoter.usable(state, version, manifest)
