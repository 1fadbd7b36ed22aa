"""What must hold for statistics of any returns."""

import itertools
import math
from functools import partial

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.unit.backtest.samples import backtest_of, trades_of

from tidegate.backtest.result import Floats
from tidegate.statistics.baselines import permutation_p_value
from tidegate.statistics.bootstrap import metric_intervals
from tidegate.statistics.costs import cost_stress
from tidegate.statistics.overfitting import probability_of_overfitting
from tidegate.statistics.paired import sharpe_difference
from tidegate.statistics.sharpe import (
    deflated_sharpe,
    expected_maximum_ratio,
    minimum_track_record,
    moments,
    power,
    probabilistic_sharpe,
    skill_p_value,
)
from tidegate.statistics.superior import superior_ability

seeds = st.integers(0, 2**32 - 1)
scales = st.sampled_from([1e-4, 0.5, 3.0, 1e4])
same = partial(pytest.approx, rel=1e-6, abs=1e-9, nan_ok=True)


@st.composite
def returns(draw: st.DrawFn, columns: int | None = None) -> Floats:
    """Returns of several kinds: normal, skewed, mostly zero, rounded."""
    chance = np.random.default_rng(draw(seeds))
    n = draw(st.integers(4, 120))
    shape = (n,) if columns is None else (n, columns)
    made = chance.standard_normal(shape)
    kind = draw(st.sampled_from(["normal", "skewed", "mostly zero", "rounded"]))
    if kind == "skewed":
        made = np.exp(made) - 1.5
    elif kind == "mostly zero":
        made = np.where(chance.random(shape) < 0.3, made, 0.0)
    elif kind == "rounded":
        made = np.round(made)
    return np.asarray(0.01 * (made + draw(st.sampled_from([-0.5, 0.0, 0.2]))), np.float64)


@given(returns(), scales)
def test_the_size_of_the_stake_changes_no_statistic(made: Floats, scale: float) -> None:
    assert skill_p_value(scale * made, 365.0) == same(skill_p_value(made, 365.0))
    assert probabilistic_sharpe(scale * made, 365.0, 0.5) == same(probabilistic_sharpe(made, 365.0, 0.5))
    # Where wins and losses cancel out but for rounding, one is infinite and the other merely without end.
    lengths = [min(minimum_track_record(each, 365.0), 1e20) for each in (scale * made, made)]
    assert lengths[0] == same(lengths[1])


@given(returns(), st.sampled_from([1.0, 52.0, 365.0, 8760.0]))
def test_without_a_benchmark_the_year_does_not_matter(made: Floats, year: float) -> None:
    assert skill_p_value(made, year) == same(skill_p_value(made, 365.0))
    assert probabilistic_sharpe(made, year) == same(probabilistic_sharpe(made, 365.0))


@given(returns())
def test_probabilities_are_probabilities_and_fall_with_the_benchmark(made: Floats) -> None:
    assume(not math.isnan(moments(made).ratio))
    p = [skill_p_value(made, 365.0, benchmark) for benchmark in (-1.0, 0.0, 2.0)]
    probability = [probabilistic_sharpe(made, 365.0, benchmark) for benchmark in (-1.0, 0.0, 2.0)]
    assert all(math.isnan(value) or 0.0 <= value <= 1.0 for value in p + probability)
    assert p == sorted(p) or any(map(math.isnan, p))
    assert probability == sorted(probability, reverse=True) or any(map(math.isnan, probability))


@given(returns(), seeds, st.integers(2, 30))
def test_more_trials_never_help(made: Floats, seed: int, count: int) -> None:
    assume(not math.isnan(probabilistic_sharpe(made, 365.0)))
    ratios = 0.1 * np.random.default_rng(seed).standard_normal(count)
    found = [deflated_sharpe(made, ratios, trials).probability for trials in (count, 2 * count, 10 * count)]
    assert found == sorted(found, reverse=True)
    assert found[0] <= probabilistic_sharpe(made, 365.0) + 1e-12
    highest = [expected_maximum_ratio(0.01, trials) for trials in range(1, count)]
    assert highest == sorted(highest)


