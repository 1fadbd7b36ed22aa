"""What the signed state says, as small literal tables."""
# ruff: noqa: ANN401  keyword arguments override fields of many types

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tidegate.errors import BundleError, SignatureRefused
from tidegate.keys.signing import (
    Signer,
    act_message,
    production_message,
    shadow_message,
    state_message,
)
from tidegate.keys.state import SignedState, canonical, decode, encode, fitted

A, B, C = "a" * 64, "b" * 64, "c" * 64
SIGNER = Signer(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))


def state(**changes: Any) -> SignedState:
    fields: dict[str, Any] = {
        "strategy": "eurusd",
        "token": 7,
        "halted": False,
        "production": A,
        "production_version": 3,
        "at": 1_790_000_000_000,
    }
    return SignedState(**{**fields, **changes})


def test_the_line_is_as_the_contract_says_byte_for_byte() -> None:
    text = (
        '{"at":1790000000000,"barred":["'
        + B
        + '"],"barred_models":["'
        + C
        + '"],"halt_reason":"storm \\u00fc","halted":true,'
        '"production":"'
        + A
        + '","production_version":3,"schema_version":1,"strategy":"eurusd","token":7,"truncated":false}'
    )
    made = state(halted=True, halt_reason="storm ü", barred=(B,), barred_models=(C,))
    assert encode(made, None) == f"- {text}"
    assert encode(made, SIGNER.sign) == f"{SIGNER.sign(f'tidegate/1 state{chr(10)}{text}').hex()} {text}"


MESSAGES = {
    "production": production_message(A),
    "shadow": shadow_message(A),
    "state": state_message(A),
    "act": act_message("halt", "eurusd", 7),
}


def test_the_texts_are_as_the_contract_says() -> None:
    assert {
        "production": f"tidegate/1 production\n{A}",
        "shadow": f"tidegate/1 shadow\n{A}",
        "state": f"tidegate/1 state\n{A}",
        "act": "tidegate/1 act\nhalt eurusd 7",
    } == MESSAGES


@pytest.mark.parametrize("signed", MESSAGES)
@pytest.mark.parametrize("needed", MESSAGES)
def test_a_signature_for_one_purpose_fits_no_other(signed: str, needed: str) -> None:
    signature = SIGNER.sign(MESSAGES[signed])
    if signed == needed:
        assert SIGNER.verifier().verify(MESSAGES[needed], signature) == SIGNER.key_id
    else:
        with pytest.raises(SignatureRefused, match="tidegate/1"):
            SIGNER.verifier().verify(MESSAGES[needed], signature)


@pytest.mark.parametrize("digest", ["", "a" * 63, "A" * 64, A + "\n", f"{A}\ntidegate/1 state", "g" * 64])
def test_what_is_no_digest_is_not_signed(digest: str) -> None:
    for message in (production_message, shadow_message):
        with pytest.raises(BundleError, match="64 hexadecimal digits"):
            message(digest)


@pytest.mark.parametrize(
    "changes",
    [
        {"production": None, "production_version": None},
        {"halted": True, "halt_reason": ""},
        {"barred": (B, C), "truncated": True},
        {"token": 2**62},
    ],
    ids=str,
)
def test_a_state_is_read_back_as_it_was(changes: dict[str, Any]) -> None:
    made = state(**changes)
    assert decode(encode(made, SIGNER.sign), SIGNER.verifier(), "eurusd") == made
    assert decode(encode(made, None), None) == made


