"""Validation of a year of one-minute bars: `python -m benchmarks.validation [--bars FILE]`.

Without `--bars` the bars are simulated ones. Imports are not counted: the first of the rounds is thrown away.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tidegate.bars.bars import Bars, parse_time
from tidegate.bars.interval import Interval
from tidegate.bars.simulated import simulate
from tidegate.bars.sources.source import open_source
from tidegate.settings.settings import Validation
from tidegate.strategy.strategy import FileSource, SimulatedSource
from tidegate.validation.validate import Validated, judge, validate


def load(path: Path | None) -> Bars:
    """A year of one-minute bars."""
    if path is None:
        source = SimulatedSource(type="simulated", seed=1, days=365)
        return simulate("SIM/USD", Interval("1m"), source, parse_time("2026-11-01"))
    return (
        open_source(FileSource(type="file", path=str(path)), Path.cwd())
        .fetch("BTC/USDT", Interval("1m"), None, None, 0)
        .bars
    )


def main() -> None:
    """Print medians in seconds."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--bars", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    bars = load(chosen.bars)
    as_of_ms = int(bars.closed_at[-1])
    rules = Validation()
    spent: dict[str, list[float]] = {"rules alone": [], "rules and Great Expectations": [], "with data docs": []}
    how: Any = {"rules": rules, "calendar": "24/7", "as_of_ms": as_of_ms}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(chosen.rounds + 1):
            works: dict[str, Callable[[], Validated]] = {
                "rules alone": partial(judge, bars, **how),
                "rules and Great Expectations": partial(validate, bars, **how),
                "with data docs": partial(validate, bars, docs_folder=Path(folder) / str(number), **how),
            }
            for name, work in works.items():
                start = time.perf_counter()
                validated = work()
                if number:
                    spent[name].append(time.perf_counter() - start)
    print(f"{len(bars)} bars, passed: {validated.passed}")
    for name, seconds in spent.items():
        print(f"  {name:30} {statistics.median(seconds):.3f} s")


if __name__ == "__main__":
    main()
