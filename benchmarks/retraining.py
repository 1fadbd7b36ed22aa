"""A whole retraining against the bare XGBoost fits inside it: `python -m benchmarks.retraining [--folds N] [--places N]`.

Ours counts everything from the bars' source to the gates' decision, without MLflow and the report: bars fetched, validated and stored, features, labels,
folds, inner folds, choice of the entry threshold, export, backtests, checks (with the fit that must give the same bytes once more), statistics, models on
permuted labels, gates. The bare side is every fit that took place inside, of the same rows and as many rounds, by itself. Both run in turns, in one
process, `places` folds or fits at a time; every bare booster must have the bytes of ours.
"""

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.fits import Fits, bare_all, noted, timed
from benchmarks.tables import arguments, keep, require, show

from tidegate.bars.bars import parse_time
from tidegate.features.features import standard_set
from tidegate.pipeline.data import gather, prepare
from tidegate.pipeline.job import Job, Stopwatch
from tidegate.pipeline.judge import judge
from tidegate.pipeline.retrain import run_folds
from tidegate.settings.settings import Compute, Paths, Settings
from tidegate.strategy.strategy import Strategy

AS_OF_MS = parse_time("2026-11-01T00:00:00Z")
FEATURES, TRAIN_DAYS = 41, 90


def uses() -> list[dict[str, Any]]:
    """The standard set's first 41 features."""
    found: list[dict[str, Any]] = []
    left = FEATURES
    for use in standard_set():
        lengths = use.lengths[:left]
        left -= max(1, len(lengths))
        found.append({"use": use.use, "lengths": lengths})
        if not left:
            break
    return found


def bench_strategy(folds: int) -> Strategy:
    """Five-minute bars, a window of 25,920 of them, the defaults for everything else."""
    return Strategy.model_validate(
        {
            "version": 1,
            "name": "simulated-bench",
            "kind": "simulated",
            "symbols": ["SIM/USD"],
            "interval": "5m",
            "source": {"type": "simulated", "seed": 1, "days": TRAIN_DAYS + 30 * folds + 5},
            "features": uses(),
            "windows": {"train_days": TRAIN_DAYS, "test_days": 30, "max_folds": folds},
        }
    )


def whole(strategy: Strategy, places: int) -> tuple[dict[str, float], float]:
    """One retraining into folders of its own; seconds by stage, and of all."""
    with tempfile.TemporaryDirectory() as folder:
        paths = Paths(data=Path(folder) / "data", runs=Path(folder) / "runs", cache=Path(folder) / "cache")
        settings = Settings(paths=paths, compute=Compute(threads=1, parallel_folds=places))
        job = Job(strategy, settings, Path.cwd(), AS_OF_MS, AS_OF_MS, "benchmark", Stopwatch())
        start = time.perf_counter()
        gathered = gather(job)
        prepared = prepare(job, gathered)
        judge(job, gathered, prepared, run_folds(job, prepared), None)
        return dict(job.watch.seconds), time.perf_counter() - start


def in_turns(strategy: Strategy, places: int, rounds: int) -> tuple[Fits, dict[str, float], float, float]:
    """Fits, then medians of seconds by stage, of the whole, and of the bare fits."""
    with noted() as fits:
        whole(strategy, places)
    require(bare_all(fits.found, places) == [fit.ubj for fit in fits.found], "boosters of the bare fits")
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(whole(strategy, places))
        theirs.append(timed(lambda: bare_all(fits.found, places)))
    stages = {name: statistics.median(stage[name] for stage, _ in ours) for name in ours[0][0]}
    return fits, stages, statistics.median(total for _, total in ours), statistics.median(theirs)


def peak_memory_mb(folds: int, places: int) -> float:
    """Of one retraining in a process of its own, where nobody keeps the fits' rows."""
    command = [sys.executable, "-m", "benchmarks.retraining", "--folds", str(folds), "--places", str(places), "--once"]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Print stages, the ratio, and the share of the fits."""
    parser = arguments(main.__doc__, rounds=3)
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--places", type=int, default=1, help="folds or fits at a time (compute.parallel_folds)")
    parser.add_argument("--once", action="store_true", help="one retraining; print the peak of its memory")
    chosen = parser.parse_args()
    strategy = bench_strategy(chosen.folds)
    if chosen.once:
        whole(strategy, chosen.places)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000)
        return
    fits, stages, ours, theirs = in_turns(strategy, chosen.places, chosen.rounds)
    rows = max(fit.rows for fit in fits.found)
    show(
        f"one retraining, {rows:,} rows, {FEATURES} features, {chosen.folds} folds, {chosen.places} at a time",
        ("stage", "seconds", "share"),
        [(name, f"{seconds:.2f}", f"{seconds / ours:.0%}") for name, seconds in stages.items()],
    )
    print(f"\n  {len(fits.found)} fits by themselves {theirs:.2f} s, the whole retraining {ours:.2f} s")
    print(f"  a retraining takes {ours / theirs:.2f} x its bare fits; they are {theirs / ours:.0%} of it")
    memory = peak_memory_mb(chosen.folds, chosen.places)
    print(f"  peak memory of one retraining {memory:.0f} MB")
    figures = {"rows": rows, "folds": chosen.folds, "places": chosen.places, "fits": len(fits.found), "stages": stages}
    keep(chosen.json, figures | {"ours_s": ours, "bare_s": theirs, "ratio": ours / theirs, "peak_mb": memory})


if __name__ == "__main__":
    main()
