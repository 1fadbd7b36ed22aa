"""Fits the booster, its calibration and its number of rounds, all inside one training window. The home of xgboost and scikit-learn."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tidegate.bars.bars import Floats
from tidegate.dataset.dataset import TrainingRows
from tidegate.dataset.folds import InnerFold, inner_folds
from tidegate.errors import ModelError
from tidegate.model.fit_clock import FITS
from tidegate.model.manifest import Calibration
from tidegate.strategy.strategy import Model

if TYPE_CHECKING:
    import xgboost

    from tidegate.model.external import Table

Matrix = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class OutOfFold:
    """Predictions of training rows by inner models that had not seen them.

    Attributes:
        rows: (k,) numbers of training rows, in time order.
        margin: (k,) float64, the booster's log odds.
        rounds: rounds that early stopping chose in each inner fold.
        log_loss: weighted mean over the validation blocks.
    """

    rows: NDArray[np.intp]
    margin: Floats
    rounds: tuple[int, ...]
    log_loss: float


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A model fitted on one training window.

    Attributes:
        ubj: the booster in XGBoost's UBJ format.
        rounds: boosting rounds of the final fit.
        parameters: XGBoost's parameters as used.
        calibration: Platt scaling fitted on `out_of_fold`.
        out_of_fold: predictions inside the training window.
        probability: (k,) calibrated probabilities of `out_of_fold`.
        importance: gain by feature name, sums to 1.
    """

    ubj: bytes
    rounds: int
    parameters: dict[str, Any]
    calibration: Calibration
    out_of_fold: OutOfFold
    probability: Floats
    importance: dict[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class SearchTrial:
    """One set of parameters that was tried inside a training window."""

    number: int
    parameters: dict[str, Any]
    out_of_fold: OutOfFold


def booster_parameters(model: Model, threads: int) -> dict[str, Any]:
    """XGBoost's parameters for a strategy's model."""
    return {
        "objective": "binary:logistic",
        "tree_method": "hist",
        "base_score": 0.5,
        "max_depth": model.max_depth,
        "learning_rate": model.learning_rate,
        "min_child_weight": model.min_child_weight,
        "subsample": model.subsample,
        "colsample_bytree": model.colsample_bytree,
        "reg_lambda": model.reg_lambda,
        "max_bin": model.max_bin,
        "seed": model.seed,
        "nthread": threads,
        "verbosity": 0,
    }


def fit(
    rows: TrainingRows,
    names: Sequence[str],
    model: Model,
    embargo_ms: int,
    threads: int,
    on_trial: Callable[[SearchTrial], None] | None = None,
    workers: int = 1,
) -> Fitted:
    """Choose rounds (and parameters, if a search is asked for) on inner folds, then fit on all rows and calibrate.

    Rows that lie in a file (see `tidegate.dataset.spill`) are trained on by external memory, with the same bytes as outcome.

    Everything happens inside the training window: rounds by early stopping on purged validation blocks, the final number being their
    median; calibration on the predictions of those blocks.

    Args:
        rows: the training rows.
        names: the features' names.
        model: the strategy's model section.
        embargo_ms: gap before each inner validation block.
        threads: threads of a fit; part of what makes it repeatable.
        on_trial: told of each set of parameters that was tried.
        workers: inner folds fitted at a time; changes no byte of the outcome.
    Raises:
        ModelError: only one class among the labels, or among those of the inner validation blocks.
        NotEnoughHistory: too few rows for the inner folds.
    """
    if len(np.unique(rows.y)) < 2:
        raise ModelError(
            "training labels hold one class only",
            expected="wins and losses",
            actual=f"all {rows.y[0]:g}",
            next_step="train on more days, or on barriers that both sides can reach (labels.barrier_sigmas)",
        )
    folds = inner_folds(rows.known_at, rows.ends_at, model.inner_folds, embargo_ms)
    parameters = booster_parameters(model, threads)
    out_of_fold = None
    if model.search.trials:
        parameters, out_of_fold = _search(rows, folds, model, parameters, on_trial, workers)
    if out_of_fold is None:
        out_of_fold = predict_out_of_fold(rows, folds, parameters, model, workers)
        if on_trial:
            on_trial(SearchTrial(0, parameters, out_of_fold))
    rounds = max(1, int(np.median(out_of_fold.rounds)))
    booster = fit_booster(rows.x, rows.y, rows.weight, parameters, rounds)
    calibration = calibrate(out_of_fold.margin, rows.y[out_of_fold.rows], rows.weight[out_of_fold.rows])
    return Fitted(
        ubj=bytes(booster.save_raw("ubj")),
        rounds=rounds,
        parameters=parameters,
        calibration=calibration,
        out_of_fold=out_of_fold,
        probability=apply_calibration(out_of_fold.margin, calibration),
        importance=_importance(booster, names),
    )


def fit_booster(x: Matrix, y: Matrix, weight: Matrix, parameters: Mapping[str, Any], rounds: int) -> "xgboost.Booster":
    """Fit a booster with everything already chosen; rows that lie in a file by external memory."""
    import xgboost

    from tidegate.model.external import tables

    with FITS.timed(), tables(x, y, weight, parameters) as table:
        return xgboost.train(dict(parameters), table(None, None), num_boost_round=rounds)


def predict_out_of_fold(
    rows: TrainingRows, folds: Sequence[InnerFold], parameters: Mapping[str, Any], model: Model, workers: int = 1
) -> OutOfFold:
    """Predict each inner validation block by a model fitted on the purged rows before it, with early stopping on the block.

    `workers` blocks are fitted at a time; the outcome does not depend on it.
    """
    with ThreadPoolExecutor(workers) as pool:
        blocks = list(pool.map(lambda fold: _predict_block(rows, fold, parameters, model), folds))
    return OutOfFold(
        rows=np.concatenate([fold.validate for fold in folds]),
        margin=np.concatenate([block.margin for block in blocks]),
        rounds=tuple(block.rounds for block in blocks),
        log_loss=float(np.average([block.log_loss for block in blocks], weights=[block.weight for block in blocks])),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    margin: Floats
    rounds: int
    log_loss: float
    weight: float


def _predict_block(rows: TrainingRows, fold: InnerFold, parameters: Mapping[str, Any], model: Model) -> _Block:
    from tidegate.model.external import tables

    with FITS.timed(), tables(rows.x, rows.y, rows.weight, parameters) as table:
        margin, rounds, log_loss = _fit_and_predict(table, fold, parameters, model)
    return _Block(margin, rounds, log_loss, float(rows.weight[fold.validate].sum()))


def _fit_and_predict(
    table: "Table", fold: InnerFold, parameters: Mapping[str, Any], model: Model
) -> tuple[Floats, int, float]:
    import xgboost

    train = table(fold.fit, None)
    block = table(fold.validate, train)
    booster = xgboost.train(
        dict(parameters) | {"eval_metric": "logloss"},
        train,
        num_boost_round=model.max_rounds,
        evals=[(block, "block")],
        early_stopping_rounds=model.early_stopping_rounds,
        verbose_eval=False,
    )
    best = booster.best_iteration + 1
    margin = booster.predict(block, output_margin=True, iteration_range=(0, best)).astype(np.float64)
    return margin, best, float(booster.best_score)


def margins(ubj: bytes, x: Matrix, threads: int) -> Floats:
    """(m,) float64 log odds of rows by a stored booster."""
    import xgboost

    booster = xgboost.Booster({"nthread": threads})
    booster.load_model(bytearray(ubj))
    predicted: Floats = booster.inplace_predict(x, predict_type="margin").astype(np.float64)
    return predicted


def calibrate(margin: Floats, y: Matrix, weight: Matrix) -> Calibration:
    """Platt scaling of log odds by logistic regression.

    A negative slope would mean that the inner models were wrong more often than right. Turning them around would be a guess, so slope and
    intercept become zero then: every probability is exactly one half, no entry margin is reached, and the model trades nothing. The base
    rate would not do: where longs win 54 % of the time it lies beyond a margin of 0.02, and the model would always be long.

    Raises:
        ModelError: only one class among the labels.
    Source: Platt 1999.
    """
    if len(np.unique(y)) < 2:
        raise ModelError(
            "labels of the inner validation blocks hold one class only",
            expected="wins and losses",
            actual=f"all {y[0]:g}",
            next_step="train on more days, or on barriers that both sides can reach (labels.barrier_sigmas)",
        )
    from sklearn.linear_model import LogisticRegression

    regression = LogisticRegression(C=1e6, max_iter=1000)
    regression.fit(margin[:, None], y, sample_weight=weight)
    slope = float(regression.coef_[0, 0])
    if slope > 0:
        return Calibration(slope=slope, intercept=float(regression.intercept_[0]))
    return Calibration(slope=0.0, intercept=0.0)


def apply_calibration(margin: Floats, calibration: Calibration) -> Floats:
    """(m,) calibrated probabilities of log odds."""
    return np.asarray(1.0 / (1.0 + np.exp(-(calibration.slope * margin + calibration.intercept))))


def _search(
    rows: TrainingRows,
    folds: Sequence[InnerFold],
    model: Model,
    parameters: dict[str, Any],
    on_trial: Callable[[SearchTrial], None] | None,
    workers: int,
) -> tuple[dict[str, Any], OutOfFold]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    best: tuple[float, dict[str, Any], OutOfFold] | None = None
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=model.seed))
    for number in range(model.search.trials):
        trial = study.ask()
        tried = parameters | {name: _suggest(trial, name, *span) for name, span in model.search.space.items()}
        outcome = predict_out_of_fold(rows, folds, tried, model, workers)
        study.tell(trial, outcome.log_loss)
        if on_trial:
            on_trial(SearchTrial(number, tried, outcome))
        if best is None or outcome.log_loss < best[0]:
            best = (outcome.log_loss, tried, outcome)
    assert best is not None
    return best[1], best[2]


def _suggest(trial: Any, name: str, low: float, high: float) -> float | int:  # noqa: ANN401  optuna carries no types here
    if name in {"max_depth", "max_bin"}:
        return int(trial.suggest_int(name, int(low), int(high)))
    return float(trial.suggest_float(name, low, high, log=low > 0 and high / low >= 10))


def _importance(booster: "xgboost.Booster", names: Sequence[str]) -> dict[str, float]:
    gains = booster.get_score(importance_type="total_gain")
    values = [float(gains.get(f"f{at}", 0.0)) for at in range(len(names))]
    total = sum(values) or 1.0
    return {name: value / total for name, value in zip(names, values, strict=True)}
