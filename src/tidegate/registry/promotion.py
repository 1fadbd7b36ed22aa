"""Promotion, rollback, halt: the acts that move MLflow's aliases, each one written to the ledger before and after.

Order of an act: an `intent` row; then, holding the ledger's lock and past the fence, the signature and the aliases (`previous`, then
`production`), read back; then the `committed` row; then the signed state for serving processes. A rollback publishes that state before the aliases as well. What a crash
leaves is an open intent or an old signed state, which `repair` finishes, aborts or publishes at the next start.
"""

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from tidegate.errors import BundleError, ConfigurationError, PromotionConflict, PromotionRefused, RegistryError
from tidegate.gates.result import Decision
from tidegate.keys.signing import act_message
from tidegate.model.bundle import ONNX
from tidegate.registry.eligibility import Eligibility, Judged, refuse
from tidegate.registry.ledger import Ledger, LedgerWriter, conflict_with
from tidegate.registry.publishing import Publisher, Registry, Signs
from tidegate.registry.rules import (
    REQUIRED_GATES,
    decision_refusals,
    manifest_refusals,
    named,
    same_model_refusals,
    state_refusals,
)
from tidegate.registry.state import Action, Draft, LedgerRow, StrategyState

log = logging.getLogger(__name__)

PRODUCTION, PREVIOUS, CHALLENGER = "production", "previous", "challenger"
KEEP_AT_LEAST = 3


class Versions(Registry, Judged, Protocol):
    """What the acts need of the model registry; `tracking.Tracking` is the real one."""

    def alias(self, strategy: str, alias: str) -> int | None:
        """The version an alias points to, None where there is no such alias or model."""

    def set_alias(self, strategy: str, alias: str, version: int | None) -> None:
        """Point an alias to a version, or remove it."""

    def signature(self, strategy: str, version: int) -> bytes | None:
        """The production signature kept beside the version's bundle, None where there is none."""

    def shadow_signature(self, strategy: str, version: int) -> bytes | None:
        """The signature that the pipeline made when it registered the version, None where there is none."""

    def show(self, strategy: str, version_tags: dict[int, dict[str, str]], model_tags: dict[str, str]) -> None:
        """Set tags for people; an empty text removes a tag."""

    def prune(self, strategy: str, *, protected: Collection[int], keep: int) -> list[int]:
        """Delete old versions."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an act did: the row that closed it, or the row that already said the same when there was nothing to do."""

    row: LedgerRow | None
    changed: bool
    message: str


