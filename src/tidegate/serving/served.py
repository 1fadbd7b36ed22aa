"""A model that has passed every check and is warm, what stands against the others, and what a strategy's slot holds at a moment."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal

import numpy as np

from tidegate.bars.bars import Bars
from tidegate.bars.interval import Interval
from tidegate.errors import BundleError, SignatureRefused, TidegateError
from tidegate.keys.signing import Verifier, production_message, shadow_message
from tidegate.keys.state import SignedState
from tidegate.model.bundle import ONNX, Bundle
from tidegate.serving.predictor import Predictor

Role = Literal["production", "shadow"]
Origin = Literal["registry", "cache"]
PRODUCTION_SIGNATURE, SHADOW_SIGNATURE = "manifest.sig", "shadow.sig"
_WARM_UP: Final = 48


@dataclass(frozen=True, slots=True, eq=False)
class ServedModel:
    """A model ready to answer.

    Attributes:
        strategy: whose it is.
        version: the registry's number.
        digest: the manifest's.
        predictor: answers.
        loaded_at: UTC ms.
        expires_at: UTC ms, the manifest's.
        signed_by: id of the key, None for an unsigned one where settings allow that.
        origin: where its bytes came from.
        signatures: as they lie beside the bundle, by file name.
    """

    strategy: str
    version: int
    digest: str
    predictor: Predictor
    loaded_at: int
    expires_at: int
    signed_by: str | None
    origin: Origin
    signatures: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    @property
    def model_digest(self) -> str:
        """SHA-256 of model.onnx: the same model may stand under several numbers."""
        return self.predictor.bundle.manifest.files[ONNX]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A version that the registry names and that is not served."""

    version: int
    reason: str

    def __str__(self) -> str:
        return f"v{self.version} is not served: {self.reason}"


@dataclass(frozen=True, slots=True, eq=False)
class Slot:
    """What a strategy has at one moment. It never changes: a newer one takes its place, by one assignment.

    Attributes:
        strategy: the strategy.
        production: who answers.
        before: who answered before, for the case that `production` fails.
        challenger: predicts beside production.
        halted: reason of a signed halt.
        stopped: why `production` was taken away with nothing to take its place.
        refused_version: the registry's production version, when it is not the one that serves.
        refused_state: what is wrong with the registry's signed state; the last good state holds.
        notes: what else is worth telling, by subject, such as `registry`, `alias`, `challenger`, `cache`.
        registry_reached_at: UTC ms of the registry's last answer.
        state: the newest signed state that was believed.
    """

    strategy: str
    production: ServedModel | None = None
    before: ServedModel | None = None
    challenger: ServedModel | None = None
    halted: str | None = None
    stopped: str | None = None
    refused_version: Refusal | None = None
    refused_state: str | None = None
    notes: Mapping[str, str] = field(default_factory=dict)
    registry_reached_at: int | None = None
    state: SignedState | None = None

    @property
    def halt(self) -> str | None:
        """Why nothing may be held, None when nothing stands against it."""
        return self.halted or (self.stopped if self.production is None else None)

    @property
    def refused(self) -> str | None:
        """Why the registry's word is not followed, in one line; None when it is."""
        parts = [str(part) for part in (self.refused_version, self.refused_state) if part is not None]
        return "; ".join(parts) or None

    def noted(self, subject: str, told: str | None) -> "Slot":
        """This slot with another note on a subject; None takes the note away."""
        notes = {name: text for name, text in self.notes.items() if name != subject}
        if told is not None:
            notes[subject] = told
        return self if notes == self.notes else replace(self, notes=notes)

    def loaded(self) -> list[ServedModel]:
        """All models in memory."""
        return [model for model in (self.production, self.before, self.challenger) if model is not None]


def signed_by(
    digest: str, signatures: Mapping[str, bytes], role: Role, verifier: Verifier | None, *, allow_unsigned: bool
) -> str | None:
    """Id of the key that signed a bundle for a role; None for an unsigned one where that is allowed.

    A challenger may show either signature, production only its own. A signature that is there but wrong is refused in any case.

    Raises:
        SignatureRefused: missing or wrong.
    """
    asked = [(PRODUCTION_SIGNATURE, production_message(digest))]
    if role == "shadow":
        asked.insert(0, (SHADOW_SIGNATURE, shadow_message(digest)))
    found = [(message, signatures[name]) for name, message in asked if name in signatures]
    if found and verifier is not None:
        fault: SignatureRefused | None = None
        for message, signature in found:
            try:
                return verifier.verify(message, signature)
            except SignatureRefused as error:
                fault = error
        assert fault is not None
        raise fault
    if allow_unsigned:
        return None
    raise SignatureRefused(
        "the bundle is not signed",
        expected=" or ".join(f"signature/{name}" for name, _ in asked),
        setting="signing.private_key_file",
        next_step="promote it by `tidegate`, with the private key set, so that it is signed",
    )


def refuse_barred(digest: str, model_digest: str, state: SignedState | None, role: Role) -> None:
    """Refuse a bundle that the signed state bars, or may bar.

    Raises:
        BundleError: it is barred; or the state had no room to name every barred version, and does not name this one as production.
    """
    if state is None:
        return
    if state.bars(digest, model_digest):
        raise BundleError("barred, see the ledger", next_step="`tidegate history` says why")
    if state.truncated and role == "production" and digest != state.production:
        raise BundleError(
            "the signed state has no room for all barred versions, so this one may be barred",
            expected="the version that the state names as production",
        )


def ready_predictor(bundle: Bundle) -> Predictor:
    """The bundle's predictor, which has met its golden vectors and is warm: the first predictions of a process are slow.

    Raises:
        BundleError: it does not answer as it did when it was made.
        ConfigurationError: a feature function of the strategy's own cannot be imported here.
    """
    try:
        predictor = Predictor(bundle)
        interval = Interval(bundle.manifest.interval)
        windows = [
            Bars.of(vector.symbol, interval, **{name: np.asarray(values) for name, values in vector.bars.items()})
            for vector in bundle.golden
        ]
        for at in range(_WARM_UP):
            window = windows[at % len(windows)]
            predictor.predict(window, int(window.closed_at[-1]))
    except TidegateError:
        raise
    except Exception as error:
        # A strategy's own feature function may raise anything, and a bundle that cannot answer must not stop the one that serves.
        raise BundleError(f"the bundle failed on its golden vectors: {type(error).__name__}: {error}") from error
    return predictor
