"""The signed state: what is in production, barred or halted, as one line of text that a service can trust without the ledger.

The line is `<signature in hexadecimal, or - when unsigned>`, a space, and canonical JSON. The pipeline keeps it as a tag of the
registered model; docs/contracts/signatures.md has the rules of those who read it.
"""

import json
import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tidegate.errors import SignatureRefused
from tidegate.keys.signing import SIGNATURE_BYTES, Verifier, state_message

TAG = "signed_state"
MAX_CHARACTERS = 5000
"""Longest tag value that MLflow's database holds."""
UNSIGNED = "-"
_SIGNATURE = re.compile(rf"[0-9a-f]{{{2 * SIGNATURE_BYTES}}}")
_DIGEST_CHARACTERS = 67  # 64 digits, two quotes, a comma

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class SignedState(BaseModel):
    """What a service may do for one strategy.

    Attributes:
        schema_version: of this form.
        strategy: the registered model's name.
        token: rises with each row of the strategy in the ledger; a service never goes back to a smaller one.
        halted: nothing may be served.
        halt_reason: why, cut to a length that fits; None when not halted.
        barred: manifest digests of versions that may never start, newest first.
        barred_models: SHA-256 of their model files: the same model under another number is barred too. Never that of the version in production,
            which may share its model with a barred one that had, say, another policy.
        truncated: the two lists are not whole. What they do not name is not thereby good.
        production: manifest digest of the version in production, None where there is none.
        production_version: its number.
        at: when the ledger's newest row was written, UTC ms.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    schema_version: Literal[1] = 1
    strategy: str = Field(min_length=1, max_length=200)
    token: int = Field(ge=1)
    halted: bool
    halt_reason: str | None = None
    barred: tuple[Digest, ...] = ()
    barred_models: tuple[Digest, ...] = ()
    truncated: bool = False
    production: Digest | None
    production_version: int | None = Field(ge=1)
    at: int = Field(ge=0)

    @model_validator(mode="after")
    def _contradicts_nothing(self) -> Self:
        if (self.production is None) != (self.production_version is None):
            raise ValueError("production and production_version must be given both or not at all")
        if self.production in self.barred:
            raise ValueError("the version in production is barred")
        if self.halted != (self.halt_reason is not None):
            raise ValueError("halted and halt_reason contradict each other")
        return self

    def bars(self, digest: str, model: str) -> bool:
        """Whether a bundle is barred, by its manifest's digest or by the SHA-256 of its model file."""
        return digest in self.barred or model in self.barred_models


def canonical(state: SignedState) -> str:
    """The state as JSON with sorted keys, no spaces and ASCII only."""
    return _canonical(state.model_dump(mode="json"))


def encode(state: SignedState, sign: Callable[[str], bytes] | None) -> str:
    """The state as one line.

    Args:
        state: the state.
        sign: signs a text; None leaves the state unsigned.
    """
    text = canonical(state)
    signature = UNSIGNED if sign is None else sign(state_message(text)).hex()
    return f"{signature} {text}"


def decode(text: str, verifier: Verifier | None, strategy: str | None = None) -> SignedState:
    """Read a state back.

    Args:
        text: what `encode` wrote.
        verifier: verifies the signature; None believes any text, which only development settings may.
        strategy: whose state it must be; None does not look.

    Raises:
        SignatureRefused: unsigned or wrongly signed although there is a verifier, not what `encode` writes, or of another strategy.
    """
    signature, _, content = text.partition(" ")
    if verifier is not None:
        verifier.verify(state_message(content), _signature(signature))
    state = _parsed(content)
    if strategy is not None and state.strategy != strategy:
        raise SignatureRefused("the signed state is of another strategy", expected=strategy, actual=state.strategy)
    return state


def fitted(
    state: SignedState,
    barred: Sequence[tuple[str | None, str | None]],
    *,
    spared_model: str | None = None,
    max_characters: int = MAX_CHARACTERS,
) -> SignedState:
    """The state with as many barred versions as its signed line has room for.

    Args:
        state: the state without barred versions.
        barred: manifest digest and model digest of each, None where it is not known; the ones to be kept first come first.
        spared_model: model digest that is not barred although a barred version has it: that of the version in production.
        max_characters: longest line, its signature included.

    Returns:
        The state with `truncated` set when a version or a digest was left out.
    """

    def listing(count: int, *, truncated: bool) -> SignedState:
        digests = dict.fromkeys(digest for digest, _ in known[:count] if digest is not None)
        models = dict.fromkeys(model for _, model in known[:count] if model not in {None, spared_model})
        lists = {"barred": tuple(digests), "barred_models": tuple(models), "truncated": truncated}
        return SignedState(**{**state.model_dump(), **lists})

    room = max_characters - 2 * SIGNATURE_BYTES - 1
    known = [each for each in barred if each != (None, None)]
    truncated = state.truncated or any(None in each for each in barred)
    count = min(len(known), room // _DIGEST_CHARACTERS)
    found = listing(count, truncated=truncated or count < len(known))
    while count > 0 and len(canonical(found)) > room:
        count -= 1
        found = listing(count, truncated=True)
    return found


def _parsed(content: str) -> SignedState:
    try:
        # Strict models take JSON's lists as tuples only from JSON text.
        state = SignedState.model_validate_json(content)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in fault["loc"]) or "the whole"
        raise SignatureRefused(f"a signed state cannot be read: {where}: {fault['msg']}") from error
    if canonical(state) != content:
        raise SignatureRefused(
            "a signed state is not in its canonical form", expected="sorted keys, no spaces, each key once"
        )
    return state


def _signature(text: str) -> bytes:
    if text == UNSIGNED:
        raise SignatureRefused(
            "the state is not signed",
            next_step="set signing.private_key_file where models are promoted, then `tidegate repair`",
        )
    if not _SIGNATURE.fullmatch(text):
        raise SignatureRefused(
            "a state's signature is malformed",
            expected=f"{2 * SIGNATURE_BYTES} hexadecimal digits in lower case",
            actual=repr(text)[:200],
        )
    return bytes.fromhex(text)


def _canonical(content: Any) -> str:  # noqa: ANN401  any JSON
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
