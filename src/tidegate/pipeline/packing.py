"""Packs the newest fold's model into a bundle."""

import math
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from tidegate.backtest.metrics import summarise
from tidegate.backtest.result import Backtest
from tidegate.bars.bars import COLUMNS, Floats
from tidegate.bars.interval import DAY_MS
from tidegate.dataset.dataset import Dataset
from tidegate.model.bundle import GOLDEN, ONNX, UBJ, Bundle, golden_bytes, sha256, write_bundle
from tidegate.model.manifest import FeatureReference, GoldenVector, Manifest
from tidegate.model.onnx_model import OnnxModel
from tidegate.pipeline.data import Gathered
from tidegate.pipeline.fold import Fold
from tidegate.pipeline.fold_identity import library_versions
from tidegate.pipeline.job import Job
from tidegate.policy.policy import entry_side

_QUANTILES = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)
_GOLDEN_PER_SYMBOL = 3
_LIBRARIES = ("tidegate", "numpy", "onnx", "onnxmltools", "onnxruntime", "scikit-learn", "xgboost-cpu", "xgboost")


def pack(
    job: Job, gathered: Gathered, dataset: Dataset, folds: tuple[Fold, ...], pooled: Backtest, folder: Path
) -> Bundle:
    """Write the bundle of the newest fold's model and read it back; the folder appears whole or not at all.

    Returns:
        the verified bundle; what was tested, to the byte.
    """
    strategy, fold = job.strategy, folds[-1]
    golden = golden_vectors(dataset, fold)
    files = {ONNX: fold.onnx, UBJ: fold.fitted.ubj, GOLDEN: golden_bytes(golden)}
    last_seen_at = fold.windows.test.end_at
    metrics = summarise(pooled, strategy.periods_per_year)
    manifest = Manifest(
        strategy=strategy.name,
        kind=strategy.kind,
        symbols=strategy.symbols,
        interval=strategy.interval,
        calendar=strategy.calendar,
        features=dataset.features.specs,
        feature_hash=dataset.features.digest(),
        lookback=max(dataset.features.lookback, fold.policy.max_holding_bars + 1),
        policy=fold.policy,
        calibration=fold.fitted.calibration,
        labels=strategy.labels.model_dump(mode="json"),
        costs=strategy.costs.model_dump(mode="json"),
        model=dict(fold.fitted.parameters) | {"rounds": fold.fitted.rounds},
        windows=tuple(each.windows for each in folds),
        last_seen_at=last_seen_at,
        snapshots={record.symbol: record.snapshot for record in gathered.symbols},
        seed=strategy.model.seed,
        threads=job.settings.compute.threads,
        reference={
            name: _reference(fold.rows.x[:, at].astype(np.float64)) for at, name in enumerate(dataset.features.names)
        },
        probability_reference=_reference(fold.fitted.probability),
        label_rate=float(np.average(fold.rows.y, weights=fold.rows.weight)),
        importance=fold.fitted.importance,
        out_of_sample={name: value if math.isfinite(value) else None for name, value in metrics.items()},
        regimes={symbol: regimes.model_dump(mode="json") for symbol, regimes in fold.regimes.items()},
        files={name: sha256(content) for name, content in files.items()},
        library_versions=library_versions(_LIBRARIES),
        created_at=job.now_ms,
        expires_at=last_seen_at + strategy.windows.max_age_days * DAY_MS,
    )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".bundle-", dir=folder.parent) as temporary:
        bundle = write_bundle(Path(temporary) / folder.name, manifest, files)
        (Path(temporary) / folder.name).rename(folder)
    return bundle


def golden_vectors(dataset: Dataset, fold: Fold) -> tuple[GoldenVector, ...]:
    """Windows at the start, middle and end of each symbol's test, answered by the row-by-row path."""
    model = OnnxModel(fold.onnx, len(dataset.features.names))
    lookback = max(dataset.features.lookback, fold.policy.max_holding_bars + 1)
    vectors = []
    for at, table in enumerate(dataset.tables):
        rows = dataset.rows_within(at, fold.windows.test)
        known = np.flatnonzero(table.usable[rows]) + rows.start
        known = known[known >= lookback - 1]
        for row in known[np.linspace(0, len(known) - 1, _GOLDEN_PER_SYMBOL).astype(int)] if len(known) else ():
            window = table.bars.take(slice(int(row) - lookback + 1, int(row) + 1))
            features = dataset.features.newest(window)
            probability = float(model.probability(features)[0])
            vectors.append(
                GoldenVector(
                    symbol=table.bars.symbol,
                    bars={name: tuple(getattr(window, name).tolist()) for name in COLUMNS},
                    features=tuple(features[0].tolist()),
                    probability=probability,
                    signal=entry_side(probability, fold.policy),
                )
            )
    return tuple(vectors)


def _reference(values: Floats) -> FeatureReference:
    return FeatureReference(probabilities=_QUANTILES, values=tuple(np.quantile(values, _QUANTILES).tolist()))
