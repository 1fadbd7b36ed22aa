"""A monitoring run over a year of one-minute answers: `python -m benchmarks.monitoring [--folder FOLDER] [--days N]`.

Simulated bars, a model trained on their first 65 days, and 525,600 answers of 20 features each, written by the service's own writer. What is
measured is a process of its own that reads the log and computes live figures, reconciliation, the sequential test and drift: seconds of each
stage, and the peak of its memory. Reading the bars themselves is not in it.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from tidegate.bars.bars import COLUMNS, Bars, Floats, parse_time
from tidegate.bars.interval import DAY_MS, Interval
from tidegate.bars.simulated import simulate
from tidegate.model.bundle import GOLDEN, ONNX, UBJ, Bundle, golden_bytes, load_bundle, sha256, write_bundle
from tidegate.monitoring.drift import DriftSample, drift
from tidegate.monitoring.live import live_figures
from tidegate.monitoring.predictions import Predictions, read_predictions
from tidegate.monitoring.reconciliation import recompute
from tidegate.strategy.strategy import SimulatedSource, Strategy

STARTS_AT, MINUTE_MS, TRAIN_DAYS, TEST_DAYS = "2025-01-01T00:00:00Z", 60_000, 65, 30
SYMBOL = "SIM/USD"
FEATURES = (
    {"use": "signed_volume", "lengths": [3, 6, 12, 24, 48]},
    {"use": "money_flow", "lengths": [6, 12, 24]},
    {"use": "return", "lengths": [1, 3, 6, 12, 24, 48]},
    {"use": "volatility", "lengths": [6, 12, 24, 48, 96, 192]},
)


def strategy_of(days: int) -> Strategy:
    """The benchmark's strategy."""
    content: dict[str, Any] = {
        "version": 1, "name": "simulated-bench", "kind": "simulated", "symbols": [SYMBOL], "interval": "1m",
        "source": {"type": "simulated", "seed": 12, "starts_at": STARTS_AT, "days": days}, "features": FEATURES,
        "windows": {"train_days": TRAIN_DAYS, "test_days": TEST_DAYS, "max_folds": 1},
        "model": {"max_rounds": 200, "inner_folds": 2}, "policy": {"margins": [0.04]},
    }  # fmt: skip
    return Strategy.model_validate(content)


def prepare(folder: Path, days: int) -> None:
    """Bars, bundle and log."""
    from tidegate.backtest.positions import decide

    total = TRAIN_DAYS + TEST_DAYS + 2 + days
    strategy = strategy_of(total)
    opens = parse_time(STARTS_AT)
    source = strategy.source
    assert isinstance(source, SimulatedSource)
    bars = simulate(SYMBOL, Interval("1m"), source, opens + total * DAY_MS)
    np.savez(folder / "bars.npz", **{name: getattr(bars, name) for name in COLUMNS})
    trained_until = int(bars.closed_at[-1]) - days * DAY_MS
    start = time.perf_counter()
    bundle = train(folder / "bundle", bars.until(trained_until), strategy)
    print(f"trained in {time.perf_counter() - start:.0f} s")
    part = bars.take(slice(int(np.searchsorted(bars.opened_at, trained_until)), None))
    probability = recompute(bars, part, bundle)
    target = decide(probability, part.close, part.open, bundle.manifest.policy)
    start = time.perf_counter()
    write_log(folder / "log", bars, part, probability, target.tolist(), bundle)
    size = sum(path.stat().st_size for path in (folder / "log").rglob("*.log"))
    print(f"{len(part):,} rows, {size / 1e6:.0f} MB, written in {time.perf_counter() - start:.0f} s")


def train(folder: Path, bars: Bars, strategy: Strategy) -> Bundle:
    """Train on the first days, and write a bundle."""
    from tests.registry_factories import manifest

    from tidegate.backtest.metrics import summarise
    from tidegate.dataset.dataset import assemble
    from tidegate.dataset.folds import walk_forward
    from tidegate.features.features import resolve
    from tidegate.pipeline.fold import run_fold

    dataset = assemble([bars], resolve(strategy.features), strategy)
    windows = walk_forward(dataset.first_usable_at, dataset.end_at, strategy.windows, strategy.bar)[-1]
    fold = run_fold(dataset, windows, strategy, threads=2)
    metrics = summarise(fold.portfolio, strategy.periods_per_year)
    files = {ONNX: fold.onnx, UBJ: fold.fitted.ubj, GOLDEN: golden_bytes(manifest_golden())}
    made = manifest(
        strategy=strategy.name, kind="simulated", symbols=strategy.symbols, interval=strategy.interval, calendar="24/7",
        features=dataset.features.specs, lookback=dataset.features.lookback, policy=fold.policy,
        calibration=fold.fitted.calibration, windows=(windows,),
        out_of_sample={name: value if np.isfinite(value) else None for name, value in metrics.items()},
        regimes={symbol: each.model_dump(mode="json") for symbol, each in fold.regimes.items()},
        files={name: sha256(content) for name, content in files.items()},
    )  # fmt: skip
    return write_bundle(folder, made, files)


def manifest_golden() -> Any:  # noqa: ANN401  a bundle wants one, and nobody asks it here
    """One golden vector."""
    from tidegate.model.manifest import GoldenVector

    return (GoldenVector(symbol=SYMBOL, bars={}, features=(), probability=0.5, signal=0),)