class Promoter:
    """Moves versions into and out of production.

    Args:
        ledger: the promotion ledger.
        versions: the model registry.
        signer: signs versions, acts and the state; None leaves them unsigned, and the ledger says so.
        must_sign: refuse every act without a signer, as in production.
        required_gates: names of the gates that a decision must have judged.
        today: UTC ms at which a strategy's versions are judged to have expired or not; by default the ledger's clock.
        on_step: told each named step, for progress and for tests that stop a process there.
    """

    def __init__(
        self,
        ledger: Ledger,
        versions: Versions,
        signer: Signs | None = None,
        *,
        must_sign: bool = False,
        required_gates: Collection[str] = REQUIRED_GATES,
        today: Callable[[str], int] | None = None,
        on_step: Callable[[str], None] = lambda _step: None,
    ) -> None:
        self.ledger = ledger
        self.versions = versions
        self.publisher = Publisher(ledger, versions, signer, must_sign=must_sign)
        self.eligibility = Eligibility(versions, required_gates, today or (lambda _strategy: ledger.database.clock()))
        self._step = on_step

    def current(self, strategy: str) -> int | None:
        """The version in production as the ledger knows it."""
        return self.ledger.state(strategy).current

    def history(self, strategy: str) -> list[LedgerRow]:
        """All of a strategy's rows, oldest first."""
        return self.ledger.rows(strategy)

    def promote(
        self,
        strategy: str,
        version: int,
        decision: Decision | None,
        *,
        actor: str,
        reason: str,
        champion: int | None,
        override: bool = False,
    ) -> Outcome:
        """Put a version into production.

        Args:
            strategy: the registered model's name.
            version: the version to promote.
            decision: the gates' decision about this very version.
            actor: who promotes, a person or a flow run.
            reason: why.
            champion: the version that was in production when the decision was made (None: there was none). When another one is there
                now, somebody else has won and this decision no longer holds.
            override: promote although the gates' decision is missing or refuses. Recorded as such with what was overridden; it never
                overrides a bar, a halt, an expiry, a digest or the kind.

        Raises:
            PromotionRefused: with every reason.
            PromotionConflict: another act is under way, or another version was promoted meanwhile.
            ConfigurationError: it must be signed, and there is no key; nothing was changed.
            RegistryError: MLflow or the ledger could not be reached.
        """
        self.publisher.require_signer(f"{strategy} v{version} not promoted")
        manifest = self.eligibility.verified(strategy, version)
        digest = manifest.digest()
        refusals = manifest_refusals(manifest, strategy, self.versions.kind(strategy), self.eligibility.today(strategy))
        gates = decision_refusals(decision, strategy, digest, self.eligibility.required_gates)
        evidence: dict[str, Any] = {
            "decision": None if decision is None else decision.model_dump(mode="json"),
            "override": override,
            "overridden": [str(refusal) for refusal in gates] if override else [],
            "model": manifest.files[ONNX],
        }
        refusals += [] if override else gates
        refusals += same_model_refusals(
            manifest.files[ONNX], self.eligibility.barred_models(self.ledger.state(strategy))
        )
        with self.ledger.writing() as writer:
            state, alias = writer.state(strategy), self.versions.alias(strategy, PRODUCTION)
            if state.open_intent is not None:
                raise conflict_with(state.open_intent)
            refuse(f"{strategy} v{version} not promoted", refusals + state_refusals(state, version, alias))
            if version == state.current:
                self.publisher.bring_up_to_date(state)
                return Outcome(state.last_change, False, f"{strategy} v{version} is already in production")
            if state.current != champion:
                raise PromotionConflict(
                    f"{strategy} v{version} not promoted: another version was promoted since the gates decided",
                    expected=f"production {named(champion)}",
                    actual=named(state.current),
                    next_step="run the retrain again: the contest must be against the version that is in production now",
                )
            draft = Draft(strategy, "promote", state.current, version, actor, reason, digest)
            intent = self._intend(writer, draft, evidence, previous_after=state.current)
        return self._carry_out(intent, f"{strategy} v{version} is in production, before: {named(intent.from_version)}")

    def rollback(
        self,
        strategy: str,
        *,
        actor: str,
        reason: str,
        to_version: int | None = None,
        leaving: int | None = None,
        bar: bool = True,
        evidence: Mapping[str, Any] | None = None,
    ) -> Outcome:
        """Go back to the last good version: the newest earlier production that is not barred, was not gone back from, is not expired and verifies.

        Doing it twice equals doing it once, unless another target is named. Which version is meant to be left is best named: then the act
        happens exactly when production is that version, a rollback after a rollback included. Where no good version is left, the strategy is halted and the alias
        removed, so that a bad version is never what production names.

        Args:
            strategy: the registered model's name.
            actor: who rolls back.
            reason: why.
            to_version: a version to go to instead; it must have been in production before.
            leaving: the version to leave; nothing is done when production is another one, both for the ledger and for MLflow's alias. Where the two differ
                because a change by hand was refused, the alias is moved from wherever it is.
            bar: bar the version that is left, so that it never starts again until `clear`.
            evidence: what the decision stands on; kept in the ledger as `cause`.

        Raises:
            ConfigurationError: the version to leave and the version to go to are the same, it must be signed and there is no key, or nobody knows the strategy:
                neither the ledger nor the registry.
            PromotionRefused: the named target may not be used.
            PromotionConflict: another act is under way or came between.
            RegistryError: MLflow or the ledger could not be reached; nothing is halted for that.
        """
        if leaving is not None and leaving == to_version:
            raise ConfigurationError(f"a rollback of {strategy} cannot leave v{leaving} and go to it")
        self.publisher.require_signer(f"{strategy} not rolled back")
        before, alias = self.ledger.state(strategy), self.versions.alias(strategy, PRODUCTION)
        self._require_known(before)
        if before.open_intent is not None:
            raise conflict_with(before.open_intent)
        # What a rule judges is the ledger's version. An alias that somebody removed, or moved to what is refused, must not keep it from being left.
        if leaving is not None and leaving not in {alias, before.current}:
            self.publisher.publish(strategy)
            message = f"nothing to do: {strategy} is on {named(alias)}, not on v{leaving}"
            return Outcome(before.last_change, False, message)
        if leaving is None and _already_back(before, alias, to_version):
            self.publisher.publish(strategy)
            message = f"nothing to do: {strategy} is already on {named(alias)}"
            if alias is not None:
                message += f"; to leave it as well, say so: --from {alias}, and --to N for a version of your choice"
            return Outcome(before.last_change, False, message)
        left = alias if leaving is None else leaving
        target, digest, passed_over = self.eligibility.target(before, left, to_version)
        kept: dict[str, Any] = {"bar": bar and left is not None, "passed_over": passed_over} | _cause(evidence)
        with self.ledger.writing() as writer:
            state = writer.state(strategy)
            if state.last_row != before.last_row or self.versions.alias(strategy, PRODUCTION) != alias:
                raise PromotionConflict(
                    f"rollback of {strategy}: something else happened meanwhile", next_step="look at `tidegate history`"
                )
            # After the act `previous` names the next good version, never the one that was left.
            rest = state.good_versions(without=(target, left))
            action: Action = "halt" if target is None else "rollback"
            draft = Draft(strategy, action, left, target, actor, reason, digest)
            intent = self._intend(writer, draft, kept, previous_after=rest[0] if rest and target else None)
        message = (
            f"{strategy} is halted: no good version is left"
            if target is None
            else f"{strategy} is back on v{target}, left {named(left)}"
        )
        return self._carry_out(intent, message)

    def bar(self, strategy: str, version: int, *, actor: str, reason: str) -> Outcome:
        """Bar a version that is not in production, so that it can never be promoted or rolled back to until `clear`.

        The row keeps the digests of its manifest and its model, so that a service knows the version, and its model under another number.
        """
        self.publisher.require_signer(f"{strategy} v{version} not barred")
        with self.ledger.writing() as writer:
            state = writer.state(strategy)
            if version in state.barred:
                self.publisher.bring_up_to_date(state)
                return Outcome(state.last_row, False, f"{strategy} v{version} is already barred")
            if version in {state.current, self.versions.alias(strategy, PRODUCTION)}:
                raise PromotionRefused(
                    f"{strategy} v{version} is in production and cannot just be barred",
                    next_step="use rollback, which bars the version it leaves",
                )
            digest, described = self._described(state, version)
            row = writer.append(Draft(strategy, "bar", None, version, actor, reason, digest, described), "committed")
        return self._told(strategy, row, f"{strategy} v{version} is barred")

    def clear(self, strategy: str, version: int, *, actor: str, reason: str) -> Outcome:
        """Lift the bar of a version."""
        self.publisher.require_signer(f"the bar of {strategy} v{version} not lifted")
        with self.ledger.writing() as writer:
            state = writer.state(strategy)
            if version not in state.barred:
                self.publisher.bring_up_to_date(state)
                return Outcome(state.last_row, False, f"{strategy} v{version} is not barred")
            row = writer.append(Draft(strategy, "clear", None, version, actor, reason), "committed")
        return self._told(strategy, row, f"{strategy} v{version} is no longer barred")

    def halt(
        self,
        strategy: str,
        *,
        actor: str,
        reason: str,
        leaving: int | None = None,
        evidence: Mapping[str, Any] | None = None,
    ) -> Outcome:
        """Halt a strategy: nothing is promoted and no version may be used until `resume`. The alias stays.

        Args:
            strategy: the registered model's name.
            actor: who halts.
            reason: why.
            leaving: halt only while this version is in production; None halts whatever there is.
            evidence: what the decision stands on; kept in the ledger as `cause`.

        Raises:
            ConfigurationError: it must be signed and there is no key, or neither the ledger nor the registry knows the strategy.
        """
        self.publisher.require_signer(f"{strategy} not halted")
        self._require_known(self.ledger.state(strategy))
        with self.ledger.writing() as writer:
            state = writer.state(strategy)
            if state.halt is not None:
                self.publisher.bring_up_to_date(state)
                return Outcome(state.halt, False, f"{strategy} is already halted")
            if leaving is not None and leaving != state.current:
                message = f"nothing to do: {strategy} is on {named(state.current)}, not on v{leaving}"
                return Outcome(state.last_change, False, message)
            signed = self.publisher.evidence(act_message("halt", strategy, state.token + 1))
            kept = signed | _cause(evidence)
            draft = Draft(strategy, "halt", state.current, state.current, actor, reason, evidence=kept)
            row = writer.append(draft, "committed")
        return self._told(strategy, row, f"{strategy} is halted")

    def resume(self, strategy: str, *, actor: str, reason: str) -> Outcome:
        """End a halt. It is written as a `clear` row that names no version."""
        self.publisher.require_signer(f"{strategy} not resumed")
        with self.ledger.writing() as writer:
            state = writer.state(strategy)
            if state.halt is None:
                self.publisher.bring_up_to_date(state)
                return Outcome(state.last_row, False, f"{strategy} is not halted")
            signed = self.publisher.evidence(act_message("resume", strategy, state.token + 1))
            row = writer.append(Draft(strategy, "clear", None, None, actor, reason, evidence=signed), "committed")
        return self._told(strategy, row, f"{strategy} goes on with {named(state.current)}")

    def prune(self, strategy: str, keep: int = KEEP_AT_LEAST) -> list[int]:
        """Delete old versions from MLflow and return their numbers.

        The newest `keep` stay, and every version that an alias names, that an open intent names, or that the ledger would roll
        back to.
        """
        if keep < KEEP_AT_LEAST:
            raise ConfigurationError(
                "too few versions would be kept", expected=f"at least {KEEP_AT_LEAST}", actual=keep
            )
        with self.ledger.writing() as writer:
            state = writer.state(strategy)
            intent = state.open_intent
            named_ones = {state.current, *state.good_versions(without=(state.current,))[:1]}
            named_ones |= set() if intent is None else {intent.from_version, intent.to_version}
            protected = {version for version in named_ones if version is not None}
            return self.versions.prune(strategy, protected=protected, keep=keep)

    def settle(self, strategy: str) -> None:
        """Bring what MLflow shows (tags, `previous`, `challenger`) in line with the ledger. It decides nothing, so failing only warns."""
        try:
            state = self.ledger.state(strategy)
            previous = self.versions.alias(strategy, PREVIOUS)
            if previous is not None and previous in state.barred:
                rest = state.good_versions(without=(state.current,))
                self.versions.set_alias(strategy, PREVIOUS, rest[0] if rest else None)
            if state.current is not None and self.versions.alias(strategy, CHALLENGER) == state.current:
                self.versions.set_alias(strategy, CHALLENGER, None)
            shown = {version: {"status": "good"} for version in state.productions}
            shown |= {version: {"status": "barred"} for version in state.barred}
            if state.current is not None and state.last_change is not None:
                shown[state.current] = {"status": "production", "ledger_row": state.last_change.row_hash}
            halt = "" if state.halt is None else f"by {state.halt.actor}: {state.halt.reason}"
            self.versions.show(strategy, shown, {"halted": halt})
        except RegistryError as error:
            log.warning("MLflow's tags of %s were not brought up to date: %s", strategy, error)

    def apply_aliases(self, intent: LedgerRow) -> None:
        """Move the aliases as an intent says, and read them back. Only past the fence, holding the ledger's lock."""
        strategy, previous = intent.strategy, intent.evidence["previous_after"]
        self.versions.set_alias(strategy, PREVIOUS, previous)
        self._step("previous set")
        self.versions.set_alias(strategy, PRODUCTION, intent.to_version)
        self._step("production set")
        found = self.versions.alias(strategy, PRODUCTION), self.versions.alias(strategy, PREVIOUS)
        if found != (intent.to_version, previous):
            raise RegistryError(
                f"MLflow's aliases of {strategy} are not what was set",
                expected=f"production {named(intent.to_version)}, previous {named(previous)}",
                actual=f"production {named(found[0])}, previous {named(found[1])}",
                next_step="`tidegate repair` looks again",
            )
        self._step("aliases verified")

    def commit(self, writer: LedgerWriter, intent: LedgerRow, *, reason: str, evidence: dict[str, Any]) -> LedgerRow:
        """Close an intent as committed, and bar the version that was left when the intent says so."""
        row = writer.close(intent, "committed", reason=reason, evidence=evidence)
        state, left = writer.state(intent.strategy), intent.from_version
        if intent.evidence.get("bar") and left is not None and left not in state.barred:
            digest, described = self._described(state, left)
            draft = Draft(intent.strategy, "bar", None, left, intent.actor, intent.reason, digest, described)
            writer.append(draft, "committed")
        return row

    def _require_known(self, state: StrategyState) -> None:
        """Refuse a name that was never heard of: halting it would look like an act, and the strategy that was meant goes on."""
        if state.last_row is not None or self.versions.kind(state.strategy) is not None:
            return
        known = ", ".join(sorted({row.strategy for row in self.ledger.rows()})) or "none"
        raise ConfigurationError(
            f"there is no strategy {state.strategy!r}: it has no row in the ledger and no registered model",
            next_step=f"nothing was changed; names in the ledger: {known}",
        )

    def _described(self, state: StrategyState, version: int) -> tuple[str | None, dict[str, Any]]:
        """A version's manifest digest and evidence of its model, as far as they are known: a bar holds also where files cannot be read."""
        digest, model = state.digests.get(version), state.models.get(version)
        if digest is not None and model is not None:
            return digest, {"model": model}
        try:
            manifest = self.versions.verified_manifest(state.strategy, version)
        except (BundleError, RegistryError) as error:
            log.warning("%s v%s is barred by its number only: %s", state.strategy, version, error)
            return digest, {}
        if digest not in {None, manifest.digest()}:
            return digest, {}  # the model of another manifest than the ledger knows is not this version's
        return manifest.digest(), {"model": manifest.files[ONNX]}

    def _told(self, strategy: str, row: LedgerRow, message: str) -> Outcome:
        """Tell serving processes of an act, and bring MLflow's tags up to date."""
        self.publisher.publish_act(strategy, message)
        self._step("published")
        self.settle(strategy)
        self._step("settled")
        return Outcome(row, True, message)

    def _intend(
        self, writer: LedgerWriter, draft: Draft, evidence: dict[str, Any], *, previous_after: int | None
    ) -> LedgerRow:
        """Write an intent that holds all that a repair needs to finish or undo it."""
        before = {alias: self.versions.alias(draft.strategy, alias) for alias in (PRODUCTION, PREVIOUS)}
        evidence |= {"aliases_before": before, "previous_after": previous_after}
        whole = Draft(
            draft.strategy,
            draft.action,
            draft.from_version,
            draft.to_version,
            draft.actor,
            draft.reason,
            draft.bundle_digest,
            evidence,
        )
        return writer.append(whole, "intent")

    def _carry_out(self, intent: LedgerRow, message: str) -> Outcome:
        self._step("intent written")
        with self.ledger.writing() as writer:
            writer.require_open(intent)
            self._step("fence passed")
            self.publisher.announce(writer, intent)
            self._step("announced")
            signed = self.publisher.sign_intent(intent)
            self._step("signed")
            self.apply_aliases(intent)
            row = self.commit(writer, intent, reason=intent.reason, evidence=signed)
            self._step("closing row written")
        self._step("committed")
        return self._told(intent.strategy, row, message)


def _cause(evidence: Mapping[str, Any] | None) -> dict[str, Any]:
    return {} if evidence is None else {"cause": dict(evidence)}


def _already_back(state: StrategyState, alias: int | None, to_version: int | None) -> bool:
    """Whether a rollback has nothing to do: the newest change went back, also by hand, or the strategy was halted for lack of a good version."""
    if alias != state.current:
        return False
    if to_version is not None:
        return to_version == alias
    if alias is None:
        return state.halt is not None
    return state.went_back
