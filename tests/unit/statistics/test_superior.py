import math

import numpy as np
import pytest
from arch.bootstrap import SPA

from tidegate.backtest.result import Floats
from tidegate.errors import DataError
from tidegate.statistics.bootstrap import block_length, stationary_rows
from tidegate.statistics.superior import Superior, _standard_errors, superior_ability


def noise(n: int, k: int, seed: int) -> Floats:
    return np.random.default_rng(seed).standard_normal((n, k))


def plainly(excess: Floats, draws: int, seed: int) -> tuple[float, float, float]:
    """Hansen's steps, one resample after another."""
    n, k = excess.shape
    block = max(block_length(column) for column in excess.T)
    error = _standard_errors(excess, block)
    mean = excess.mean(axis=0)
    observed = max(0.0, *(mean[column] / error[column] for column in range(k)))
    bound = -math.sqrt(2.0 * math.log(math.log(n)))
    reached = [0, 0, 0]
    for rows in stationary_rows(n, block, draws, np.random.default_rng(seed)):
        drawn = excess[rows]
        own = error * drawn.std(axis=0) / excess.std(axis=0)
        for kind in range(3):
            highest = 0.0
            for column in range(k):
                centre = mean[column]
                if kind == 0:
                    centre = max(centre, 0.0)
                elif kind == 1 and mean[column] / error[column] < bound:
                    centre = 0.0
                highest = max(highest, (drawn[:, column].mean() - centre) / own[column])
            reached[kind] += highest >= observed
    lower, consistent, upper = ((1 + count) / (1 + draws) for count in reached)
    return lower, consistent, upper


@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_the_steps_written_down(seed: int) -> None:
    excess = noise(120, 4, seed) + np.array([0.1, 0.0, -0.05, -0.6])
    found = superior_ability(np.zeros(120), excess, seed=seed, draws=200)
    assert (found.lower, found.consistent, found.upper) == pytest.approx(plainly(excess, 200, seed))


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_arch_where_all_err_alike(seed: int) -> None:
    # arch compares means that are not divided by their errors, so the challengers get equal ones here.
    n = 600
    excess = noise(n, 5, seed) + np.array([0.06, 0.03, 0.0, -0.05, -0.5])
    block = max(block_length(column) for column in excess.T)
    excess /= _standard_errors(excess, block) * math.sqrt(n)
    benchmark = noise(n, 1, 100 + seed)[:, 0]
    found = superior_ability(benchmark, benchmark[:, None] + excess, seed=1, draws=2000)
    other = SPA(-benchmark, -(benchmark[:, None] + excess), block_size=block, reps=1000, seed=2)
    other.compute()
    expected = other.pvalues
    for name in ("lower", "consistent", "upper"):
        # Two independent counts of a thousand and more draws, four standard errors.
        assert getattr(found, name) == pytest.approx(
            float(expected[name]), abs=4 * math.sqrt(0.25 / 1000 + 0.25 / 2000)
        )


def test_standard_errors_of_independent_and_of_following_returns() -> None:
    x = noise(4000, 1, 1)
    following = x.copy()
    following[1:] += 0.5 * x[:-1]
    assert _standard_errors(x, 1.0) == pytest.approx(x.std(axis=0) / math.sqrt(4000))
    # The mean of x_t + x_(t-1) / 2 varies as that of 3/2 x.
    assert _standard_errors(following, 20.0) == pytest.approx(1.5 * x.std(axis=0) / math.sqrt(4000), rel=0.1)


def test_the_standard_error_is_that_of_the_resamples() -> None:
    x = noise(80, 2, 3)
    x[1:] += 0.5 * x[:-1]
    drawn = x[stationary_rows(80, 6.0, 20_000, np.random.default_rng(1))].mean(axis=1)
    assert _standard_errors(x, 6.0) == pytest.approx(drawn.std(axis=0), rel=0.03)


