"""Many worlds at once are judged as `gates.evaluation` judges each."""

import math
from collections.abc import Mapping

import numpy as np
import pytest
from tests.calibration_worlds import FIGURES, plan, pool_of

from tidegate.calibration import measuring
from tidegate.calibration.draws import draw_together
from tidegate.calibration.figures import with_sharpe
from tidegate.calibration.measuring import MODELLED, NO_RULING, RULED_PASS, Measured, Rival
from tidegate.calibration.series import ratios
from tidegate.calibration.verdicts import bars, judge
from tidegate.calibration.worlds import levels, measure_pool
from tidegate.gates.evaluation import Measurement, evaluate
from tidegate.gates.result import Verdict
from tidegate.strategy.gates import Gates
from tidegate.strategy.policies import built_in

WORLDS = 150


def measured_worlds(sharpe: float, seed: int) -> dict[str, Measured]:
    """Everything a look measures, with a champion in two worlds of three, and one that has seen the window in some."""
    rng = np.random.default_rng(seed)
    pool = pool_of(sharpe, WORLDS, seed)
    skilled = with_sharpe(FIGURES, sharpe)
    _, other = draw_together(rng, (skilled, skilled), WORLDS, 30)
    number = np.arange(WORLDS)
    rival = Rival(
        number % 3 > 0, other.returns, (other.wins + other.losses).sum(axis=1), np.where(number % 7 > 0, 30.0, 10.0)
    )
    measured = measure_pool(pool, ratios(pool.returns, 365.0), plan(), 0)
    return measured | measuring.contest(pool, rival, FIGURES, built_in()["balanced"])


def one(measured: Mapping[str, Measured], world: int, level: float) -> dict[str, Measurement]:
    """A world's measurements as the pipeline takes them."""
    found = {}
    for name, each in measured.items():
        ruling = NO_RULING if each.ruling is None else int(each.ruling[world])
        verdict = None if ruling == NO_RULING else Verdict.PASS if ruling == RULED_PASS else Verdict.FAIL
        found[name] = Measurement(
            float(each.value[world]),
            n=None if each.n is None else int(each.n[world]),
            standard_error=None if each.error is None else float(each.error[world]),
            ruling=verdict,
            bound=level if name == "skill" else None,
        )
    return found


@pytest.mark.parametrize(("sharpe", "seed"), [(0.0, 1), (2.0, 2), (4.0, 3)])
@pytest.mark.parametrize("policy", ["balanced", "checklist", "strict"])
def test_each_world_is_judged_as_evaluate_judges_it(policy: str, sharpe: float, seed: int) -> None:
    gates = built_in()[policy]
    level = levels(gates, 1)[0]
    measured = measured_worlds(sharpe, seed)
    verdicts = judge(measured, bars(gates), level)
    for world in range(WORLDS):
        results = {each.name: each for each in evaluate(one(measured, world, level), gates) if each.name in measured}
        assert {name: bool(passed[world]) for name, passed in verdicts.passed.items()} == {
            name: result.verdict is Verdict.PASS for name, result in results.items()
        }
        assert {name: bool(refuses[world]) for name, refuses in verdicts.refuses.items()} == {
            name: result.refuses for name, result in results.items()
        }
        assert bool(verdicts.promote[world]) == (not any(result.refuses for result in results.values()))


def test_the_worlds_compared_have_verdicts_of_both_kinds() -> None:
    gates = built_in()["strict"]
    passed: dict[str, set[bool]] = {}
    for sharpe, seed in ((0.0, 1), (2.0, 2), (4.0, 3)):
        found = judge(measured_worlds(sharpe, seed), bars(gates), levels(gates, 1)[0]).passed
        for name, mask in found.items():
            passed.setdefault(name, set()).update(mask.tolist())
    constant = {"out_of_sample_folds", "costs_above_zero", "trades", "newest_fold_trades", "too_good_sharpe"}
    assert {name for name, seen in passed.items() if len(seen) == 1} <= constant | {"too_good_win_rate"}
    assert set(passed) == set(MODELLED)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e9, -1e9])
def test_what_cannot_be_never_passes(value: float) -> None:
    gates = built_in()["strict"]
    for name in set(MODELLED) - {"trades", "newest_fold_trades", "break_even_cost", "regime_trending", "regime_ranging", "regime_volatile", "champion", "track_record"}:  # fmt: skip
        measured = {name: Measured(np.array([value]), np.array([100.0]), np.array([1.0]))}
        assert judge(measured, bars(gates), 0.01).promote.tolist() == [False], name


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", MODELLED)
def test_what_is_no_number_never_passes(name: str, value: float) -> None:
    measured = {name: Measured(np.array([value]), np.array([100.0]), np.array([1.0]))}
    assert not judge(measured, bars(built_in()["strict"]), 0.01).passed[name][0]


def test_a_spent_budget_lets_nothing_pass() -> None:
    measured = {"skill": Measured(np.array([0.0, 1e-12]))}
    assert judge(measured, bars(built_in()["balanced"]), 0.0).promote.tolist() == [False, False]
    assert judge(measured, bars(built_in()["balanced"]), 1e-6).promote.tolist() == [True, True]


def test_too_little_evidence_refuses_as_the_rule_says() -> None:
    few = {"regime_ranging": Measured(np.array([2.0]), np.array([5.0]))}
    rule = {"regime_ranging": {"not_enough_evidence_blocks": False}}
    assert judge(few, bars(Gates()), 0.01).promote.tolist() == [False]
    assert judge(few, bars(Gates.model_validate(rule)), 0.01).promote.tolist() == [True]
    unknown = {"regime_ranging": Measured(np.array([2.0]))}
    assert judge(unknown, bars(Gates.model_validate(rule)), 0.01).promote.tolist() == [False]


@pytest.mark.parametrize("policy", ["balanced", "strict"])
def test_the_levels_of_monthly_looks_never_end(policy: str) -> None:
    gates = built_in()[policy]
    assert levels(gates, 40) == pytest.approx([gates.yearly_error / 12] * 40)


def test_more_looks_than_the_budget_was_laid_out_for_get_nothing() -> None:
    gates = built_in()["balanced"].model_copy(update={"looks_per_year": 6})
    found = levels(gates, 14)
    assert found[:6] == pytest.approx([0.05 / 6] * 6)
    assert found[6:12] == (0.0,) * 6
    assert found[12] == pytest.approx(0.05 / 6)
