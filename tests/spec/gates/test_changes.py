"""What would change each refusal, as literal sentences of literal figures."""

import pytest

from tidegate.bars.bars import parse_time
from tidegate.gates.changes import change
from tidegate.gates.evaluation import Measurement, evaluate
from tidegate.gates.result import GateResult, Verdict
from tidegate.gates.specifications import BY_NAME, SPECIFICATIONS, GateSpecification
from tidegate.strategy.gates import Gates

BUDGET_AT = parse_time("2027-03-01T00:00:00Z")


def result(name: str, observed: float | None, threshold: float | None, n: float = 200, **evidence: float) -> GateResult:
    specification = BY_NAME[name]
    return GateResult(
        name=name,
        title=specification.title,
        scope=specification.scope,
        observed=observed,
        n=int(n),
        threshold=threshold,
        comparison=specification.comparison,
        blocking=True,
        verdict=Verdict.FAIL,
        refuses=True,
        reason="x",
        evidence=dict(evidence),
    )


SKILL = {"sharpe": 2.0, "standard_error": 1.0, "days": 365.0}
CASES = [
    # 315 trades, 170 won: 58 % of 315 are 182.7, so 183
    (result("win_rate", 170 / 315, 0.58, 315), "needs 13 more wins among these 315 trades"),
    (result("sharpe", 1.2, 1.5), "needs a Sharpe ratio of at least 1.5: 25 % more profit at the same risk"),
    (result("sharpe", 0.1, 1.5), "needs a Sharpe ratio of at least 1.5: 15.0 times the profit at the same risk"),
    (result("sharpe", -0.4, 1.5), "needs a Sharpe ratio of at least 1.5; at these costs there is no profit to build on"),
    (result("max_drawdown", 0.20, 0.15), "needs a smaller fall: trades of 75 % of the size would have stayed below 15 %"),
    (result("trades", 57.0, 100.0, trades_per_day=0.5), "needs 43 more trades, about 86 more days at the present rate"),
    (result("trades", 99.0, 100.0), "needs 1 more trade"),
    (result("newest_fold_trades", 3.0, 5.0, trades_per_day=0.1), "needs 2 more trades, about 20 more days at the present rate"),
    (result("min_train_days", 55.5, 60.0), "needs 5 more days of bars in the training window"),
    (result("out_of_sample_folds", 2.0, 3.0), "needs 1 more whole test window: bars that reach further back, or time"),
    (result("regime_volatile", 0.8, 1.0), "needs 25 % more profit for the same losses in such a market"),
    # 1.6449 standard errors above zero are needed: 2.6383 where 1 was found at n days, or (2.6383 / 2)^2 as many days at 2
    (result("skill", 0.0228, 0.05, **SKILL | {"sharpe": 1.0}), "needs a Sharpe ratio of at least 1.7 at this length, or 623 more days at the present one"),
    (result("skill", 0.0228, 0.05 / 12, **SKILL), "needs a Sharpe ratio of at least 2.7 at this length, or 271 more days at the present one"),
    # (2.6383 / 0.5)^2 - 1 is 26.84 years more
    (
        result("skill", 0.3, 0.05 / 12, **SKILL | {"sharpe": 0.5}),
        "needs a Sharpe ratio of at least 2.7 at this length, or 27 more years at the present one",
    ),
    (
        result("skill", 0.6, 0.05, **SKILL | {"sharpe": -0.3}),
        "needs a Sharpe ratio of at least 1.7 at this length; a longer record does not help a ratio that is not above zero",
    ),
    (result("skill", 0.0228, 0.0, **SKILL, budget_returns_at=BUDGET_AT), "needs error budget: other looks have spent the year's until 2027-03-01T00:00:00Z"),
    (
        result("skill", 0.0228, 0.001, **SKILL, budget_returns_at=BUDGET_AT),
        (
            "needs a Sharpe ratio of at least 3.1 at this length, or 507 more days at the present one; "
            "from 2027-03-01T00:00:00Z on a look has its whole share again"
        ),
    ),
    (result("deflated_sharpe", 0.7, 0.95, benchmark_sharpe=1.5, standard_error=1.0, trials=1234), "needs a Sharpe ratio of at least 3.2: chance alone finds 1.5 in 1,234 trials"),
    (result("track_record", 0.5, 1.0, sharpe=1.0, days=365.0, needed_days=730.0), "needs 365 more days at the present ratio"),
    (result("track_record", 0.0, 1.0, sharpe=-0.1, days=365.0), "needs a Sharpe ratio above zero: no record is long enough without"),
    (result("track_record", 0.001, 1.0, sharpe=0.01, days=365.0, needed_days=365_000.0), "needs a higher Sharpe ratio: at this one a lifetime is no proof"),
    # the interval reaches 3 below a ratio of 2, so one of 3 would do, or 2.25 times the days
    (result("sharpe_lower", -1.0, 0.0, sharpe=2.0, days=365.0), "needs a Sharpe ratio of at least 3.0 at this length, or 457 more days at the present one"),
    # Wilson's lower end of 58 of 100 is 0.4821, of 60 is 0.5020
    (result("win_rate_lower", -0.0179, 0.0, 100, wins=58, break_even=0.5), "needs 2 more wins among these 100 trades at this payoff ratio"),
    (
        result("win_rate_lower", -0.5, 0.0, 5, wins=4, break_even=0.9),
        "cannot pass with 5 trades at this payoff ratio: needs more trades, or larger profits than losses",
    ),
    (result("cost_stress", -0.2, 0.0, break_even_multiple=1.31), "needs a profit that is left at 1.5 times the costs: it is gone at 1.31 times"),
    (result("cost_stress", -2.0, 0.0, break_even_multiple=-0.4), "needs a profit that is left at 1.5 times the costs: the trades lose even without costs"),
    (result("break_even_cost", 1.2, 1.5), "needs costs of at most 80 % of those paid, or 25 % more profit before costs"),
    (result("break_even_cost", -0.2, 1.5), "needs trades that earn something before costs"),
    (result("capacity", 0.5, 1.0, capacity=5000.0), "needs a capital of at most 5,000"),
    (result("capacity", 0.0, 1.0, capacity=0.0), "needs trades that earn something before market impact"),
    (result("random_entries", 0.8, 0.95), "needs to earn more than 95 % of the strategies with random entries, and beats 80 %"),
    (result("champion", 0.01, 0.05, champion_sharpe=2.0, floor=0.5), "needs a Sharpe ratio above 2.1 on this window, against 2.0 of the champion"),
    (result("champion_difference", 0.3, 0.05, difference=0.8, standard_error=1.5), "needs a Sharpe ratio about 2.5 above the champion's on this window, was 0.8"),
    (result("latency_p95_ms", 12.0, 10.0), "needs a smaller model, or a machine that is faster or less busy"),
    (result("no_look_ahead", 1.0, 0.0), "is a fault and no matter of evidence: its cause has to be found and mended"),
    (result("too_good_sharpe", 9.0, 5.0), "needs a person who has looked for a leak, and promotes it by hand"),
    (result("costs_above_zero", 0.0, 0.0), "needs more than 0, was 0"),
    (result("superior", 0.2, 0.05), "needs at most 0.05, was 0.2"),
]  # fmt: skip