@given(st.floats(-3, 6), st.floats(0.1, 5), st.floats(1e-6, 0.5), st.floats(1.1, 3))
def test_power_grows_with_skill_data_and_level(true: float, error: float, level: float, factor: float) -> None:
    found = power(true, error, level)
    assert 0.0 <= found <= 1.0
    assert power(true + 0.1, error, level) >= found
    assert power(true, error, min(level * factor, 0.9)) >= found
    if true > 0:
        assert power(true, error / factor, level) >= found - 1e-12
    assert power(0.0, error, level) == pytest.approx(level)


@given(returns(), st.lists(st.floats(0, 4), min_size=2, max_size=5))
def test_dearer_is_never_better(made: Floats, multiples: list[float]) -> None:
    backtest = backtest_of(made.tolist(), trades_of([1.0]), cost=0.001)
    found = cost_stress(backtest, sorted(multiples), 365.0)
    totals, ratios = [each.total_return for each in found], [each.sharpe for each in found]
    assert all(after <= before + 1e-12 for before, after in itertools.pairwise(totals))
    assert all(math.isnan(each) for each in ratios) or all(
        after <= before + 1e-9 for before, after in itertools.pairwise(ratios)
    )


@given(returns(columns=2), scales, seeds)
def test_a_difference_has_a_sign_and_no_stake(made: Floats, scale: float, seed: int) -> None:
    one, other = made.T
    found = sharpe_difference(one, other, 365.0, seed=seed, draws=30)
    turned = sharpe_difference(other, scale * one, 365.0, seed=seed, draws=30)
    if math.isnan(found.p_value):
        assert math.isnan(turned.p_value)
        return
    assert 0.0 < found.p_value <= 1.0
    assert found.low <= found.difference <= found.high
    assert turned.difference == pytest.approx(-found.difference)
    assert turned.standard_error == pytest.approx(found.standard_error)


@given(returns(columns=3), seeds)
def test_bounds_of_the_test_over_many_hold(made: Floats, seed: int) -> None:
    found = superior_ability(np.zeros(len(made)), made, seed=seed, draws=30)
    if math.isnan(found.consistent):
        return
    assert 0.0 < found.lower <= found.consistent <= found.upper <= 1.0


@given(returns(columns=4), st.permutations(range(4)), scales)
def test_the_order_and_stake_of_trials_do_not_matter(made: Floats, order: list[int], scale: float) -> None:
    found = probability_of_overfitting(made, 4).probability
    assert math.isnan(found) or 0.0 <= found <= 1.0
    continuous = len(np.unique(made)) == made.size
    if continuous:  # of trials that are equally good either may be chosen
        assert probability_of_overfitting(scale * made[:, order], 4).probability == pytest.approx(found, nan_ok=True)


@given(returns(), seeds)
def test_intervals_have_two_ends_and_bounds(made: Floats, seed: int) -> None:
    net = 1000.0 * made[made != 0]
    found = metric_intervals(backtest_of(made.tolist(), trades_of(net.tolist())), 365.0, seed=seed, draws=40)
    for name, each in found.items():
        assert math.isnan(each.low) or math.isnan(each.high) or each.low <= each.high, name
    for name in ("win_rate", "max_drawdown"):
        assert math.isnan(found[name].low) or found[name].low >= 0.0
    assert math.isnan(found["win_rate"].high) or found["win_rate"].high <= 1.0


@given(st.floats(-2, 2), st.lists(st.floats(-2, 2) | st.just(math.nan), max_size=20))
def test_a_permutation_p_value_falls_with_the_result(observed: float, permuted: list[float]) -> None:
    p = permutation_p_value(observed, np.array(permuted))
    assert 1 / (1 + len(permuted)) <= p <= 1.0
    assert permutation_p_value(observed + 0.5, np.array(permuted)) <= p
