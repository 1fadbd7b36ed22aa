"""Which versions may be in production: their files, their manifest, the gates' decision about them, and where a rollback goes.

In: a strategy's state in the ledger, the model registry. Out: manifests, refusals, a target. Nothing is moved or written here.
"""

import contextlib
from collections.abc import Callable, Collection
from typing import Protocol

from tidegate.errors import BundleError, PromotionRefused
from tidegate.gates.result import Decision
from tidegate.model.bundle import ONNX
from tidegate.model.manifest import Manifest
from tidegate.registry.rules import Refusal, decision_refusals, manifest_refusals, same_model_refusals
from tidegate.registry.state import StrategyState


class Judged(Protocol):
    """What is asked of the model registry; `tracking.Tracking` is the real one."""

    def kind(self, strategy: str) -> str | None:
        """The registered model's kind, as set at its first registration."""

    def verified_manifest(self, strategy: str, version: int) -> Manifest:
        """The manifest of a version whose files were fetched and match their digests, else BundleError."""

    def decision(self, strategy: str, version: int) -> Decision | None:
        """The gates' decision kept with a version, None where there is none, BundleError where it cannot be read as one."""


class Eligibility:
    """Judges versions by the registry's rules.

    Args:
        versions: the model registry.
        required_gates: names of the gates that a decision must have judged.
        today: UTC ms at which a strategy's versions are judged to have expired or not.
    """

    def __init__(self, versions: Judged, required_gates: Collection[str], today: Callable[[str], int]) -> None:
        self._versions = versions
        self.required_gates = frozenset(required_gates)
        self.today = today

    def target(
        self, state: StrategyState, alias: int | None, to_version: int | None
    ) -> tuple[int | None, str | None, list[str]]:
        """The version to go back to, its digest, and why newer ones were passed over."""
        strategy = state.strategy
        if to_version is not None:
            found = [] if to_version in state.productions else [Refusal("never_produced", "was never in production")]
            found += [Refusal("barred", f"v{to_version} was barred")] if to_version in state.barred else []
            refuse(f"{strategy} not rolled back to v{to_version}", found)
            manifest = self.verified(strategy, to_version)
            refuse(f"{strategy} not rolled back to v{to_version}", self.usable(state, to_version, manifest))
            return to_version, manifest.digest(), []
        passed_over: list[str] = []
        for version in state.good_versions(without=(alias,)):
            try:
                manifest = self.verified(strategy, version)
            except PromotionRefused as error:
                passed_over.append(f"v{version}: {error.what}")
                continue
            refusals = self.usable(state, version, manifest)
            if not refusals:
                return version, manifest.digest(), passed_over
            passed_over.append(f"v{version}: {'; '.join(map(str, refusals))}")
        return None, None, passed_over

    def verified(self, strategy: str, version: int) -> Manifest:
        """The manifest of a version whose files verify, else PromotionRefused."""
        try:
            return self._versions.verified_manifest(strategy, version)
        except BundleError as error:
            raise PromotionRefused(f"{strategy} v{version}: bundle_broken ({error})") from error

    def usable(self, state: StrategyState, version: int, manifest: Manifest) -> list[Refusal]:
        """Why a version's bundle may not be in production."""
        kind = self._versions.kind(state.strategy)
        return manifest_refusals(manifest, state.strategy, kind, self.today(state.strategy), state.digests.get(version))

    def judged(self, state: StrategyState, version: int, manifest: Manifest) -> tuple[Decision | None, list[Refusal]]:
        """The gates' decision that is kept with a version, and why it does not let it into production."""
        try:
            decision = self._versions.decision(state.strategy, version)
        except BundleError as error:
            return None, [Refusal("no_decision", error.what)]
        found = decision_refusals(decision, state.strategy, manifest.digest(), self.required_gates)
        others = {barred: model for barred, model in self.barred_models(state).items() if barred != version}
        return decision, found + same_model_refusals(manifest.files[ONNX], others)

    def barred_models(self, state: StrategyState) -> dict[int, str]:
        """Digests of the models of barred versions; one whose files are gone and that no row describes cannot be compared."""
        found = {version: state.models[version] for version in state.barred if version in state.models}
        for version in state.barred - found.keys():
            with contextlib.suppress(BundleError):
                found[version] = self._versions.verified_manifest(state.strategy, version).files[ONNX]
        return found


def refuse(what: str, refusals: list[Refusal]) -> None:
    """Raise PromotionRefused with every reason, if there is one."""
    if refusals:
        raise PromotionRefused(
            f"{what}: {'; '.join(map(str, refusals))}",
            next_step="nothing was changed; see the run's report for the gates",
        )
