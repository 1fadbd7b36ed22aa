"""From the registry's word to a slot, step by step. Blocking: every method belongs into the one worker thread.

Nothing here assigns what requests see. Each step takes a slot and returns the next one, and whatever goes wrong in a step is written into
it: a bad new version never replaces a good one, and a registry that is down changes nothing.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from tidegate.errors import BundleError, RegistryError, ServiceError, TidegateError
from tidegate.keys import state as signed_states
from tidegate.keys.signing import Verifier
from tidegate.keys.state import SignedState
from tidegate.model.bundle import ONNX, Bundle
from tidegate.model.manifest import Manifest
from tidegate.serving.bundle_cache import BundleCache, Entry
from tidegate.serving.clock import Clock, wall_ms
from tidegate.serving.fetching import Fetcher
from tidegate.serving.predictor import Predictor
from tidegate.serving.registry_client import RegisteredModel, RegistryClient
from tidegate.serving.served import (
    Origin,
    Refusal,
    Role,
    ServedModel,
    Slot,
    ready_predictor,
    refuse_barred,
    signed_by,
)
from tidegate.settings.settings import Settings

log = logging.getLogger(__name__)

_ALIASES: Final[Mapping[Role, str]] = {"production": "production", "shadow": "challenger"}
_LONGEST_BACKOFF_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A version that was refused, and when it is tried again. A newer signed state is a reason to try at once."""

    version: int
    count: int
    next_at: int
    token: int


@dataclass(frozen=True, slots=True)
class _Source:
    """A bundle and where it came from; with its predictor when it is in memory already."""

    bundle: Bundle
    signatures: Mapping[str, bytes]
    origin: Origin
    predictor: Predictor | None = None


