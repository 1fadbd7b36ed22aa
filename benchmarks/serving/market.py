"""What is asked: one model of 300 trees of depth 6 on 40 features of simulated bars, and the bars that follow its training.

The calibration is the identity, so that the bundle's probability is the one that a plain XGBoost server gives for the same features.
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from tidegate.bars.bars import COLUMNS, Bars, Floats
from tidegate.bars.interval import DAY_MS, Interval
from tidegate.bars.simulated import simulate
from tidegate.dataset.dataset import Dataset, TrainingRows, assemble
from tidegate.dataset.windows import FoldWindows, Window
from tidegate.features.features import FeatureSet, from_specs, resolve
from tidegate.model.bundle import GOLDEN, ONNX, UBJ, golden_bytes, sha256, write_bundle
from tidegate.model.export import to_onnx
from tidegate.model.manifest import Calibration, FeatureReference, GoldenVector, Manifest
from tidegate.model.onnx_model import OnnxModel
from tidegate.model.training import booster_parameters, fit_booster
from tidegate.policy.policy import PositionPolicy, entry_side
from tidegate.strategy.strategy import Model, SimulatedSource, Strategy

if TYPE_CHECKING:
    import xgboost

TREES: Final = 300
DEPTH: Final = 6
FEATURES: Final = 40
WINDOW_BARS: Final = 300
STRATEGY: Final = "simulated-serving-bench"
SYMBOLS: Final = tuple(f"SIM{number}/USD" for number in range(1, 9))
_TRAINING_BARS: Final = 25_920  # 90 days of five minutes
_SERVING_DAYS: Final = 120
_POLICY: Final = PositionPolicy(long_at=0.55, short_at=0.45, take_profit=0.01, stop_loss=0.01, max_holding_bars=24)
_SHARES: Final = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class Market:
    """What is served and asked.

    Attributes:
        bundle: folder of the bundle.
        booster: the same model in XGBoost's own format.
        names: (40,) the features' names.
        bars: n bars after the training, the first 300 of them the first window.
        features: (n, 40) float64, those of each bar; NaN before the lookback.
        probability: (n,) float64, XGBoost's own answer for each bar; NaN before the lookback.
    """

    bundle: Path
    booster: Path
    names: tuple[str, ...]
    bars: Bars
    features: Floats
    probability: Floats


def make(folder: Path) -> Market:
    """Train, export and bundle into a folder that holds nothing yet; some ten seconds."""
    import xgboost

    now_ms = int(time.time() * 1000)
    serving_from = now_ms - now_ms % DAY_MS - _SERVING_DAYS * DAY_MS
    bars = _simulated(now_ms - now_ms % DAY_MS)
    trained = bars.take(bars.closed_at <= serving_from)
    strategy, features = _strategy(), from_specs(resolve(()).specs[:FEATURES])
    dataset = assemble([trained.take(slice(-_TRAINING_BARS - features.lookback, None))], features, strategy)
    rows = dataset.training_rows(Window(start_at=0, end_at=serving_from))
    parameters = booster_parameters(strategy.model, 1)
    booster = fit_booster(rows.x, rows.y, rows.weight, parameters, TREES)
    ubj = bytes(booster.save_raw("ubj"))
    graph = to_onnx(ubj, Calibration(slope=1.0, intercept=0.0), FEATURES)
    golden = _golden(dataset, graph)
    files = {ONNX: graph, UBJ: ubj, GOLDEN: golden_bytes(golden)}
    folder.mkdir(parents=True)
    write_bundle(folder / "bundle", _manifest(strategy, dataset, rows, parameters, files, now_ms), files)
    booster.save_model(folder / "booster.ubj")
    _write_trees(booster, folder / "trees.txt")

    served = bars.take(bars.opened_at >= serving_from)
    table = features.matrix(served)
    probability = np.full(len(served), np.nan)
    known = np.isfinite(table).all(axis=1)
    probability[known] = booster.predict(xgboost.DMatrix(table[known].astype(np.float32)))
    return Market(folder / "bundle", folder / "booster.ubj", features.names, served, table, probability)


def _simulated(until_ms: int) -> Bars:
    source = SimulatedSource(type="simulated", seed=1, days=_SERVING_DAYS + 100)
    return simulate(SYMBOLS[0], Interval("5m"), source, until_ms)


def _strategy() -> Strategy:
    content = {
        "version": 1,
        "name": STRATEGY,
        "kind": "simulated",
        "symbols": [SYMBOLS[0]],
        "interval": "5m",
        "source": {"type": "simulated"},
        "model": Model(max_depth=DEPTH, min_child_weight=1).model_dump(),
    }
    return Strategy.model_validate(content)


def _golden(dataset: Dataset, graph: bytes) -> tuple[GoldenVector, ...]:
    model, table, lookback = OnnxModel(graph, FEATURES), dataset.tables[0], _lookback(dataset.features)
    vectors = []
    for end in (len(table.bars) - 2000, len(table.bars) - 1000, len(table.bars)):
        window = table.bars.take(slice(end - lookback, end))
        newest = dataset.features.newest(window)
        probability = float(model.probability(newest)[0])
        vectors.append(
            GoldenVector(
                symbol=SYMBOLS[0],
                bars={name: tuple(getattr(window, name).tolist()) for name in COLUMNS},
                features=tuple(newest[0].tolist()),
                probability=probability,
                signal=entry_side(probability, _POLICY),
            )
        )
    return tuple(vectors)


def _lookback(features: FeatureSet) -> int:
    return max(features.lookback, _POLICY.max_holding_bars + 1)


def _manifest(
    strategy: Strategy,
    dataset: Dataset,
    rows: TrainingRows,
    parameters: dict[str, object],
    files: dict[str, bytes],
    now_ms: int,
) -> Manifest:
    train = Window(start_at=int(rows.known_at[0]), end_at=int(rows.ends_at.max()))
    return Manifest(
        strategy=STRATEGY,
        kind="simulated",
        symbols=SYMBOLS,
        interval=strategy.interval,
        calendar=strategy.calendar,
        features=dataset.features.specs,
        feature_hash=dataset.features.digest(),
        lookback=_lookback(dataset.features),
        policy=_POLICY,
        calibration=Calibration(slope=1.0, intercept=0.0),
        labels=strategy.labels.model_dump(mode="json"),
        costs=strategy.costs.model_dump(mode="json"),
        model=parameters | {"rounds": TREES},
        windows=(FoldWindows(train=train, test=train),),
        last_seen_at=train.end_at,
        snapshots={SYMBOLS[0]: "0" * 64},
        seed=strategy.model.seed,
        threads=1,
        reference={
            name: _reference(rows.x[:, at].astype(np.float64)) for at, name in enumerate(dataset.features.names)
        },
        probability_reference=FeatureReference(probabilities=(0.0, 1.0), values=(0.0, 1.0)),
        label_rate=float(np.average(rows.y, weights=rows.weight)),
        importance={},
        out_of_sample={},
        regimes={},
        files={name: sha256(content) for name, content in files.items()},
        library_versions={},
        created_at=now_ms,
        expires_at=now_ms + 90 * DAY_MS,
    )


def _reference(values: NDArray[np.float64]) -> FeatureReference:
    return FeatureReference(probabilities=_SHARES, values=tuple(np.quantile(values, _SHARES).tolist()))


def _write_trees(booster: "xgboost.Booster", path: Path) -> None:
    """The trees as text that a server without any library can read: a line `tree n`, then n lines `left right feature value`."""
    learner = json.loads(booster.save_raw("json"))["learner"]
    lines = []
    for tree in learner["gradient_booster"]["model"]["trees"]:
        columns = (tree[name] for name in ("left_children", "right_children", "split_indices", "split_conditions"))
        nodes = list(zip(*columns, strict=True))
        lines.append(f"tree {len(nodes)}")
        lines += [f"{left} {right} {feature} {value!r}" for left, right, feature, value in nodes]
    path.write_text("\n".join(lines) + "\n")
