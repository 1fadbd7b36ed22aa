"""Memory of a fit by external memory beside one in memory: `python -m benchmarks.scale [--years 1 4]`.

A year of one-minute bars is 525,600 rows; each way is a process of its own, which draws the same rows block by block, fits, and tells the peak of its
memory (Linux). Both must give the same booster, byte for byte. `table` is the size of the rows' features; `fit` is what the process needed at its
peak beyond what it had, libraries loaded, before there was any row.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from benchmarks.tables import arguments, keep, require, show

from tidegate.dataset.spill import Spill, blocks, release
from tidegate.model.training import booster_parameters, fit_booster
from tidegate.strategy.strategy import Model

YEAR, FEATURES = 525_600, 41
WAYS = {"in memory": float("inf"), "external memory": 0.0}


def status_mb(name: str) -> float:
    """A figure of this process's memory, in MB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1000


def one_way(years: float, rounds: int, above_mb: float) -> dict[str, float | str]:
    """Draw the rows, fit once, and tell what it took. Libraries are loaded by a small fit before."""
    rows = int(years * YEAR)
    parameters = booster_parameters(Model(min_child_weight=20), 1)
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory(dir=".cache") as folder:
        for above in (0.0, float("inf")):
            warm = Spill(Path(folder), above).table(1000, FEATURES, np.float32)
            warm[:] = rng.standard_normal((1000, FEATURES))
            label = (warm[:, 0] > 0).astype(np.float32)
            fit_booster(warm, label, np.ones(1000, np.float32), parameters, 2)
        before = status_mb("VmRSS")
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        x = Spill(Path(folder), above_mb).table(rows, FEATURES, np.float32)
        y, weight = np.empty(rows, np.float32), np.empty(rows, np.float32)
        for block in blocks(rows):
            count = block.stop - block.start
            x[block] = rng.standard_normal((count, FEATURES), dtype=np.float32)
            y[block] = x[block][:, 0] + rng.standard_normal(count, dtype=np.float32) > 0
            weight[block] = rng.uniform(0.5, 1.5, count)
            release(x)
        start = time.perf_counter()
        booster = fit_booster(x, y, weight, parameters, rounds)
        seconds = time.perf_counter() - start
        peak = status_mb("VmHWM")
    digest = hashlib.sha256(bytes(booster.save_raw("ubj"))).hexdigest()
    return {"digest": digest, "seconds": seconds, "peak_mb": peak, "fit_mb": peak - before}


def apart(years: float, rounds: int, way: str) -> dict[str, float | str]:
    """One way in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.scale", "--one", way, "--years", str(years), "--trees", str(rounds)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found: dict[str, float | str] = json.loads(told)
    return found


def main() -> None:
    """Print memory and seconds of both ways."""
    parser: argparse.ArgumentParser = arguments(main.__doc__, rounds=1)
    parser.add_argument("--years", type=float, nargs="+", default=[1.0, 4.0], help="sizes, in years of one-minute bars")
    parser.add_argument("--trees", type=int, default=50)
    parser.add_argument("--one", choices=WAYS, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    Path(".cache").mkdir(exist_ok=True)
    if chosen.one:
        print(json.dumps(one_way(chosen.years[0], chosen.trees, WAYS[chosen.one])))
        return
    figures = {years: {way: apart(years, chosen.trees, way) for way in WAYS} for years in chosen.years}
    for years, ways in figures.items():
        require(len({found["digest"] for found in ways.values()}) == 1, f"boosters of {years:g} years")
    show(
        f"{YEAR:,} rows a year, {FEATURES} features, {chosen.trees} trees; both ways give the same bytes",
        ("years, way", "table MB", "peak MB", "fit MB", "seconds"),
        [
            (
                f"{years:g} {way}",
                f"{years * YEAR * FEATURES * 4 / 1e6:.0f}",
                f"{found['peak_mb']:.0f}",
                f"{found['fit_mb']:.0f}",
                f"{found['seconds']:.1f}",
            )
            for years, ways in figures.items()
            for way, found in ways.items()
        ],
    )
    keep(chosen.json, {"rows_a_year": YEAR, "features": FEATURES, "trees": chosen.trees, "years": figures})


if __name__ == "__main__":
    main()
