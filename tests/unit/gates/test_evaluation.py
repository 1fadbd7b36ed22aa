"""What a gate's result carries besides its verdict: evidence, power, interval, words."""

import math

import pytest

from tidegate.errors import ConfigurationError
from tidegate.gates import evaluation
from tidegate.gates.evaluation import Measurement, compares, decide, evaluate
from tidegate.gates.result import Decision, GateResult, Verdict
from tidegate.gates.specifications import SPECIFICATIONS, Comparison
from tidegate.strategy.gates import GateRule, Gates

NAMES = [specification.name for specification in SPECIFICATIONS]


def judged(gate: str, measured: Measurement, policy: Gates | None = None) -> GateResult:
    return next(result for result in evaluate({gate: measured}, policy or Gates()) if result.name == gate)


def test_names_are_unique_and_each_has_a_rule_in_the_policy() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert set(Gates().rules()) == set(NAMES)
    assert [result.name for result in evaluate({}, Gates())] == NAMES


@pytest.mark.parametrize(
    ("comparison", "under", "at", "over"),
    [
        (">=", False, True, True),
        (">", False, False, True),
        ("<=", True, True, False),
        ("<", True, False, False),
        ("==", False, True, False),
    ],
)
def test_comparisons(comparison: Comparison, under: bool, at: bool, over: bool) -> None:
    assert [compares(value, comparison, 1.0) for value in (0.9, 1.0, 1.1)] == [under, at, over]
    assert not compares(math.nan, comparison, 1.0)
    assert not compares(1.0, comparison, math.nan)


def test_a_ruling_decides_whatever_the_value() -> None:
    measured = Measurement(9.0, ruling=Verdict.FAIL, reason="champion has seen this window")
    result = judged("champion", measured)
    assert (result.verdict, result.reason, result.refuses) == (Verdict.FAIL, "champion has seen this window", True)
    first = judged("champion", Measurement(None, ruling=Verdict.PASS, reason="first"))
    assert (first.verdict, first.observed, first.refuses) == (Verdict.PASS, None, False)


def test_what_is_not_finite_is_kept_out_of_the_record_and_told_in_words() -> None:
    result = judged("sharpe", Measurement(math.inf, interval=(1.0, math.nan)))
    assert (result.observed, result.interval, result.verdict) == (None, None, Verdict.FAIL)
    assert "is inf" in result.reason
    assert "was not measured" in next(r for r in evaluate({}, Gates()) if r.name == "sharpe").reason


def test_the_reason_names_value_bound_and_setting() -> None:
    assert judged("win_rate", Measurement(0.5)).reason == "is 0.5, wanted >= 0.58 (gates.win_rate)"
    assert judged("win_rate", Measurement(58.0)).reason.startswith("58 cannot be: possible is 0 to 1")
    result = judged("win_rate", Measurement(0.5), Gates(win_rate=GateRule(threshold=None)))
    assert result.reason == "has no threshold (gates.win_rate.threshold)"


@pytest.mark.parametrize(("error", "power"), [(0.02, 0.8413), (0.01, 0.9772), (0.2, 0.5398)])
def test_power_is_the_chance_of_a_model_as_good_as_stated(error: float, power: float) -> None:
    result = judged("win_rate", Measurement(0.6, n=500, standard_error=error))
    assert result.power_at == 0.60
    assert result.power == pytest.approx(power, abs=1e-4)


@pytest.mark.parametrize("error", [None, 0.0, -1.0, math.nan, math.inf])
def test_power_without_a_sane_standard_error_is_unknown(error: float | None) -> None:
    assert judged("win_rate", Measurement(0.6, standard_error=error)).power is None


@pytest.mark.parametrize("error", [None, -0.1, math.nan, math.inf])
def test_too_good_needs_a_sane_standard_error(error: float | None) -> None:
    result = judged("too_good_win_rate", Measurement(0.5, standard_error=error))
    assert (result.verdict, result.threshold) == (Verdict.FAIL, None)
    assert result.reason == "its standard error is not known"