@pytest.mark.parametrize(
    "changes",
    [
        {"production": None},
        {"production_version": None},
        {"production": B, "barred": (B,)},
        {"halted": True},
        {"halt_reason": "storm"},
        {"barred": ("b",)},
        {"barred_models": (B + "\n",)},
        {"production": A.upper()},
        {"token": 0},
        {"token": "7"},
        {"token": 7.0},
        {"production_version": 0},
        {"at": -1},
        {"halted": 0},
        {"strategy": ""},
        {"schema_version": 2},
        {"more": 1},
    ],
    ids=str,
)
def test_what_no_pipeline_says_is_refused_even_when_it_is_signed(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        state(**changes)
    content = {**state().model_dump(mode="json"), **changes}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    line = f"{SIGNER.sign(state_message(text)).hex()} {text}"
    with pytest.raises(SignatureRefused, match="cannot be read"):
        decode(line, SIGNER.verifier())


TEXT = canonical(state())
TWICE = TEXT.replace('"token":7', '"token":6,"token":7')


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (f"- {TEXT}", "not signed"),
        (f"{Signer.new().sign(state_message(TEXT)).hex()} {TEXT}", "not trusted"),
        (f"{SIGNER.sign(TEXT).hex()} {TEXT}", "is wrong"),
        (f"{SIGNER.sign(production_message(A)).hex()} {TEXT}", "is wrong"),
        (encode(state(token=6), SIGNER.sign).replace('"token":6', '"token":7'), "is wrong"),
        (f"{SIGNER.sign(state_message(TEXT)).hex()[:-2]} {TEXT}", "128 hexadecimal digits"),
        (f"xyz {TEXT}", "malformed"),
        (f"{SIGNER.sign(state_message(TEXT)).hex().upper()} {TEXT}", "malformed"),
        (TEXT, "malformed"),
        ("", "malformed"),
        (f"{SIGNER.sign(state_message(TWICE)).hex()} {TWICE}", "canonical form"),
        (f"{SIGNER.sign(state_message(TEXT + ' ')).hex()} {TEXT} ", "canonical form"),
        (f"{SIGNER.sign(state_message('[]')).hex()} []", "cannot be read"),
        (f"{SIGNER.sign(state_message('')).hex()} ", "cannot be read"),
    ],
)
def test_a_line_that_was_altered_or_made_by_others_is_refused(line: str, fault: str) -> None:
    with pytest.raises(SignatureRefused, match=fault):
        decode(line, SIGNER.verifier())


def test_the_state_of_another_strategy_is_refused() -> None:
    with pytest.raises(SignatureRefused, match="expected gbpusd, was eurusd"):
        decode(encode(state(), SIGNER.sign), SIGNER.verifier(), "gbpusd")


@pytest.mark.parametrize(
    ("digest", "model", "barred"), [(A, A, False), (B, A, True), (A, C, True), (C, B, False), (B, C, True)]
)
def test_a_bundle_is_barred_by_its_manifest_or_its_model(digest: str, model: str, barred: bool) -> None:
    assert (
        state(production=None, production_version=None, barred=(B,), barred_models=(C,)).bars(digest, model) == barred
    )


def digits(number: int) -> str:
    return f"{number:064x}"


@pytest.mark.parametrize(
    ("barred", "digests", "models", "truncated"),
    [
        ([], (), (), False),
        ([(B, C)], (B,), (C,), False),
        ([(B, None)], (B,), (), True),
        ([(None, C)], (), (C,), True),
        ([(None, None)], (), (), True),
        ([(B, C), (digits(1), C)], (B, digits(1)), (C,), False),
    ],
)
def test_a_barred_version_that_cannot_be_described_is_told(
    barred: list[tuple[str | None, str | None]], digests: tuple[str, ...], models: tuple[str, ...], truncated: bool
) -> None:
    made = fitted(state(), barred)
    assert (made.barred, made.barred_models, made.truncated) == (digests, models, truncated)


def test_the_model_in_production_is_not_barred_for_having_been_another_versions() -> None:
    made = fitted(state(), [(B, C), (digits(1), digits(2))], spared_model=C)
    assert (made.barred, made.barred_models, made.truncated) == ((B, digits(1)), (digits(2),), False)


@pytest.mark.parametrize("count", [30, 37, 1000])
def test_as_many_barred_versions_as_fit_are_kept_and_the_first_ones_first(count: int) -> None:
    barred = [(digits(2 * number), digits(2 * number + 1)) for number in range(1, count + 1)]
    made = fitted(state(halted=True, halt_reason="é" * 200), barred)
    line = encode(made, SIGNER.sign)
    assert len(line) <= 5000
    kept = len(made.barred)
    assert made.barred == tuple(digest for digest, _ in barred[:kept])
    assert made.barred_models == tuple(model for _, model in barred[:kept])
    assert made.truncated == (kept < count)
    assert kept > 20
    if made.truncated:
        assert len(line) + 2 * 67 > 5000 - 10, "one more would have fitted"
