"""One 90-day window against a bare XGBoost fit of the same size: `python -m benchmarks.window [--bars FILE] [--threads N]`.

Interleaved rounds in one process; medians and the ratio. Without `--bars` the bars are simulated ones of five minutes. The window is 25,920 bars, 40
features, 300 trees of depth 6; rounds and threshold are taken as already chosen. Ours counts features, labels, dataset, fit and prediction of the window;
the bare fit is `XGBClassifier.fit` on the finished table.
"""

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import xgboost

from tidegate.bars.bars import Bars, parse_time
from tidegate.bars.interval import DAY_MS, Interval
from tidegate.bars.simulated import simulate
from tidegate.bars.sources.source import open_source
from tidegate.dataset.dataset import assemble
from tidegate.dataset.windows import Window
from tidegate.features.features import FeatureSet, from_specs, resolve
from tidegate.model.training import booster_parameters, fit_booster
from tidegate.strategy.strategy import FileSource, Model, SimulatedSource, Strategy

BARS, FEATURES, ROUNDS, DEPTH = 25_920, 40, 300, 6


def load(path: Path | None) -> Bars:
    """The newest 25,920 bars and what their first features need."""
    if path is None:
        source = SimulatedSource(type="simulated", seed=1, days=100)
        bars = simulate("SIM/USD", Interval("5m"), source, parse_time("2026-11-01"))
    else:
        raw = open_source(FileSource(type="file", path=str(path)), Path.cwd()).fetch(
            "BTC/USDT", Interval("5m"), None, None, 0
        )
        bars = raw.bars
    return bars.take(slice(max(0, len(bars) - BARS - 200), None))


def timed(work: Callable[[], object]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def our_window(bars: Bars, features: FeatureSet, strategy: Strategy, threads: int) -> dict[str, float]:
    """Seconds of each stage for one window."""
    spent: dict[str, float] = {}
    marks = [time.perf_counter()]

    def mark(name: str) -> None:
        marks.append(time.perf_counter())
        spent[name] = marks[-1] - marks[-2]

    dataset = assemble([bars], features, strategy)
    mark("features and labels")
    rows = dataset.training_rows(Window(start_at=0, end_at=int(bars.closed_at[-1])))
    mark("dataset")
    parameters = booster_parameters(strategy.model, threads)
    booster = fit_booster(rows.x, rows.y, rows.weight, parameters, ROUNDS)
    mark("fit")
    booster.inplace_predict(dataset.tables[0].features[dataset.tables[0].usable].astype(np.float32))
    mark("predict")
    return spent


def main() -> None:
    """Print medians, the ratio and the peak of memory."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--bars", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    bars = load(chosen.bars)
    simulated = chosen.bars is None
    strategy = Strategy.model_validate(
        {
            "version": 1,
            "name": "simulated-bench" if simulated else "bench",
            "kind": "simulated" if simulated else "real",
            "symbols": [bars.symbol],
            "interval": "5m",
            "source": {"type": "simulated"} if simulated else {"type": "file", "path": str(chosen.bars)},
            "model": Model(max_depth=DEPTH, min_child_weight=1).model_dump(),
        }
    )
    features = from_specs(resolve(()).specs[:FEATURES])
    dataset = assemble([bars], features, strategy)
    rows = dataset.training_rows(Window(start_at=0, end_at=int(bars.closed_at[-1])))
    own = booster_parameters(strategy.model, chosen.threads)
    bare = xgboost.XGBClassifier(
        n_estimators=ROUNDS,
        n_jobs=chosen.threads,
        **{
            name: own[name]
            for name in (
                "tree_method",
                "max_depth",
                "learning_rate",
                "min_child_weight",
                "subsample",
                "colsample_bytree",
                "reg_lambda",
                "max_bin",
                "base_score",
            )
        },
        random_state=own["seed"],
    )
    fits, ours, stages = [], [], []
    for _ in range(chosen.rounds):
        fits.append(timed(lambda: bare.fit(rows.x, rows.y, sample_weight=rows.weight)))
        stages.append(our_window(bars, features, strategy, chosen.threads))
        ours.append(sum(stages[-1].values()))
    print(
        f"{len(bars)} bars, {len(rows)} rows, {FEATURES} features, {ROUNDS} trees of depth {DEPTH}, {chosen.threads} thread(s), last day {int(bars.closed_at[-1]) // DAY_MS}"
    )
    for name in stages[0]:
        print(f"  {name:20} {statistics.median(stage[name] for stage in stages):.3f} s")
    print(
        f"bare fit {statistics.median(fits):.3f} s, ours {statistics.median(ours):.3f} s, ratio {statistics.median(ours) / statistics.median(fits):.3f}"
    )
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