def test_a_clearly_better_one_is_found() -> None:
    returns = noise(400, 10, 5)
    returns[:, 7] += 0.4
    found = superior_ability(np.zeros(400), returns, seed=1)
    assert (found.best, found.n, found.k) == (7, 400, 10)
    assert found.upper == pytest.approx(1 / 1001)


def test_a_poor_crowd_does_not_hide_a_good_one() -> None:
    returns = noise(400, 30, 6)
    # Three standard errors above nothing.
    returns[:, 0] += 3.0 / math.sqrt(400) - returns[:, 0].mean()
    returns[:, 1:] -= 0.5
    found = superior_ability(np.zeros(400), returns, seed=1)
    assert found.lower <= found.consistent < 0.01
    assert found.upper > 0.02


def test_none_better_is_no_evidence_at_all() -> None:
    found = superior_ability(np.zeros(300), noise(300, 3, 1) - 0.5, seed=1, draws=99)
    assert (found.lower, found.consistent, found.upper) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("kind", ["normal", "few losses"])
def test_crowds_without_skill_pass_no_oftener_than_said(kind: str) -> None:
    chance, worlds = np.random.default_rng(21), 100
    passed = 0
    for seed in range(worlds):
        if kind == "normal":
            returns = chance.standard_normal((250, 8))
        else:
            won = np.where(chance.random((250, 8)) < 0.85, 1.0, -0.85 / 0.15)
            returns = np.where(chance.random((250, 8)) < 0.2, won, 0.0)
        passed += superior_ability(np.zeros(250), returns, seed=seed, draws=100).consistent <= 0.05
    assert passed <= worlds * 0.05 + 4 * math.sqrt(worlds * 0.05 * 0.95)


def test_one_lucky_period_is_no_evidence() -> None:
    returns = np.zeros((50, 1))
    returns[20] = 1.0
    # 0.98^50 = 36 % of the resamples miss it: they do not vary and count against it.
    assert superior_ability(np.zeros(50), returns, seed=1).consistent > 0.3


def test_who_cannot_be_judged_counts_and_never_wins() -> None:
    returns = noise(100, 4, 1)
    returns[:, 0] = 0.0
    returns[3, 1] = math.nan
    found = superior_ability(np.zeros(100), returns, seed=1)
    assert found.k == 4
    assert found.best in {2, 3}
    assert found == _with(superior_ability(np.zeros(100), returns[:, 2:], seed=1), k=4)


def _with(found: Superior, k: int) -> Superior:
    return Superior(found.lower, found.consistent, found.upper, found.best + 2, found.n, k)


@pytest.mark.parametrize(
    "returns",
    [np.zeros((50, 2)), np.full((50, 2), np.nan), np.empty((50, 0)), np.empty((0, 2)), np.array([[0.1], [0.2]])],
)
def test_nothing_to_stand_on_is_nan(returns: Floats) -> None:
    found = superior_ability(np.zeros(len(returns)), returns, seed=1)
    assert all(math.isnan(p) for p in (found.lower, found.consistent, found.upper))
    assert found.best == -1


def test_a_benchmark_that_is_not_finite_leaves_nothing() -> None:
    assert math.isnan(superior_ability(np.full(50, np.nan), noise(50, 2, 1), seed=1).consistent)


def test_long_records_are_drawn_by_runs_of_periods() -> None:
    returns = noise(4001, 2, 8) + np.array([0.03, -0.01])
    runs = np.add.reduceat(returns, np.arange(0, 4001, 3))
    found, of_runs = (superior_ability(np.zeros(len(each)), each, seed=1, draws=100) for each in (returns, runs))
    assert (found.n, of_runs.n) == (4001, 1334)
    assert (found.lower, found.consistent, found.upper) == (of_runs.lower, of_runs.consistent, of_runs.upper)


@pytest.mark.parametrize(("n", "shape"), [(5, (4, 2)), (5, (5,))])
def test_shapes_that_do_not_fit_are_refused(n: int, shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError):
        superior_ability(np.zeros(n), np.zeros(shape), seed=1)
