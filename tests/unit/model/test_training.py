"""Training: repeatable, honest about bad inner models, and told apart from what cannot be learned."""

import dataclasses

import numpy as np
import pytest
from tests.unit.model.small_model import SMALL, drawn_rows

from tidegate.dataset.folds import inner_folds
from tidegate.errors import ModelError, NotEnoughHistory
from tidegate.model.manifest import Calibration
from tidegate.model.training import (
    SearchTrial,
    apply_calibration,
    booster_parameters,
    calibrate,
    fit,
    fit_booster,
    margins,
)
from tidegate.policy.policy import PositionPolicy, entry_side
from tidegate.strategy.strategy import Search

NAMES = ("a", "b", "c", "d")


@pytest.mark.parametrize("threads", [1, 2])
def test_training_twice_gives_the_same_bytes(threads: int) -> None:
    first, second = (fit(drawn_rows(), NAMES, SMALL, 3, threads) for _ in range(2))
    assert first.ubj == second.ubj
    assert first.calibration == second.calibration
    assert np.array_equal(first.out_of_fold.margin, second.out_of_fold.margin)
    other_seed = fit(drawn_rows(), NAMES, SMALL.model_copy(update={"seed": 8}), 3, threads)
    assert other_seed.ubj != first.ubj, "the seed decides which rows and features each tree sees"


def test_the_final_rounds_are_the_median_of_the_inner_folds() -> None:
    fitted = fit(drawn_rows(), NAMES, SMALL, 3, 1)
    assert len(fitted.out_of_fold.rounds) == SMALL.inner_folds
    assert fitted.rounds == sorted(fitted.out_of_fold.rounds)[1]
    assert fitted.parameters["nthread"] == 1
    assert set(fitted.importance) == set(NAMES)
    assert sum(fitted.importance.values()) == pytest.approx(1.0)
    assert max(fitted.importance, key=fitted.importance.__getitem__) == "a", "the only feature that tells something"


def test_out_of_fold_predictions_come_from_models_that_had_not_seen_the_rows() -> None:
    rows = drawn_rows()
    fitted = fit(rows, NAMES, SMALL, 3, 1)
    first = inner_folds(rows.known_at, rows.ends_at, SMALL.inner_folds, 3)[0]
    x, y, weight = rows.x[first.fit], rows.y[first.fit], rows.weight[first.fit]
    booster = fit_booster(x, y, weight, booster_parameters(SMALL, 1), fitted.out_of_fold.rounds[0])
    alone = margins(bytes(booster.save_raw("ubj")), rows.x[first.validate], 1)
    assert fitted.out_of_fold.margin[: len(alone)] == pytest.approx(alone, abs=1e-5)


def test_a_model_that_learns_gets_a_positive_slope_and_probabilities_that_rank() -> None:
    rows = drawn_rows()
    fitted = fit(rows, NAMES, SMALL, 3, 1)
    assert fitted.calibration.slope > 0.5
    won = rows.y[fitted.out_of_fold.rows] == 1
    assert fitted.probability[won].mean() > fitted.probability[~won].mean() + 0.1


def test_inner_models_that_are_wrong_more_often_than_right_are_not_turned_around() -> None:
    y = np.array([1, 0, 1, 0, 1, 0, 1, 1], dtype=np.float32)
    margin = np.where(y == 1, -1.0, 1.0) + np.linspace(0, 0.1, 8)
    calibration = calibrate(margin, y, np.ones(8, np.float32))
    assert (calibration.slope, calibration.intercept) == (0.0, 0.0)
    assert apply_calibration(margin, calibration).tolist() == [0.5] * 8


def test_a_useless_model_trades_nothing_where_longs_win_more_often() -> None:
    """A base rate of 0.54 would lie beyond the entry margin, and the model would be long for ever."""
    rng = np.random.default_rng(0)
    y = (rng.random(5000) < 0.54).astype(np.float32)
    calibration = calibrate(rng.normal(size=5000) - 0.5 * y, y, np.ones(5000, np.float32))
    policy = PositionPolicy(long_at=0.52, short_at=0.48, take_profit=0.01, stop_loss=0.01, max_holding_bars=12)

    probability = apply_calibration(rng.normal(size=50), calibration)
    assert {entry_side(float(value), policy) for value in probability} == {0}


def test_calibration_recovers_known_log_odds() -> None:
    rng = np.random.default_rng(0)
    margin = rng.normal(0, 1, 200_000)
    won = rng.random(200_000) < apply_calibration(margin, Calibration(slope=0.6, intercept=-0.3))
    found = calibrate(margin, won.astype(np.float32), np.ones(200_000, np.float32))
    assert (found.slope, found.intercept) == pytest.approx((0.6, -0.3), abs=0.03)


@pytest.mark.parametrize("only", [0.0, 1.0])
def test_labels_of_one_class_are_refused(only: float) -> None:
    rows = dataclasses.replace(drawn_rows(), y=np.full(1200, only, np.float32))
    with pytest.raises(ModelError, match=f"expected wins and losses, was all {only:g}"):
        fit(rows, NAMES, SMALL, 3, 1)


@pytest.mark.parametrize("only", [0.0, 1.0])
def test_labels_of_one_class_in_all_validation_blocks_are_refused(only: float) -> None:
    rows = drawn_rows()
    y = rows.y.copy()
    y[300:] = only
    with pytest.raises(ModelError, match="validation blocks"):
        fit(dataclasses.replace(rows, y=y), NAMES, SMALL, 3, 1)


def test_too_long_an_embargo_leaves_nothing_to_fit() -> None:
    with pytest.raises(NotEnoughHistory):
        fit(drawn_rows(), NAMES, SMALL, 10_000, 1)


def test_every_trial_of_a_search_is_told_and_the_best_one_is_fitted() -> None:
    told: list[SearchTrial] = []
    model = SMALL.model_copy(
        update={"search": Search(trials=4, space={"max_depth": (2, 4), "learning_rate": (0.05, 0.3)})}
    )
    fitted = fit(drawn_rows(), NAMES, model, 3, 1, told.append)
    assert [trial.number for trial in told] == [0, 1, 2, 3]
    best = min(told, key=lambda trial: trial.out_of_fold.log_loss)
    assert fitted.parameters == best.parameters
    assert fitted.out_of_fold is best.out_of_fold
    assert all(trial.parameters["max_depth"] in {2, 3, 4} for trial in told)
    again: list[SearchTrial] = []
    assert fit(drawn_rows(), NAMES, model, 3, 1, again.append).ubj == fitted.ubj, "the search is seeded too"


def test_without_a_search_the_one_trial_is_told() -> None:
    told: list[SearchTrial] = []
    fit(drawn_rows(), NAMES, SMALL, 3, 1, told.append)
    assert [trial.number for trial in told] == [0]
