"""Nothing but what the key signed passes, whatever is altered or made up."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.errors import SignatureRefused
from tidegate.keys.api_keys import ApiKeys, new_key
from tidegate.keys.signing import Signer
from tidegate.keys.state import SignedState, decode, encode, fitted

SIGNER = Signer.new()
VERIFIER = SIGNER.verifier()
DIGESTS = st.integers(0, 2**64).map(lambda number: f"{number:064x}")
TEXT, KEY = new_key("bot", ["predict"], created_at=0)
KEYS = ApiKeys([KEY])


@st.composite
def states(draw: st.DrawFn) -> SignedState:
    production = draw(st.none() | DIGESTS)
    barred = draw(st.lists(DIGESTS.filter(lambda digest: digest != production), max_size=5, unique=True))
    reason = draw(st.none() | st.text(st.characters(codec="utf-8"), max_size=50))
    return SignedState(
        strategy=draw(st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)),
        token=draw(st.integers(1, 2**63 - 1)),
        halted=reason is not None,
        halt_reason=reason,
        barred=tuple(barred),
        barred_models=tuple(draw(st.lists(DIGESTS, max_size=5, unique=True))),
        truncated=draw(st.booleans()),
        production=production,
        production_version=None if production is None else draw(st.integers(1, 10_000)),
        at=draw(st.integers(0, 2**53)),
    )


@given(states())
@settings(max_examples=60, deadline=None)
def test_every_state_comes_back_as_it_was(state: SignedState) -> None:
    line = encode(state, SIGNER.sign)
    assert line.isascii()
    assert "\n" not in line
    assert decode(line, VERIFIER, state.strategy) == state
    assert decode(encode(state, None), None) == state


@given(states(), st.data())
@settings(max_examples=100, deadline=None)
def test_one_altered_character_is_noticed(state: SignedState, data: st.DataObject) -> None:
    line = encode(state, SIGNER.sign)
    at = data.draw(st.integers(0, len(line) - 1))
    other = data.draw(
        st.characters(min_codepoint=32, max_codepoint=126).filter(lambda character: character != line[at])
    )
    altered = line[:at] + other + line[at + 1 :]
    with pytest.raises(SignatureRefused):
        decode(altered, VERIFIER)


@given(st.text(max_size=300))
@settings(max_examples=100, deadline=None)
def test_made_up_lines_are_refused_and_nothing_else_is_raised(line: str) -> None:
    for verifier in (VERIFIER, None):
        with pytest.raises(SignatureRefused):
            decode(line, verifier)


@given(states(), st.lists(st.tuples(st.none() | DIGESTS, st.none() | DIGESTS), max_size=60))
@settings(max_examples=60, deadline=None)
def test_a_fitted_state_fits_and_hides_nothing(state: SignedState, barred: list[tuple[str | None, str | None]]) -> None:
    plain = state.model_copy(update={"barred": (), "barred_models": (), "truncated": False})
    allowed = [(None if digest == plain.production else digest, model) for digest, model in barred]
    made = fitted(plain, allowed)
    assert len(encode(made, SIGNER.sign)) <= 5000
    whole = all(
        digest is not None and model is not None and digest in made.barred and model in made.barred_models
        for digest, model in allowed
    )
    assert made.truncated == (not whole)


@given(st.text(max_size=80) | st.text("tg_bot-", max_size=80))
@settings(max_examples=150, deadline=None)
def test_no_text_but_the_key_itself_is_known(presented: str) -> None:
    assert (KEYS.identify(presented, 1) is not None) == (presented == TEXT)
