"""Small models for tests, trained in a moment: on drawn rows, and on a random walk's bars with a bundle around it."""
# ruff: noqa: ANN401  keyword arguments override fields of many types

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from tests.property.features.test_rows import walk

from tidegate.bars.bars import COLUMNS, Bars
from tidegate.dataset.dataset import Dataset, TrainingRows, assemble
from tidegate.dataset.windows import FoldWindows, Window
from tidegate.features.features import resolve
from tidegate.model.bundle import GOLDEN, ONNX, UBJ, Bundle, golden_bytes, sha256, write_bundle
from tidegate.model.export import to_onnx
from tidegate.model.manifest import FeatureReference, GoldenVector, Manifest
from tidegate.model.onnx_model import OnnxModel
from tidegate.model.training import Fitted, fit
from tidegate.policy.policy import PositionPolicy, entry_side
from tidegate.strategy.strategy import FeatureUse, Model, Strategy

SYMBOL = "BTC/USDT"
EXTRA_LOOKBACK = 2
SMALL = Model(max_rounds=20, early_stopping_rounds=5, min_child_weight=1)
POLICY = PositionPolicy(long_at=0.52, short_at=0.48, take_profit=0.01, stop_loss=0.01, max_holding_bars=9)
STRATEGY = Strategy.model_validate(
    {
        "version": 1,
        "name": "small",
        "kind": "real",
        "symbols": [SYMBOL],
        "interval": "5m",
        "source": {"type": "file", "path": "none"},
        "labels": {"horizon_bars": 9, "volatility_bars": 20},
    }
)


def drawn_rows(seed: int = 1, m: int = 1200, *, features: int = 4) -> TrainingRows:
    """Rows whose first feature tells something of the label."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((m, features)).astype(np.float32)
    y = (x[:, 0] + rng.standard_normal(m) > 0).astype(np.float32)
    at = np.arange(m, dtype=np.int64)
    return TrainingRows(x, y, np.ones(m, np.float32), at, at + 5, np.zeros(m, np.intp), at.astype(np.intp), np.ones(m))


@cache
def small_dataset() -> Dataset:
    """1,500 bars of a random walk with four features."""
    uses = [
        FeatureUse(use="return", lengths=(1, 5)),
        FeatureUse(use="volatility", lengths=(12,)),
        FeatureUse(use="body"),
    ]
    return assemble([walk(3, 1500)], resolve(uses), STRATEGY)


@cache
def small_fit() -> tuple[Fitted, bytes]:
    """The model fitted on all rows but the last 300 bars, and its ONNX graph."""
    dataset = small_dataset()
    opened_at = dataset.tables[0].bars.opened_at
    rows = dataset.training_rows(Window(start_at=int(opened_at[0]), end_at=int(opened_at[1200])))
    fitted = fit(rows, dataset.features.names, SMALL, 300_000, 1)
    return fitted, to_onnx(fitted.ubj, fitted.calibration, len(dataset.features.names))


def window_ending(row: int) -> Bars:
    """The bars that a prediction at a row needs."""
    dataset = small_dataset()
    lookback = dataset.features.lookback + EXTRA_LOOKBACK
    return dataset.tables[0].bars.take(slice(row - lookback + 1, row + 1))


def golden_vector(row: int, **changes: Any) -> GoldenVector:
    """The true answer at a row, with some fields changed."""
    dataset, (_, onnx) = small_dataset(), small_fit()
    window = window_ending(row)
    features = dataset.features.newest(window)
    probability = float(OnnxModel(onnx, len(dataset.features.names)).probability(features)[0])
    fields: dict[str, Any] = {
        "symbol": SYMBOL,
        "bars": {name: tuple(getattr(window, name).tolist()) for name in COLUMNS},
        "features": tuple(features[0].tolist()),
        "probability": probability,
        "signal": entry_side(probability, POLICY),
    }
    return GoldenVector(**{**fields, **changes})


def small_files(golden: tuple[GoldenVector, ...] | None = None) -> dict[str, bytes]:
    """The files of a bundle."""
    fitted, onnx = small_fit()
    vectors = (golden_vector(1300), golden_vector(1400)) if golden is None else golden
    return {ONNX: onnx, UBJ: fitted.ubj, GOLDEN: golden_bytes(vectors)}


def small_manifest(files: dict[str, bytes], **changes: Any) -> Manifest:
    """A manifest that fits the files."""
    dataset, (fitted, _) = small_dataset(), small_fit()
    whole = Window(start_at=0, end_at=1)
    fields: dict[str, Any] = {
        "strategy": "small",
        "kind": "real",
        "symbols": (SYMBOL,),
        "interval": "5m",
        "calendar": "24/7",
        "features": dataset.features.specs,
        "feature_hash": dataset.features.digest(),
        "lookback": dataset.features.lookback + EXTRA_LOOKBACK,
        "policy": POLICY,
        "calibration": fitted.calibration,
        "labels": {},
        "costs": {"fee_bps": 5.0},
        "model": {"rounds": fitted.rounds},
        "windows": (FoldWindows(train=whole, test=whole),),
        "last_seen_at": 1,
        "snapshots": {SYMBOL: "a" * 64},
        "seed": 7,
        "threads": 1,
        "reference": {},
        "probability_reference": FeatureReference(probabilities=(0.0, 1.0), values=(0.1, 0.9)),
        "label_rate": 0.5,
        "importance": fitted.importance,
        "out_of_sample": {"sharpe": 1.8, "sortino": None},
        "regimes": {},
        "files": {name: sha256(content) for name, content in files.items()},
        "library_versions": {"numpy": "2"},
        "created_at": 1,
        "expires_at": 2,
    }
    return Manifest(**{**fields, **changes})


def small_bundle(folder: Path, golden: tuple[GoldenVector, ...] | None = None, **changes: Any) -> Bundle:
    """Write a whole bundle and read it back."""
    files = small_files(golden)
    return write_bundle(folder, small_manifest(files, **changes), files)
