"""What a model finds in labels that mean nothing: the newest fold, trained again on labels whose order is broken up."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from tidegate.backtest.ratios import NAN
from tidegate.backtest.result import Floats
from tidegate.dataset.dataset import Dataset, TrainingRows
from tidegate.errors import ModelError
from tidegate.gates.evaluation import Measurement
from tidegate.gates.result import Verdict
from tidegate.model.training import apply_calibration, fit, margins
from tidegate.pipeline.evidence import plain
from tidegate.pipeline.fold import Fold
from tidegate.statistics.baselines import permutation_p_value
from tidegate.strategy.strategy import Strategy


def permuted_labels(
    dataset: Dataset, fold: Fold, strategy: Strategy, permutations: int, *, threads: int, workers: int
) -> Measurement:
    """How often a model trained on permuted labels ranks the newest test window's bars as well as the real one.

    Labels change places in blocks of the horizon, each symbol's among its own rows inside the training window, so that neighbouring
    labels still overlap as before, and say nothing about their features. Everything else is trained as it was, a search included.
    The measure is the area under the ROC curve of the forecasts of the test window.

    Args:
        dataset: bars, features and labels.
        fold: the newest.
        strategy: the model's parameters and seed.
        permutations: number of models to train.
        threads: threads of one fit.
        workers: inner folds fitted at a time.
    Returns:
        the p-value; not enough evidence where no permutation was asked for. A model that cannot be trained counts as one that is as good.
    """
    if not permutations:
        reason = "not measured: gates.permutations is 0"
        return Measurement(None, n=0, ruling=Verdict.NOT_ENOUGH_EVIDENCE, reason=reason)
    forecasts = {symbol: tested.probability for symbol, tested in fold.tested.items()}
    observed = _area(dataset, fold, forecasts)
    rng = np.random.default_rng([strategy.model.seed, permutations])
    found = np.full(permutations, NAN)
    whole = dataset.training_rows(fold.windows.train)
    for draw in range(permutations):
        rows = permute(whole, strategy.labels.horizon_bars, rng)
        found[draw] = _area_of_fit(dataset, fold, rows, strategy, threads, workers)
    evidence = {
        "area": plain(observed),
        "highest_permuted_area": plain(float(np.max(found))),
        "permutations": permutations,
    }
    return Measurement(permutation_p_value(observed, found), n=permutations, evidence=evidence)


def permute(rows: TrainingRows, block: int, rng: np.random.Generator) -> TrainingRows:
    """The same rows, whose labels have changed places in blocks; the last block of a symbol may be shorter."""
    y = rows.y.copy()
    for symbol in np.unique(rows.symbol):
        own = np.flatnonzero(rows.symbol == symbol)
        blocks = np.array_split(own, range(block, len(own), block))
        y[own] = rows.y[np.concatenate([blocks[at] for at in rng.permutation(len(blocks))])]
    return replace(rows, y=y)


def area_under_curve(forecast: Floats, won: Floats) -> float:
    """Probability that a row that was won had a higher forecast than one that was not, ties by half; NaN with only one kind of row."""
    known = np.isfinite(forecast) & np.isfinite(won)
    up: NDArray[np.bool_] = won[known] > 0
    ups, downs = int(up.sum()), int((~up).sum())
    if not ups or not downs:
        return NAN
    return (float(rankdata(forecast[known])[up].sum()) - ups * (ups + 1) / 2) / (ups * downs)


def _area_of_fit(
    dataset: Dataset, fold: Fold, rows: TrainingRows, strategy: Strategy, threads: int, workers: int
) -> float:
    embargo_ms = strategy.windows.embargo_bars * strategy.bar.milliseconds
    try:
        fitted = fit(rows, dataset.features.names, strategy.model, embargo_ms, threads, workers=workers)
    except ModelError:
        return NAN
    forecasts = {}
    for at, table in enumerate(dataset.tables):
        chosen = dataset.rows_within(at, fold.windows.test)
        forecast = np.full(chosen.stop - chosen.start, NAN)
        usable = table.usable[chosen]
        if usable.any():
            x = table.features[chosen][usable].astype(np.float32)
            forecast[usable] = apply_calibration(margins(fitted.ubj, x, threads), fitted.calibration)
        forecasts[table.bars.symbol] = forecast
    return _area(dataset, fold, forecasts)


def _area(dataset: Dataset, fold: Fold, forecasts: dict[str, Floats]) -> float:
    won = [
        table.labels.won[dataset.rows_within(at, fold.windows.test)].astype(np.float64)
        for at, table in enumerate(dataset.tables)
    ]
    ordered = [forecasts[table.bars.symbol] for table in dataset.tables]
    return area_under_curve(np.concatenate(ordered), np.concatenate(won))
