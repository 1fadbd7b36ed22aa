"""Whatever a gate has seen, saying what would change it never breaks a verdict."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.gates.changes import change
from tidegate.gates.result import GateResult, Verdict
from tidegate.gates.specifications import SPECIFICATIONS, GateSpecification

KEYS = (
    "sharpe", "standard_error", "days", "needed_days", "budget_returns_at", "benchmark_sharpe", "trials", "trades_per_day",
    "wins", "break_even", "break_even_multiple", "capacity", "champion_sharpe", "floor", "difference",
)  # fmt: skip
NUMBERS = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.05, 1e-300, 1e300, math.inf, math.nan]),
)
FINITE = st.one_of(st.none(), st.floats(-1e9, 1e9), st.sampled_from([0.0, 1.0, 0.5, 1e-300, 1e300, -1e300]))


@given(
    st.sampled_from(SPECIFICATIONS),
    FINITE,
    FINITE,
    st.one_of(st.none(), st.integers(0, 400)),
    st.dictionaries(st.sampled_from(KEYS), st.one_of(NUMBERS, st.none(), st.just("words"))),
    st.sampled_from([Verdict.FAIL, Verdict.NOT_ENOUGH_EVIDENCE]),
    st.one_of(st.none(), st.integers(0, 1000)),
)
@settings(max_examples=250, deadline=None)
def test_a_sentence_comes_out_of_anything(
    specification: GateSpecification,
    observed: float | None,
    threshold: float | None,
    n: int | None,
    evidence: dict[str, float | str | None],
    verdict: Verdict,
    least: int | None,
) -> None:
    found = GateResult.model_construct(
        name=specification.name,
        title=specification.title,
        scope=specification.scope,
        observed=observed,
        threshold=threshold,
        comparison=specification.comparison,
        n=n,
        blocking=True,
        verdict=verdict,
        refuses=True,
        reason="x",
        evidence=evidence,
    )
    words = change(found, least)
    assert isinstance(words, str)
    assert "nan" not in words
    assert "inf" not in words
