"""The probability of overfitting on matrices whose answer is known."""

import itertools
import math

import numpy as np
import pytest

from tidegate.backtest.ratios import sharpe
from tidegate.backtest.result import Floats
from tidegate.errors import DataError
from tidegate.statistics.overfitting import Overfitting, probability_of_overfitting

UP, DOWN = (0.9, 1.1), (-0.9, -1.1)  # a mean of 1 or -1, with a little variation


def matrix(*trials: tuple[tuple[float, float], ...]) -> Floats:
    return np.array([list(itertools.chain(*trial)) for trial in trials]).T


@pytest.mark.parametrize(
    ("returns", "probability"),
    [
        pytest.param(matrix((UP, UP, UP, UP), (DOWN, DOWN, DOWN, DOWN)), 0.0, id="one dominates"),
        # Each trial lives from one half: in sample the one that has more of its own blocks there wins and fails in the other half.
        # Of six splits two part the halves cleanly; in the other four both trials have equal ratios, and a tie is the median.
        pytest.param(
            matrix((UP, UP, DOWN, DOWN), (DOWN, DOWN, UP, UP)), (2 * 1.0 + 4 * 0.5) / 6, id="each lives in one half"
        ),
        pytest.param(matrix((UP, DOWN), (DOWN, UP)), 1.0, id="what wins, loses next"),
    ],
)
def test_constructed(returns: Floats, probability: float) -> None:
    found = probability_of_overfitting(returns, len(returns) // 2)
    assert found.probability == pytest.approx(probability)


def test_splits_and_logits_by_hand() -> None:
    found = probability_of_overfitting(matrix((UP, UP, UP, UP), (DOWN, DOWN, DOWN, DOWN)), 4)
    assert (found.splits, found.trials) == (6, 2)
    # The best of two out of sample: rank 2 of 2, so odds of 2 to 1.
    assert found.logits == pytest.approx(np.full(6, math.log(2.0)))


def slowly(returns: Floats, blocks: int) -> Overfitting:
    """The definition, split by split."""
    n, k = returns.shape
    rows = n // blocks
    pieces = np.split(returns[n - rows * blocks :], blocks)
    logits = []
    for chosen in itertools.combinations(range(blocks), blocks // 2):
        known = np.concatenate([pieces[block] for block in chosen])
        unseen = np.concatenate([pieces[block] for block in range(blocks) if block not in chosen])
        best = int(np.argmax([sharpe(column, 1.0) for column in known.T]))
        outside = np.array([sharpe(column, 1.0) for column in unseen.T])
        rank = 1 + int(np.sum(outside < outside[best]))
        logits.append(math.log(rank / (k + 1 - rank)))
    below = np.array(logits)
    return Overfitting(float(np.mean(below < 0) + np.mean(below == 0) / 2), below, len(logits), k)


@pytest.mark.parametrize(("n", "k", "blocks"), [(40, 5, 4), (67, 8, 6), (100, 3, 8)])
def test_agrees_with_the_definition(n: int, k: int, blocks: int) -> None:
    returns = np.random.default_rng(n).normal(0.01, 1.0, (n, k))
    found, expected = probability_of_overfitting(returns, blocks), slowly(returns, blocks)
    assert found.logits == pytest.approx(expected.logits)
    assert found.probability == pytest.approx(expected.probability)
    assert found.splits == expected.splits


@pytest.mark.parametrize("k", [2, 7, 20])
def test_noise_is_a_coin(k: int) -> None:
    chance = np.random.default_rng(k)
    found = [probability_of_overfitting(chance.normal(size=(200, k)), 8).probability for _ in range(150)]
    # The standard deviation of one such probability is about 0.25.
    assert np.mean(found) == pytest.approx(0.5, abs=4 * 0.25 / math.sqrt(150))


def test_a_trial_that_is_better_everywhere_is_no_overfitting() -> None:
    returns = np.random.default_rng(1).normal(size=(400, 20))
    returns[:, 3] += 0.5
    assert probability_of_overfitting(returns).probability < 0.01


def test_a_trial_without_variation_is_never_chosen_and_comes_last() -> None:
    returns = np.random.default_rng(1).normal(-0.5, 1.0, (64, 3))
    returns[:, 1] = 0.0
    found = probability_of_overfitting(returns, 4)
    assert np.isfinite(found.logits).all()
    assert (found.logits >= 0).all(), "of three, the one that never traded is behind whichever was chosen"


@pytest.mark.parametrize(
    "returns",
    [
        np.zeros((64, 3)),
        np.ones((64, 1)),
        np.ones((7, 3)),
        np.full((64, 2), np.nan),
        np.where(np.eye(64)[:, :2] > 0, np.inf, 1.0),
        np.empty((0, 3)),
        np.empty((64, 0)),
    ],
)
def test_nothing_to_stand_on_is_nan(returns: Floats) -> None:
    assert math.isnan(probability_of_overfitting(returns, 4).probability)


@pytest.mark.parametrize(("shape", "blocks"), [((64, 2), 3), ((64, 2), 0), ((64, 2), -2), ((64,), 4)])
def test_what_cannot_be_cut_is_refused(shape: tuple[int, ...], blocks: int) -> None:
    with pytest.raises(DataError):
        probability_of_overfitting(np.ones(shape), blocks)