@pytest.mark.parametrize(("found", "sentence"), CASES, ids=lambda case: getattr(case, "name", ""))
def test_the_sentence(found: GateResult, sentence: str) -> None:
    assert change(found) == sentence


@pytest.mark.parametrize("specification", SPECIFICATIONS, ids=lambda each: each.name)
def test_a_gate_whose_value_is_missing_promises_nothing(specification: GateSpecification) -> None:
    found = result(specification.name, None, 1.0)
    assert change(found) in {"", "needs forecasts that models without any knowledge of the labels do not reach"}


@pytest.mark.parametrize("specification", SPECIFICATIONS, ids=lambda each: each.name)
def test_every_gate_that_fails_on_a_figure_says_something(specification: GateSpecification) -> None:
    found = result(specification.name, 0.5, 0.6)
    assert change(found).startswith(("needs ", "is ", "cannot "))


def test_a_pass_needs_no_change() -> None:
    assert change(result("sharpe", 2.0, 1.5).model_copy(update={"verdict": Verdict.PASS})) == ""


def test_what_the_champion_has_seen_waits_for_the_next_window() -> None:
    seen = result("champion", None, 0.05).model_copy(update={"reason": "champion has seen this window: v3 knows bars"})
    assert change(seen) == "needs a test window that the champion has not seen, as the next scheduled retraining has"


def test_too_few_observations_are_counted() -> None:
    found = next(
        each for each in evaluate({"regime_ranging": Measurement(2.0, n=12)}, Gates()) if each.name == "regime_ranging"
    )
    assert found.change == "needs 8 more trades to be judged at all"


def test_labels_that_were_not_permuted_say_how_to_measure_it() -> None:
    unmeasured = Measurement(None, n=0, ruling=Verdict.NOT_ENOUGH_EVIDENCE, reason="not measured")
    found = next(each for each in evaluate({"permuted_labels": unmeasured}, Gates()) if each.name == "permuted_labels")
    assert (found.refuses, found.change) == (False, "needs gates.permutations to be 19 or more")


@pytest.mark.parametrize(("ratio", "level"), [(1.0, 0.05), (2.0, 0.05 / 12), (0.8, 0.01)])
def test_what_skill_asks_for_is_enough(ratio: float, level: float) -> None:
    """The named ratio passes at this length, the named days at this ratio, and one day less does not."""
    from scipy.stats import norm

    words = change(result("skill", 0.3, level, sharpe=ratio, standard_error=1.0, days=365.0))
    needed = float(words.split("at least ")[1].split(" ")[0])
    assert norm.sf(needed) <= level < norm.sf(needed - 0.1)
    days = int(words.split("or ")[1].split(" ")[0].replace(",", ""))
    assert norm.sf(ratio * ((365 + days) / 365) ** 0.5) <= level < norm.sf(ratio * ((364 + days) / 365) ** 0.5)