def write_log(
    folder: Path,
    bars: Bars,
    part: Bars,
    probability: Floats,
    targets: list[Any],
    bundle: Bundle,
) -> None:
    """One row a bar, as the service writes them."""
    from tidegate.features.features import from_specs
    from tidegate.serving.log.record import Row
    from tidegate.serving.log.writer import PredictionLog

    features = from_specs(bundle.manifest.features)
    matrix = features.matrix(bars)[-len(part) :]
    log = PredictionLog(
        folder, "bench:8080", segment_bytes=16 << 20, max_bytes=10 << 30, keep_days=40_000, sync=False,
        now_ms=lambda: int(part.closed_at[-1]),
    )  # fmt: skip
    for at, closed_at in enumerate(part.closed_at.tolist()):
        log.append([
            Row(
                f"{at:026}", "bench:8080", "simulated-bench", SYMBOL, closed_at, closed_at + 100, closed_at + 101, 1,
                bundle.digest, "production", matrix[at].tolist(), "cd" * 32, float(probability[at]), targets[at], None,
                0.0, 100, "ok",
            )
        ])  # fmt: skip
        log.commit()
    log.close()


class Stages:
    """Prints the seconds since the last mark, by the clock and of the processor, and the peak of memory so far."""

    def __init__(self) -> None:
        self._start = self._last = (time.perf_counter(), time.process_time())

    def mark(self, name: str) -> None:
        """One line."""
        before, self._last = self._last, (time.perf_counter(), time.process_time())
        self._show(name, before)

    def total(self) -> None:
        """The last line."""
        self._show("all", self._start)

    def _show(self, name: str, since: tuple[float, float]) -> None:
        wall, processor = (now - then for now, then in zip(self._last, since, strict=True))
        print(f"{name:36} {wall:6.1f} s, of processor {processor:6.1f} s   peak {peak_mb():6.0f} MB", flush=True)


def peak_mb() -> float:
    """Peak resident memory of this process."""
    # A process that was started by another keeps that one's peak in `ru_maxrss`; Linux knows its own as well.
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) / 1024
    kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kib / (1024 * 1024 if sys.platform == "darwin" else 1024)


def measure(folder: Path, days: int) -> None:
    """The run, after the imports and the first compilation that every process pays once."""
    from tidegate.monitoring import sequential

    strategy = strategy_of(TRAIN_DAYS + TEST_DAYS + 2 + days)
    with np.load(folder / "bars.npz") as kept:
        bars = Bars.of(SYMBOL, "1m", **{name: kept[name] for name in COLUMNS})
    bundle = load_bundle(folder / "bundle")
    as_of = int(bars.closed_at[-1])
    start_at = as_of - days * DAY_MS
    print(f"before: peak {peak_mb():.0f} MB")
    stages = Stages()
    read = read_predictions(folder / "log", strategy.name, window_start_at=start_at, as_of=as_of)
    stages.mark(f"read {len(read):,} rows")
    figures = live_figures(read, {SYMBOL: bars}, {1: bundle}, strategy, window_start_at=start_at, as_of=as_of)
    stages.mark("live figures, reconciliation")
    design = sequential.design(bundle.manifest.out_of_sample, strategy.monitor.yearly_false_alarms)
    found = sequential.test(design, 1, figures.production[-1].trade_won)
    stages.mark(f"sequential test, {len(found.statistic):,} trades")
    drifted = compare(read, bars, bundle, strategy, as_of)
    stages.mark(f"drift of {len(drifted.items)} items")
    stages.total()
    print(figures.balance)
    assert figures.balance.rows == len(read) == days * DAY_MS // MINUTE_MS
    assert figures.reconciliation is not None


def compare(read: Predictions, bars: Bars, bundle: Bundle, strategy: Strategy, as_of: int) -> Any:  # noqa: ANN401
    """Drift of the last days against the training window."""
    from tidegate.features.features import from_specs
    from tidegate.monitoring.calibration import known_labels

    window = bundle.manifest.windows[-1].train
    part = bars.between(window.start_at, window.end_at)
    features = from_specs(bundle.manifest.features)
    chosen = read.of(1) & (read.closed_at > as_of - strategy.monitor.drift_days * DAY_MS)
    reference = DriftSample(
        features.names, features.matrix(part), recompute(bars, part, bundle),
        known_labels(part, part.closed_at, strategy), part.closed_at,
    )  # fmt: skip
    current = DriftSample(
        features.names, read.features_of(chosen), read.probability[chosen],
        known_labels(bars.between(as_of - 30 * DAY_MS, as_of), read.closed_at[chosen], strategy), read.closed_at[chosen],
    )  # fmt: skip
    monitor = strategy.monitor
    return drift(
        1,
        reference,
        current,
        false_discovery_rate=monitor.drift_false_discovery_rate,
        effect=monitor.drift_effect,
        seed=1,
    )


def main() -> None:
    """Prepare, then measure in a process of its own, so that its peak of memory is its own."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--measure", type=Path, help="a folder that was prepared")
    chosen = parser.parse_args()
    if chosen.measure:
        measure(chosen.measure, chosen.days)
        return
    with tempfile.TemporaryDirectory(dir=chosen.folder) as temporary:
        prepare(Path(temporary), chosen.days)
        command = [sys.executable, "-m", "benchmarks.monitoring", "--measure", temporary, "--days", str(chosen.days)]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
