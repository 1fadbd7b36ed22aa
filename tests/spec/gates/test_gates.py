"""Every gate against literal cases: what passes, what just does not, and what can never pass."""

import math

import pytest

from tidegate.errors import ConfigurationError
from tidegate.gates.evaluation import Measurement, decide, evaluate, require_sane
from tidegate.gates.result import GateResult, Verdict
from tidegate.gates.specifications import SPECIFICATIONS
from tidegate.strategy.gates import GateRule, Gates

# gate, passes, just does not, impossible (wrong unit or sign)
CASES = [
    ("min_train_days", 60.0, 59.99, -1.0),
    ("recommended_train_days", 90.0, 89.99, -1.0),
    ("validation_passed", 0.0, 1.0, -1.0),
    ("out_of_sample_folds", 3.0, 2.0, -1.0),
    ("costs_above_zero", 0.01, 0.0, -0.1),
    ("win_rate", 0.58, 0.5799, 58.0),
    ("sharpe", 1.5, 1.4999, 1e9),
    ("max_drawdown", 0.1499, 0.15, -0.1),
    ("trades", 100.0, 99.0, -1.0),
    ("newest_fold_sharpe", -0.009, -0.011, 1e9),
    ("newest_fold_trades", 5.0, 4.0, -1.0),
    ("regime_trending", 1.0, 0.999, -1.0),
    ("regime_ranging", 1.0, 0.999, -1.0),
    ("regime_volatile", 1.0, 0.999, -1.0),
    ("too_good_win_rate", 0.649, 0.651, 64.0),
    ("too_good_sharpe", 2.029, 2.031, -1e9),
    ("engines_agree", 1e-9, 1.1e-9, -1.0),
    ("no_look_ahead", 0.0, 1.0, -1.0),
    ("onnx_parity", 1e-5, 1.1e-5, -1.0),
    ("serving_parity", 1e-9, 1.1e-9, -1.0),
    ("reproducible", 0.0, 1.0, -1.0),
    ("latency_p95_ms", 9.99, 10.0, 0.0),
    ("champion", 0.0501, 0.05, -math.inf),
    ("skill", 0.004, 0.0041, 1.01),
    ("deflated_sharpe", 0.95, 0.9499, 95.0),
    ("track_record", 1.0, 0.999, -1.0),
    ("sharpe_lower", 0.001, 0.0, 1e9),
    ("win_rate_lower", 0.001, 0.0, 1.01),
    ("overfitting", 0.5, 0.501, 50.0),
    ("cost_stress", 0.0, -0.001, 1e9),
    ("break_even_cost", 1.5, 1.499, -math.inf),
    ("capacity", 1.0, 0.999, -1.0),
    ("random_entries", 0.95, 0.949, 95.0),
    ("permuted_labels", 0.05, 0.051, 1.01),
    ("champion_difference", 0.05, 0.051, 1.01),
    ("superior", 0.05, 0.051, 1.01),
]
LEVEL = 0.004  # of the look that the gate skill is tested at


ADVISORY = [
    "recommended_train_days",
    "deflated_sharpe",
    "track_record",
    "sharpe_lower",
    "win_rate_lower",
    "overfitting",
    "break_even_cost",
    "capacity",
    "random_entries",
    "permuted_labels",
    "champion_difference",
    "superior",
]


def judged(gate: str, value: float | None, policy: Gates | None = None, n: int = 1000) -> GateResult:
    measured = {gate: Measurement(value, n=n, standard_error=0.01, bound=LEVEL)}
    return next(result for result in evaluate(measured, policy or Gates()) if result.name == gate)


def test_every_gate_has_its_cases() -> None:
    assert [case[0] for case in CASES] == [specification.name for specification in SPECIFICATIONS]


@pytest.mark.parametrize(("gate", "passes", "fails", "impossible"), CASES)
def test_threshold(gate: str, passes: float, fails: float, impossible: float) -> None:
    assert judged(gate, passes).verdict is Verdict.PASS
    for value in (fails, impossible, math.nan, math.inf, -math.inf, None):
        result = judged(gate, value)
        assert result.verdict is Verdict.FAIL, value
        assert result.refuses is result.blocking


def test_nothing_measured_refuses_with_every_gate() -> None:
    results = evaluate({}, Gates())
    assert len(results) == len(SPECIFICATIONS)
    assert all(result.refuses is result.blocking for result in results)
    assert [result.name for result in results if not result.blocking] == ADVISORY
    assert not decide("s", "d", results).promote


def test_no_results_never_promote() -> None:
    assert not decide("s", "d", ()).promote


