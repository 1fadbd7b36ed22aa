"""Signatures of the acts, and what the ledger says as the signed state that serving processes go by.

In: a strategy's state in the ledger, a signer. Out: signatures beside bundles, and the tag `signed_state` of the registered model. When it is
published, and what readers do with it, stands in docs/contracts/signatures.md.
"""

import logging
from typing import Any, Protocol

from tidegate.errors import ConfigurationError, RegistryError
from tidegate.keys.signing import PRIVATE_SETTING, act_message, production_message
from tidegate.keys.state import SignedState, encode, fitted
from tidegate.registry.ledger import Ledger, LedgerWriter
from tidegate.registry.state import LedgerRow, StrategyState

log = logging.getLogger(__name__)

_LONGEST_REASON = 200


class Signs(Protocol):
    """What the acts need of a signer; `keys.signing.Signer` is the real one."""

    @property
    def key_id(self) -> str:
        """The key's id, for the ledger."""

    def sign(self, message: str) -> bytes:
        """The signature of a text."""


class Registry(Protocol):
    """What publishing needs of the model registry; `tracking.Tracking` is the real one."""

    def attach_signature(self, strategy: str, version: int, signature: bytes) -> None:
        """Keep a production signature beside the version's bundle, in place of the one before."""

    def versions(self, strategy: str) -> list[int]:
        """Numbers of all versions that exist, newest first."""

    def signed_state(self, strategy: str) -> str | None:
        """The state that was published last, None where there is none or no registered model."""

    def keep_signed_state(self, strategy: str, text: str) -> bool:
        """Publish a state; False where there is no registered model to keep it with."""


class Publisher:
    """Signs what the acts do, and tells serving processes of it.

    Args:
        ledger: the promotion ledger.
        versions: the model registry.
        signer: signs versions, acts and the state; None leaves them unsigned.
        must_sign: refuse every act without a signer.
    """

    def __init__(self, ledger: Ledger, versions: Registry, signer: Signs | None, *, must_sign: bool) -> None:
        self._ledger = ledger
        self._versions = versions
        self.signer = signer
        self._must_sign = must_sign

    def require_signer(self, what: str) -> None:
        """Refuse an act that must be signed and cannot be, before anything moves.

        Raises:
            ConfigurationError: there is no key.
        """
        if self._must_sign and self.signer is None:
            raise ConfigurationError(
                f"{what}: production needs a key to sign with",
                expected="a private key file",
                setting=PRIVATE_SETTING,
                next_step="`tidegate keys signing new` makes a pair; nothing was changed",
            )

    def evidence(self, text: str) -> dict[str, Any]:
        """What the ledger keeps of a signature: what was signed, the signature in hexadecimal, and the key's id; None without a key."""
        if self.signer is None:
            return {"signed": text, "signature": None, "key": None}
        return {"signed": text, "signature": self.signer.sign(text).hex(), "key": self.signer.key_id}

    def sign_intent(self, intent: LedgerRow) -> dict[str, Any]:
        """Sign what an intent puts into production and keep the signature with the version; returns the ledger's evidence of it."""
        if intent.to_version is None or intent.bundle_digest is None:
            return self.evidence(act_message("halt", intent.strategy, intent.fencing_token))
        return self.sign_version(intent.strategy, intent.to_version, intent.bundle_digest)

    def sign_version(self, strategy: str, version: int, digest: str) -> dict[str, Any]:
        """Sign a manifest digest for production and keep the signature with the version; returns the ledger's evidence of it."""
        signed = self.evidence(production_message(digest))
        if signed["signature"] is not None:
            self._versions.attach_signature(strategy, version, bytes.fromhex(signed["signature"]))
        return signed

    def announce(self, writer: LedgerWriter, intent: LedgerRow) -> None:
        """Publish the bar and the target of a rollback or halt before its aliases move. Only past the fence, holding the ledger's lock."""
        if intent.action != "promote":
            self.bring_up_to_date(writer.state(intent.strategy))

    def publish(self, strategy: str) -> bool:
        """Publish what the ledger says, where it is not published already; returns whether something had to be published.

        It holds the ledger's lock, so that a slow process never publishes an old state over a newer one.

        Raises:
            RegistryError: MLflow or the ledger could not be reached.
        """
        with self._ledger.writing() as writer:
            return self.bring_up_to_date(writer.state(strategy))

    def publish_act(self, strategy: str, message: str) -> None:
        """Publish after an act that `message` tells.

        Raises:
            RegistryError: the act stands, but the state could not be published.
        """
        try:
            self.publish(strategy)
        except RegistryError as error:
            raise RegistryError(
                f"{message}; this is recorded, but serving processes were not told: {error.what}",
                expected="the signed state published in MLflow",
                next_step=f"`tidegate repair {strategy}` publishes it; until then services go by the state before",
            ) from error

    def bring_up_to_date(self, state: StrategyState) -> bool:
        """Publish a state where it is not published already. Only holding the ledger's lock; see `publish`."""
        stated = state_to_publish(state, self._versions)
        if stated is None:
            return False
        text = encode(stated, None if self.signer is None else self.signer.sign)
        if self._versions.signed_state(state.strategy) == text:
            return False
        if stated.truncated:
            log.warning("%s: the signed state does not name all barred versions", state.strategy)
        if not self._versions.keep_signed_state(state.strategy, text):
            return False  # no registered model, so there is nothing that could be served
        found = self._versions.signed_state(state.strategy)
        if found != text:
            raise RegistryError(
                f"MLflow's signed state of {state.strategy} is not what was published",
                expected=f"token {stated.token}",
                actual=repr(found)[:200],
                next_step="`tidegate repair` looks again",
            )
        return True