class Loader:
    """Loads models for slots.

    Args:
        settings: `serving` and `signing`.
        clock: judges expiry.
        client: the registry.
        verifier: verifies signatures; None where settings allow unsigned models and name no key.
    """

    def __init__(self, settings: Settings, clock: Clock, client: RegistryClient, verifier: Verifier | None) -> None:
        self._serving = settings.serving
        self._clock = clock
        self._client = client
        self._verifier = verifier
        self._cache = BundleCache(settings.serving.cache)
        self._fetcher = Fetcher(client, self._cache)
        self._lasting: dict[
            tuple[str, str], TidegateError
        ] = {}  # what no further download of the same bundle can change
        self._attempts: dict[tuple[str, Role], _Attempt] = {}

    def from_cache(self, strategy: str) -> Slot:
        """The slot of a start: what the disk holds, with all checks again."""
        slot = Slot(strategy)
        entries = self._cache.entries(strategy)
        try:
            text = self._cache.state(strategy)
            state = None if text is None else self._decoded(text, strategy)
        except TidegateError as error:
            # What it bars cannot be told, so nothing on this disk can be trusted until the registry answers.
            log.warning("cached models of %s are not used, as their signed state is not believed: %s", strategy, error)
            return slot.noted("cache", f"cached models are not used, as their signed state is not believed: {error}")
        slot = _with_state(slot, state)
        for entry in entries:
            try:
                bundle, signatures = self._cache.read(strategy, entry.digest)
                source = _Source(bundle, signatures, "cache")
                model = self._admitted(slot, entry.version, "production", source)
            except TidegateError as error:
                log.warning("cached v%s of %s is not used: %s", entry.version, strategy, error)
                slot = slot.noted("cache", f"cached v{entry.version} is not used: {error}")
                # What served before comes back for one that is barred, as it does while running; for a damaged one it would be a guess.
                if slot.production is None and not _bars(state, entry.digest):
                    break
            else:
                slot = replace(slot, before=model) if slot.production else replace(slot, production=model)
        return slot

    def look(self, slot: Slot) -> tuple[Slot, RegisteredModel | None]:
        """Ask the registry, in one call, and follow its signed state: halts, and bars of what is loaded.

        Returns:
            The next slot, and the registry's answer; None where there is none, or no such model.
        """
        try:
            model = self._client.registered_model(slot.strategy)
        except RegistryError as error:
            if "registry" not in slot.notes:
                log.warning("%s: the last good model goes on: %s", slot.strategy, error)
            return slot.noted("registry", str(error)), None
        if "registry" in slot.notes:
            log.info("%s: MLflow at %s answers", slot.strategy, self._client.address)
        told = None if model is not None else f"MLflow at {self._client.address} has no model {slot.strategy}"
        slot = replace(slot, registry_reached_at=wall_ms()).noted("registry", None).noted("model", told)
        slot = self._state_followed(slot, None if model is None else model.tags.get(signed_states.TAG))
        return self._without_barred(slot), model

    def production(self, slot: Slot, model: RegisteredModel, *, at_once: bool) -> Slot:
        """Load what the alias `production` names, when it is not what serves.

        Args:
            slot: what `look` gave.
            model: what `look` gave.
            at_once: try a refused version again, whatever its backoff says.
        """
        version = model.aliases.get(_ALIASES["production"])
        if version is None:
            goes_on = "nothing is served" if slot.production is None else f"v{slot.production.version} goes on"
            return replace(
                slot.noted("alias", f"the registry has no alias production: {goes_on}"), refused_version=None
            )
        slot = slot.noted("alias", None)
        if _is_that(slot.production, version, slot.state):
            return replace(slot.noted("state", _contradiction(slot)), refused_version=None)
        if not (at_once or self._due(slot, "production", version)):
            return slot
        try:
            served = self._admitted(slot, version, "production", self._source(slot, version, "production"))
        except TidegateError as error:
            self._put_off(slot, "production", version)
            return replace(slot, refused_version=Refusal(version, str(error)))
        self._attempts.pop((slot.strategy, "production"), None)
        before = slot.before if slot.production is None else slot.production
        if before is not None and before.digest == served.digest:
            before = None
        challenger = slot.challenger
        if challenger is not None and challenger.digest == served.digest:
            challenger = None
        slot = replace(
            slot, production=served, before=before, challenger=challenger, stopped=None, refused_version=None
        )
        return self._kept(slot.noted("state", _contradiction(slot)))

    def challenger(self, slot: Slot, model: RegisteredModel, *, at_once: bool) -> Slot:
        """Load what the alias `challenger` names, unless that is what `production` names. See `production`."""
        version = model.aliases.get(_ALIASES["shadow"])
        production = None if slot.production is None else slot.production.version
        if not self._serving.shadow or version in {None, production, model.aliases.get(_ALIASES["production"])}:
            return replace(slot.noted("challenger", None), challenger=None)
        assert version is not None
        if _is_that(slot.challenger, version, None):
            return slot.noted("challenger", None)
        if not (at_once or self._due(slot, "shadow", version)):
            return slot
        try:
            served = self._admitted(slot, version, "shadow", self._source(slot, version, "shadow"))
        except TidegateError as error:
            self._put_off(slot, "shadow", version)
            told = str(Refusal(version, str(error)))
            if slot.notes.get("challenger") != told:
                log.warning("challenger of %s: %s", slot.strategy, told)
            return replace(slot.noted("challenger", told), challenger=None)
        self._attempts.pop((slot.strategy, "shadow"), None)
        return replace(slot.noted("challenger", None), challenger=served)

    def _state_followed(self, slot: Slot, text: str | None) -> Slot:
        known = slot.state
        if text is None:
            told = f"the registry's signed state is gone; the one of token {known.token} holds" if known else None
            return replace(slot, refused_state=told)
        try:
            state = self._decoded(text, slot.strategy)
        except TidegateError as error:
            return replace(slot, refused_state=f"the registry's signed state is not believed: {error}")
        if known is not None and (state.token, state.at) < (known.token, known.at):
            told = f"the registry's signed state is older than one seen before: token {state.token}, not {known.token}"
            return replace(slot, refused_state=f"{told}; the newer one holds")
        slot = _with_state(replace(slot, refused_state=None), state)
        if state == known:
            return slot
        try:
            self._cache.store_state(slot.strategy, text)
        except ServiceError as error:
            return slot.noted("cache", str(error))
        return slot

    def _decoded(self, text: str, strategy: str) -> SignedState:
        unsigned_is_fine = self._serving.allow_unsigned and text.startswith(f"{signed_states.UNSIGNED} ")
        return signed_states.decode(text, None if unsigned_is_fine else self._verifier, strategy)

    def _without_barred(self, slot: Slot) -> Slot:
        state = slot.state
        if state is None:
            return slot

        def good(model: ServedModel | None) -> ServedModel | None:
            return None if model is None or state.bars(model.digest, model.model_digest) else model

        before, challenger = good(slot.before), good(slot.challenger)
        if before is not None and state.truncated and before.digest != state.production:
            before = None  # it may be barred: not all that are have room in the state
        barred = slot.production
        if barred is None or good(barred) is not None:
            cleared = replace(slot, before=before, challenger=challenger)
            return cleared if before is slot.before else self._kept(cleared)
        if before is not None and self._has_expired(before.predictor.bundle.manifest):
            before = None
        reason = f"v{barred.version} was barred while it served"
        # Where the state names another version, that one is on its way: no signal until then, and no word to close positions.
        coming = state.production not in {None, barred.digest}
        stopped = None if before is not None or coming else f"{reason}, and no earlier version is loaded"
        log.warning(
            "%s: %s; %s", slot.strategy, reason, "nothing serves" if before is None else f"v{before.version} serves"
        )
        return self._kept(replace(slot, production=before, before=None, challenger=challenger, stopped=stopped))

    def _source(self, slot: Slot, version: int, role: Role) -> _Source:
        """The bundle of a version: from memory where it is loaded already, else from the registry."""
        for model, its_role in (
            (slot.production, "production"),
            (slot.before, "production"),
            (slot.challenger, "shadow"),
        ):
            if model is None or not _is_that(model, version, slot.state):
                continue
            signatures = model.signatures
            if its_role != role:
                signatures = self._fetcher.signatures(slot.strategy, version)
            return _Source(model.predictor.bundle, signatures, model.origin, model.predictor)
        bundle, signatures = self._fetcher.bundle(slot.strategy, version, partial(self._refuse_early, slot, role))
        return _Source(bundle, signatures, "registry")

    def _refuse_early(self, slot: Slot, role: Role, digest: str, manifest: Manifest) -> None:
        """Spare the download of a bundle whose manifest alone says that it will be refused. Nothing of it is believed yet."""
        lasting = self._lasting.get((slot.strategy, digest))
        if lasting is not None:
            raise lasting.with_traceback(None)
        _refuse_foreign(manifest, slot.strategy)
        refuse_barred(digest, manifest.files.get(ONNX, ""), slot.state, role)

    def _admitted(self, slot: Slot, version: int, role: Role, source: _Source) -> ServedModel:
        """Every check that a model has to pass, in this order, after those of its files; the last one answers with it."""
        bundle, digest = source.bundle, source.bundle.digest
        manifest = bundle.manifest
        _refuse_foreign(manifest, slot.strategy)
        key = signed_by(digest, source.signatures, role, self._verifier, allow_unsigned=self._serving.allow_unsigned)
        refuse_barred(digest, manifest.files[ONNX], slot.state, role)
        if self._has_expired(manifest):
            raise BundleError("the model has expired", expected="a model that is newer", actual=manifest.expires_at)
        predictor = source.predictor or self._ready(slot.strategy, bundle)
        return ServedModel(
            slot.strategy,
            version,
            digest,
            predictor,
            wall_ms(),
            manifest.expires_at,
            key,
            source.origin,
            dict(source.signatures),
        )

    def _ready(self, strategy: str, bundle: Bundle) -> Predictor:
        try:
            return ready_predictor(bundle)
        except TidegateError as error:
            # What the bundle says by itself stays so; a module that is missing here, or memory, may come.
            if isinstance(error, BundleError) and error.__cause__ is None:
                self._lasting[strategy, bundle.digest] = error
            raise

    def _has_expired(self, manifest: Manifest) -> bool:
        # Under the bars' clock a simulated model is judged by its bars, which may lie in any year.
        by_bars = self._serving.clock == "bars" and manifest.kind == "simulated"
        return not by_bars and manifest.expires_at <= self._clock.now_ms()

    def _kept(self, slot: Slot) -> Slot:
        """Write what serves now, and what did before, to the disk."""
        models = [model for model in (slot.production, slot.before) if model is not None]
        try:
            for model in models:
                self._cache.store(slot.strategy, model.predictor.bundle, model.signatures)
            self._cache.keep(slot.strategy, [Entry(model.version, model.digest) for model in models])
        except ServiceError as error:
            log.warning("%s: %s", slot.strategy, error)
            return slot.noted("cache", str(error))
        return slot.noted("cache", None)

    def _due(self, slot: Slot, role: Role, version: int) -> bool:
        last = self._attempts.get((slot.strategy, role))
        return last is None or last.version != version or last.token != _token(slot) or wall_ms() >= last.next_at

    def _put_off(self, slot: Slot, role: Role, version: int) -> None:
        last = self._attempts.get((slot.strategy, role))
        count = 1 if last is None or last.version != version else last.count + 1
        longest_s = max(self._serving.poll_s, _LONGEST_BACKOFF_S)
        # The first try again is at the next poll, which comes up to a tenth early.
        wait_s = 0.0 if count == 1 else min(self._serving.poll_s * 2.0 ** min(count - 1, 30), longest_s)
        next_at = wall_ms() + int(1000 * wait_s)
        self._attempts[slot.strategy, role] = _Attempt(version, count, next_at, _token(slot))


def _token(slot: Slot) -> int:
    return 0 if slot.state is None else slot.state.token


def _with_state(slot: Slot, state: SignedState | None) -> Slot:
    return slot if state is None else replace(slot, state=state, halted=_halt_reason(state))


def _halt_reason(state: SignedState) -> str | None:
    return (state.halt_reason or "no reason given") if state.halted else None


def _is_that(model: ServedModel | None, version: int, state: SignedState | None) -> bool:
    """Whether a loaded model is the version that the registry names: numbers begin anew when a registered model was deleted."""
    if model is None or model.version != version:
        return False
    return state is None or state.production_version != version or state.production == model.digest


def _contradiction(slot: Slot) -> str | None:
    state, production = slot.state, slot.production
    if state is None or production is None or state.production in {None, production.digest}:
        return None
    return f"the alias names v{production.version}, the signed state v{state.production_version}"


def _bars(state: SignedState | None, digest: str) -> bool:
    return state is not None and digest in state.barred


def _refuse_foreign(manifest: Manifest, strategy: str) -> None:
    if manifest.strategy != strategy:
        raise BundleError("the bundle is of another strategy", expected=strategy, actual=manifest.strategy)
