"""What every benchmark prints: a small table, and all of its figures as JSON where a file is named."""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path


def arguments(description: str | None, *, rounds: int) -> argparse.ArgumentParser:
    """A parser with `--rounds` and `--json`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=rounds, help="how often each side is measured, in turns")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep all figures")
    return parser


def interleaved(sides: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each side; sides take turns, and a first turn, which imports and compiles, is not counted."""
    spent: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, work in sides.items():
            start = time.perf_counter()
            work()
            if number:
                spent[name].append(time.perf_counter() - start)
    return {name: statistics.median(seconds) for name, seconds in spent.items()}


def show(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table: the first column to the left, the others to the right."""
    lines = [tuple(head), *map(tuple, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    print(f"\n{title}")
    for line in lines:
        first, *others = (
            text.ljust(width) if at == 0 else text.rjust(width)
            for at, (text, width) in enumerate(zip(line, widths, strict=True))
        )
        print("  " + "  ".join([first, *others]))


def keep(path: Path | None, figures: Mapping[str, object]) -> None:
    """Write the figures with the machine they are of; nothing without a path."""
    if path is None:
        return
    machine = {
        "processors": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "load": os.getloadavg(),
    }
    path.write_text(json.dumps({"machine": machine} | dict(figures), indent=1) + "\n")


def require(equal: bool, what: str) -> None:
    """Fail where two sides did not do the same: their times mean nothing then.

    Raises:
        SystemExit: with what differs.
    """
    if not equal:
        raise SystemExit(f"outputs differ: {what}; nothing was measured")