def state_to_publish(state: StrategyState, versions: Registry) -> SignedState | None:
    """The state that services must go by, None where no act was about this strategy yet.

    A rollback or halt whose intent is open counts as done, since a repair finishes it: so it can be published before the alias moves,
    and no service finds the alias moved without the bar. An open promotion counts as not done.
    """
    if state.last_row is None:
        return None
    version, barred, reason = state.current, set(state.barred), None if state.halt is None else state.halt.reason
    digest = None if version is None else state.digests.get(version)
    intent = state.open_intent
    if intent is not None and intent.action in {"rollback", "halt"}:
        version, digest = intent.to_version, intent.bundle_digest
        barred |= {intent.from_version} if intent.evidence.get("bar") and intent.from_version is not None else set()
        reason = intent.reason if intent.action == "halt" else reason
    if digest is None or digest in {state.digests.get(each) for each in barred}:
        version = digest = None  # what the ledger cannot describe, or has barred as another number, is not served
    plain = SignedState(
        strategy=state.strategy,
        token=state.last_row.id,
        halted=reason is not None,
        halt_reason=None if reason is None else _cut(reason),
        production=digest,
        production_version=version,
        at=state.last_row.created_at,
    )
    return _with_barred(plain, state, barred, versions)


def _with_barred(plain: SignedState, state: StrategyState, barred: set[int], versions: Registry) -> SignedState:
    # What the ledger puts into production it means to be served, also where a barred version has the same model with another policy.
    served = None if plain.production_version is None else state.models.get(plain.production_version)

    def listed(order: list[int]) -> SignedState:
        digests = [(state.digests.get(version), state.models.get(version)) for version in order]
        return fitted(plain, digests, spared_model=served)

    newest_first = sorted(barred, reverse=True)
    found = listed(newest_first)
    if len(found.barred) == len({state.digests[version] for version in barred if version in state.digests}):
        return found
    existing = set(versions.versions(state.strategy))
    return listed(sorted(newest_first, key=lambda version: version not in existing))


def _cut(reason: str) -> str:
    return reason if len(reason) <= _LONGEST_REASON else f"{reason[: _LONGEST_REASON - 3]}..."
