"""Features of a whole window against a single pass, and what one prediction's parts cost: `python -m benchmarks.features [--rounds N]`.

The single pass is a numba loop of nineteen features, which must give the same numbers to 1e-9. Ours computes the same nineteen, each of its own text, and
so that a row's bits are the same alone and among others, which is what lets the service answer for one bar what training saw for it.

A prediction's parts are measured on one thread; rounds of all parts are interleaved in one process; the medians of a round's mean, in microseconds. The
window is of 300 simulated bars, the features are the standard set, the model has 300 trees of depth 6 over them.
"""

import statistics
import time
from collections.abc import Callable

import numpy as np
from benchmarks.single_pass import COUNT, one_pass, same_features
from benchmarks.tables import arguments, interleaved, keep, require, show

from tidegate.bars.bars import COLUMNS, Bars, parse_time
from tidegate.bars.interval import Interval
from tidegate.bars.simulated import simulate
from tidegate.features.features import resolve
from tidegate.model.export import to_onnx
from tidegate.model.manifest import Calibration
from tidegate.model.onnx_model import OnnxModel
from tidegate.model.training import booster_parameters, fit_booster
from tidegate.strategy.strategy import Model, SimulatedSource
from tidegate.validation.constraints import all_hold, bar_holds, violations

WINDOW, BATCH, TREES, DEPTH = 300, 25_920, 300, 6


def a_model(features: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> OnnxModel:
    """One fitted to drawn labels: its answers are noise, its size is not."""
    rng = np.random.default_rng(1)
    won = (rng.random(len(features)) < 0.5).astype(np.float32)
    weight = np.ones(len(features), np.float32)
    parameters = booster_parameters(Model(max_depth=DEPTH, min_child_weight=1), 1)
    booster = fit_booster(features.astype(np.float32), won, weight, parameters, TREES)
    calibration = Calibration(slope=1.0, intercept=0.0)
    return OnnxModel(to_onnx(bytes(booster.save_raw("ubj")), calibration, features.shape[1]), features.shape[1])


def parts(bars: Bars) -> dict[str, Callable[[], object]]:
    """What is timed, by name."""
    features = resolve(())
    batch = features.matrix(bars)
    model = a_model(batch[features.lookback - 1 :])
    window = bars.take(slice(-WINDOW, None))
    row = features.newest(window)
    as_of_ms = int(window.closed_at[-1])
    before, opened_at = window.opened_at.tolist()[-2:]
    opened, high, low, close, volume = (getattr(window, name).item(-1) for name in COLUMNS[1:])
    return {
        "the table of constraints, with reasons": lambda: violations(window, as_of_ms),
        "all bars hold": lambda: all_hold(window, as_of_ms),
        "one new bar holds": lambda: bar_holds(
            window.interval.milliseconds, before, opened_at, opened, high, low, close, volume, as_of_ms
        ),
        f"{len(features.names)} features of the newest bar": lambda: features.newest(window),
        f"model of {TREES} trees": lambda: model.probability(row),
        "constraints, features and model": lambda: (
            all_hold(window, as_of_ms) and model.probability(features.newest(window))
        ),
    }


def mean_us(work: Callable[[], object], calls: int) -> float:
    """Microseconds a call."""
    start = time.perf_counter()
    for _ in range(calls):
        work()
    return (time.perf_counter() - start) / calls * 1e6


def against_one_pass(bars: Bars, rounds: int) -> dict[str, float]:
    """Median seconds of the same features both ways, and of the whole standard set."""
    features, standard = same_features(), resolve(())
    ours, theirs = features.matrix(bars), one_pass(bars, features.lookback)
    apart = float(np.nanmax(np.abs(ours - theirs)))
    require(apart < 1e-9 and np.array_equal(np.isnan(ours), np.isnan(theirs)), f"features by {apart:.1e}")
    return interleaved(
        {
            f"{COUNT} features in a single numba pass": lambda: one_pass(bars, features.lookback),
            f"the same {COUNT} features": lambda: features.matrix(bars),
            f"{len(standard.names)} features, the standard set": lambda: standard.matrix(bars),
        },
        rounds,
    )


def main() -> None:
    """Print the medians."""
    parser = arguments(main.__doc__, rounds=30)
    chosen = parser.parse_args()
    source = SimulatedSource(type="simulated", seed=1, days=100)
    bars = simulate("SIM/USD", Interval("5m"), source, parse_time("2026-11-01")).take(slice(-BATCH, None))
    seconds = against_one_pass(bars, max(3, chosen.rounds // 3))
    bare, *_ = seconds.values()
    show(
        f"{len(bars):,} bars at once",
        ("side", "ms", "x single pass"),
        [(name, f"{spent * 1e3:.1f}", f"{spent / bare:.1f}") for name, spent in seconds.items()],
    )
    timed = parts(bars)
    spent: dict[str, list[float]] = {name: [] for name in timed}
    for _ in range(chosen.rounds):
        for name, work in timed.items():
            spent[name].append(mean_us(work, 100))
    medians = {name: statistics.median(found) for name, found in spent.items()}
    show(
        f"one prediction, window of {WINDOW} bars",
        ("part", "us"),
        [(name, f"{found:.1f}") for name, found in medians.items()],
    )
    keep(chosen.json, {"bars": len(bars), "seconds": seconds, "prediction_us": medians})


if __name__ == "__main__":
    main()