def test_all_passes_promote_and_one_refusal_does_not() -> None:
    measured = {gate: Measurement(passes, n=1000, standard_error=0.01, bound=LEVEL) for gate, passes, _, _ in CASES}
    measured["win_rate"] = Measurement(0.6, n=1000, standard_error=0.01)
    assert decide("s", "d", evaluate(measured, Gates())).promote
    assert not decide("s", "d", evaluate(measured | {"trades": Measurement(math.nan)}, Gates())).promote


def test_an_advisory_gate_speaks_but_does_not_refuse() -> None:
    result = judged("win_rate", 0.4, Gates(win_rate=GateRule(threshold=0.58, blocking=False)))
    assert (result.verdict, result.refuses) == (Verdict.FAIL, False)


def test_a_regime_with_few_trades_is_not_enough_evidence_and_policy_says_whether_that_blocks() -> None:
    assert (judged("regime_ranging", 2.0, n=19).verdict, judged("regime_ranging", 2.0, n=19).refuses) == (
        Verdict.NOT_ENOUGH_EVIDENCE,
        True,
    )
    lenient = Gates(regime_ranging=GateRule(threshold=1.0, not_enough_evidence_blocks=False))
    assert not judged("regime_ranging", 2.0, lenient, n=19).refuses
    assert judged("regime_ranging", 0.5, lenient, n=20).refuses


def test_a_too_good_gate_without_a_standard_error_fails() -> None:
    measured = {"too_good_sharpe": Measurement(1.0, n=10)}
    result = next(one for one in evaluate(measured, Gates()) if one.name == "too_good_sharpe")
    assert result.verdict is Verdict.FAIL


def test_a_gate_without_threshold_fails() -> None:
    assert judged("sharpe", 3.0, Gates(sharpe=GateRule(threshold=None))).verdict is Verdict.FAIL


@pytest.mark.parametrize(
    "measured", [{}, {"regime_volatile": Measurement(math.nan)}, {"regime_volatile": Measurement(None)}]
)
def test_a_lenient_regime_never_lets_a_missing_measurement_pass(measured: dict[str, Measurement]) -> None:
    lenient = Gates(regime_volatile=GateRule(threshold=1.0, not_enough_evidence_blocks=False))
    result = next(one for one in evaluate(measured, lenient) if one.name == "regime_volatile")
    assert (result.verdict, result.refuses) == (Verdict.FAIL, True)


SENSELESS = [
    ("max_drawdown", 15.0, 0.95),
    ("win_rate", -3.0, 0.4),
    ("win_rate", 58.0, 0.99),
    ("onnx_parity", 5.0, 0.5),
    ("champion", -1e9, -0.5),
    ("no_look_ahead", 10.0, 5.0),
    ("latency_p95_ms", 1e6, 500.0),
    ("sharpe", -1.0, -0.5),
    ("trades", math.nan, 500.0),
    ("cost_stress", -5.0, -1.0),
    ("deflated_sharpe", 0.1, 0.2),
    ("deflated_sharpe", 95.0, 0.99),
    ("overfitting", 1.0, 0.95),
    ("break_even_cost", 0.5, 0.9),
    ("permuted_labels", 1.0, 0.9),
]


@pytest.mark.parametrize(("gate", "threshold", "value"), SENSELESS)
def test_a_threshold_in_a_wrong_unit_or_beyond_sense_lets_nothing_pass(
    gate: str, threshold: float, value: float
) -> None:
    policy = Gates.model_validate({gate: {"threshold": threshold, "blocking": True}, "permutations": 19})
    assert judged(gate, value, policy).refuses
    with pytest.raises(ConfigurationError, match=gate):
        require_sane(policy)


@pytest.mark.parametrize("name", ["checklist", "balanced", "strict"])
def test_every_named_policy_is_sane(name: str) -> None:
    require_sane(Gates.model_validate({"policy": name}))


@pytest.mark.parametrize("bound", [None, math.nan, math.inf])
def test_skill_without_a_level_fails(bound: float | None) -> None:
    measured = {"skill": Measurement(0.0, n=1000, standard_error=0.01, bound=bound)}
    result = next(one for one in evaluate(measured, Gates()) if one.name == "skill")
    assert (result.verdict, result.refuses, result.reason) == (Verdict.FAIL, True, "its bound was not measured")


def test_a_threshold_in_the_policy_is_no_way_around_the_level_of_the_look() -> None:
    lax = Gates(skill=GateRule(threshold=1.0))
    assert judged("skill", 0.05, lax).refuses
    assert judged("skill", 0.05, lax).threshold == LEVEL


def test_a_rule_that_names_one_key_keeps_its_gates_other_defaults() -> None:
    policy = Gates.model_validate(
        {"regime_volatile": {"not_enough_evidence_blocks": False}, "recommended_train_days": {"threshold": 120}}
    )
    assert policy.regime_volatile == GateRule(threshold=1.0, not_enough_evidence_blocks=False)
    assert policy.recommended_train_days == GateRule(threshold=120, blocking=False)