def test_too_good_knows_the_number_of_trades() -> None:
    few, many = (judged("too_good_win_rate", Measurement(0.70, standard_error=error)) for error in (0.05, 0.01))
    assert (few.verdict, many.verdict) == (Verdict.PASS, Verdict.FAIL)
    assert few.threshold == pytest.approx(0.62 + 3 * 0.05)
    stricter = Gates(too_good_standard_errors=1.0)
    assert judged("too_good_win_rate", Measurement(0.70, standard_error=0.05), stricter).verdict is Verdict.FAIL


@pytest.mark.parametrize("n", [0, 19])
def test_a_regime_is_not_judged_on_few_trades(n: int) -> None:
    result = judged("regime_volatile", Measurement(5.0, n=n))
    assert (result.verdict, result.refuses) == (Verdict.NOT_ENOUGH_EVIDENCE, True)
    assert result.reason == f"{n} trades, at least 20 are needed to judge"


def test_evidence_is_kept() -> None:
    assert judged("champion", Measurement(0.1, evidence={"champion_version": 3})).evidence == {"champion_version": 3}


def passing() -> dict[str, Measurement]:
    values = {
        "min_train_days": 90.0,
        "recommended_train_days": 90.0,
        "out_of_sample_folds": 6.0,
        "costs_above_zero": 6.0,
        "win_rate": 0.6,
        "sharpe": 1.8,
        "max_drawdown": 0.1,
        "trades": 500.0,
        "newest_fold_sharpe": 1.0,
        "newest_fold_trades": 80.0,
        "regime_trending": 1.2,
        "regime_ranging": 1.2,
        "regime_volatile": 1.2,
        "too_good_win_rate": 0.6,
        "too_good_sharpe": 1.8,
        "latency_p95_ms": 0.4,
        "champion": 0.2,
        "skill": 0.001,
        "deflated_sharpe": 0.97,
        "track_record": 1.5,
        "sharpe_lower": 0.4,
        "win_rate_lower": 0.03,
        "cost_stress": 1.2,
        "break_even_cost": 2.5,
        "capacity": 40.0,
        "random_entries": 0.99,
    }
    return {name: Measurement(values.get(name, 0.0), n=500, standard_error=0.02, bound=0.004) for name in NAMES}


@pytest.mark.parametrize("gate", [name for name, rule in Gates().rules().items() if rule.blocking])
def test_each_gate_alone_keeps_a_model_out(gate: str) -> None:
    assert decide("s", "d", evaluate(passing(), Gates())).promote
    for broken in ({gate: Measurement(math.nan, n=500)}, {gate: Measurement(None)}):
        decision = decide("s", "d", evaluate(passing() | broken, Gates()))
        assert not decision.promote
        assert [result.name for result in decision.refusals] == [gate]
    missing = {name: measured for name, measured in passing().items() if name != gate}
    assert not decide("s", "d", evaluate(missing, Gates())).promote


def test_summaries() -> None:
    assert decide("s", "d", evaluate(passing(), Gates())).summary == f"all {len(NAMES)} gates passed"
    advisory = Gates(win_rate=GateRule(threshold=0.7, blocking=False))
    decision = decide("s", "d", evaluate(passing(), advisory))
    assert decision.promote
    assert decision.summary == f"{len(NAMES) - 1} gates passed, 1 advisory did not"
    refused = decide("s", "d", evaluate(passing() | {"trades": Measurement(3.0)}, Gates()))
    assert refused.summary == f"1 of {len(NAMES)} gates refuse: Enough trades: is 3, wanted >= 100 (gates.trades)"


def test_a_decision_round_trips() -> None:
    decision = decide("s", "d" * 64, evaluate(passing(), Gates()))
    assert Decision.model_validate_json(decision.model_dump_json()) == decision


def test_a_gate_that_nobody_specified_is_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "SPECIFICATIONS", SPECIFICATIONS[1:])
    with pytest.raises(ConfigurationError, match=f"different gates.*{SPECIFICATIONS[0].name}"):
        evaluate({}, Gates())
