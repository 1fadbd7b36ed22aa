"""Measurements of the statistical gates, against the functions they stand on and against figures by hand."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm
from tests.property.features.test_rows import walk

from tidegate.backtest.reference import run
from tidegate.backtest.result import Backtest, Floats
from tidegate.bars.interval import DAY_MS
from tidegate.gates.evaluation import Measurement, evaluate
from tidegate.gates.result import GateResult, Verdict
from tidegate.pipeline.evidence import (
    beats_champion,
    beats_random_entries,
    deflated,
    overfitting,
    ratio_interval,
    skill,
)
from tidegate.statistics.spending import Allowance
from tidegate.strategy.gates import Gates
from tidegate.strategy.policies import built_in
from tidegate.strategy.strategy import Costs, Strategy

BARS = walk(3, 600)
UP = np.where(BARS.close[1:] > BARS.open[1:], 1, -1).astype(np.int8)  # the next bar's direction: wins every time
STRATEGY = Strategy.model_validate(
    {
        "version": 1,
        "name": "simulated-x",
        "kind": "simulated",
        "symbols": ["SIM/USD"],
        "interval": "1h",
        "source": {"type": "simulated"},
    }
)
SCHEDULED = 0.05 / 12


def backtest(kind: str) -> Backtest:
    target = {"idle": np.zeros(600), "wins": np.append(UP, 0), "loses": -np.append(UP, 0)}[kind].astype(np.int8)
    return run(BARS, target, Costs(fee_bps=0.1), 1000.0, np.zeros(600, np.int8))


def judged(measured: Measurement, gates: Gates, name: str = "skill") -> GateResult:
    return next(each for each in evaluate({name: measured}, gates) if each.name == name)


def by_skill(p_value: float, level: float, gates: Gates | None = None, returns_at: int | None = None) -> GateResult:
    gates = gates or Gates()
    raw = Measurement(
        p_value, n=8760, standard_error=1.0, evidence={"sharpe": 2.0, "standard_error": 1.0, "days": 365.0}
    )
    return judged(skill(raw, Allowance(level, 0.05, 0.05 - level, returns_at), Gates(), gates), gates)


@pytest.mark.parametrize(
    ("p_value", "level", "verdict"),
    [
        (SCHEDULED, SCHEDULED, Verdict.PASS),
        (SCHEDULED * 1.001, SCHEDULED, Verdict.FAIL),
        (0.0, SCHEDULED, Verdict.PASS),
        (0.0, 0.0, Verdict.FAIL),
        (math.nan, SCHEDULED, Verdict.FAIL),
        (0.0005, 0.001, Verdict.PASS),
        (0.002, 0.001, Verdict.FAIL),
    ],
)
def test_skill_is_tested_at_the_level_of_the_look(p_value: float, level: float, verdict: Verdict) -> None:
    assert by_skill(p_value, level).verdict is verdict


def test_an_empty_budget_refuses_whatever_came_out_and_names_the_day_on_which_it_returns() -> None:
    found = by_skill(0.0, 0.0, returns_at=20_000 * DAY_MS)
    assert found.refuses
    assert found.reason == "the year's error budget is spent by other looks (gates.yearly_error)"
    assert found.change == "needs error budget: other looks have spent the year's until 2024-10-04T00:00:00Z"


@pytest.mark.parametrize(("level", "power"), [(SCHEDULED, 0.2617), (0.05, 0.6388), (0.0, 0.0)])
def test_power_of_skill_is_that_of_a_true_ratio_of_two_at_this_length_and_level(level: float, power: float) -> None:
    found = by_skill(0.5, level)
    assert found.power == pytest.approx(power, abs=1e-4)
    assert found.power == pytest.approx(float(norm.sf(norm.isf(level) - 2.0)), abs=1e-9)
    assert found.power_at == 2.0


def test_another_policy_has_the_same_share_of_its_own_schedule_left() -> None:
    strict = built_in()["strict"]
    assert by_skill(0.5, SCHEDULED, strict).threshold == pytest.approx(0.01 / 12)
    assert by_skill(0.5, SCHEDULED / 2, strict).threshold == pytest.approx(0.01 / 24)
    assert by_skill(0.5, 0.0, strict).refuses


def test_deflation_counts_every_trial_of_every_run() -> None:
    whole = backtest("wins")
    ratios = {f"t{number}": value for number, value in enumerate((0.5, -0.2, 1.4, math.nan, 0.1))}
    found = deflated(whole, ratios, STRATEGY, 1.0, 600.0)
    assert found.n == 5
    assert found.evidence["trials"] == 5
    # False strategy theorem: sqrt(V) ((1 - g) z(1 - 1/5) + g z(1 - 1/(5 e))) of the four known ratios
    spread = np.std([0.5, -0.2, 1.4, 0.1], ddof=1)
    expected = spread * (0.4227843351 * norm.ppf(0.8) + 0.5772156649 * norm.ppf(1 - 1 / (5 * math.e)))
    assert found.evidence["benchmark_sharpe"] == pytest.approx(expected)
    more = deflated(whole, ratios | {f"u{number}": 0.3 for number in range(500)}, STRATEGY, 1.0, 600.0)
    assert more.evidence["trials"] == 505


def test_trials_on_fewer_bars_are_brought_to_the_records_length() -> None:
    """Without skill, ratios of a quarter of the bars spread twice as wide."""
    ratios = {"a": 2.0, "b": -1.0, "c": 0.5}
    whole, quarter = (deflated(backtest("wins"), ratios, STRATEGY, 1.0, bars).evidence for bars in (600.0, 150.0))
    assert isinstance(whole["benchmark_sharpe"], float)
    assert quarter["benchmark_sharpe"] == pytest.approx(whole["benchmark_sharpe"] / 2)
    nowhere = deflated(backtest("wins"), ratios, STRATEGY, 1.0, math.nan)
    assert judged(nowhere, built_in()["strict"], "deflated_sharpe").refuses


@pytest.mark.parametrize("ratios", [{}, {"a": math.nan, "b": math.nan}])
def test_deflation_without_any_known_trial_fails(ratios: dict[str, float]) -> None:
    found = deflated(backtest("wins"), ratios, STRATEGY, 1.0, 600.0)
    assert judged(found, built_in()["strict"], "deflated_sharpe").refuses


def test_deflation_of_a_model_that_never_traded_fails() -> None:
    found = deflated(backtest("idle"), {"a": 1.0, "b": 0.5}, STRATEGY, 1.0, 600.0)
    assert judged(found, built_in()["strict"], "deflated_sharpe").refuses


@pytest.mark.parametrize(
    ("challenger", "champion", "passes"),
    [
        ("wins", "loses", True),
        ("loses", "wins", False),
        ("wins", "idle", True),
        ("loses", "idle", False),
        ("idle", "loses", False),
        ("idle", "idle", False),
        ("wins", "wins", False),
    ],
)
def test_the_champion_is_beaten_by_test(challenger: str, champion: str, passes: bool) -> None:
    found = judged(
        beats_champion(backtest(challenger), backtest(champion), STRATEGY), built_in()["strict"], "champion_difference"
    )
    assert (found.verdict is Verdict.PASS) is passes
    assert found.refuses is not passes


def fold(*returns: Floats, times: tuple[int, ...] | None = None) -> Any:  # noqa: ANN401  as much of a fold as is looked at
    trials = [SimpleNamespace(closed_at=np.arange(len(each)), net_return=each) for each in returns]
    if times is not None:
        trials[times[0]].closed_at = np.arange(times[1])
    return SimpleNamespace(trials=trials)


def noise(seed: int, mean: float = 0.0) -> Floats:
    return np.random.default_rng(seed).normal(mean, 1.0, 640)


def test_overfitting_is_the_mean_over_the_folds_choices() -> None:
    lasting = fold(noise(1, 1.0), noise(2), noise(3))
    assert overfitting((lasting,)).value == 0.0
    both = overfitting((lasting, fold(*(noise(seed) for seed in range(10, 18)))))
    assert both.n == 11
    assert both.value is not None
    assert 0.0 < both.value < 0.5
    assert both.evidence["highest_of_a_fold"] == pytest.approx(2 * both.value)


def test_a_trial_without_returns_of_the_same_bars_is_left_out() -> None:
    found = overfitting((fold(noise(1, 1.0), noise(2), np.empty(0)),))
    assert (found.value, found.n) == (0.0, 2)


@pytest.mark.parametrize("folds", [(fold(noise(1)),), (fold(noise(1), noise(2)), fold(noise(1)))])
def test_a_fold_that_cannot_be_judged_fails_the_whole(folds: tuple[Any, ...]) -> None:
    assert judged(overfitting(folds), built_in()["strict"], "overfitting").refuses


def test_no_trades_beat_no_random_entries() -> None:
    found = judged(beats_random_entries(None), built_in()["strict"], "random_entries")
    assert (found.refuses, found.reason) == (True, "no trades to compare with")


def test_the_interval_of_a_ratio_holds_the_ratio_and_narrows_with_more_trades() -> None:
    rng = np.random.default_rng(5)
    gained, paid = rng.exponential(2.0, 1600), np.full(1600, 1.0)
    few, many = ratio_interval(gained[:100], paid[:100], 1), ratio_interval(gained, paid, 1)
    assert few is not None
    assert many is not None
    assert few[0] < gained[:100].mean() < few[1]
    assert many[0] < gained.mean() < many[1]
    assert 3.0 < (few[1] - few[0]) / (many[1] - many[0]) < 5.5  # the root of 16 is 4
    assert ratio_interval(gained, paid, 1) == many


def test_the_interval_of_a_ratio_without_anything_below_has_no_ends() -> None:
    found = ratio_interval(np.ones(30), np.zeros(30), 1)
    assert found is not None
    assert all(math.isnan(end) for end in found)
    assert ratio_interval(np.empty(0), np.empty(0), 1) is None
