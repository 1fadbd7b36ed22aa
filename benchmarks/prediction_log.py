"""What the prediction log adds to a request: `python -m benchmarks.prediction_log [--folder FOLDER] [--requests N]`.

One row of 40 features for each request, on the disk of FOLDER. One client waits for each answer before it asks again; eight ask at the
same time. Figures are milliseconds that a request waits for its row, from one run.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import uvloop

from tidegate.serving.log.group import GroupCommit
from tidegate.serving.log.record import Row
from tidegate.serving.log.writer import PredictionLog
from tidegate.serving.metrics import Metrics


def now_ms() -> int:
    """The clock."""
    return time.time_ns() // 1_000_000


def row(number: int) -> Row:
    """A row as production writes it."""
    at = now_ms()
    return Row(
        f"{number:026}", "bench:8080", "eurusd", "EUR/USD", at - 500, at, at, 12, "ab" * 32, "production",
        [(number % 97) / 7.0 + feature / 3.0 for feature in range(40)], "cd" * 32, 0.61803398875, 1, None, 0.0, 500,
        "answered",
    )  # fmt: skip


async def clients(group: GroupCommit, count: int, requests: int) -> list[float]:
    """Milliseconds of each request of some clients."""
    spent: list[float] = []

    async def client() -> None:
        for number in range(requests // count):
            rows = [row(number)]
            start = time.perf_counter()
            await group.durable(rows)
            spent.append((time.perf_counter() - start) * 1e3)

    await asyncio.gather(*(client() for _ in range(count)))
    return spent


def show(name: str, spent: list[float]) -> None:
    """One line of figures."""
    cuts = statistics.quantiles(spent, n=1000)
    print(f"{name:34} p50 {cuts[499]:.3f}  p99 {cuts[989]:.3f}  p99.9 {cuts[998]:.3f}  max {max(spent):.3f} ms")


def opened(folder: Path, *, sync: bool) -> PredictionLog:
    """A log with the default sizes."""
    return PredictionLog(
        folder, f"bench-{sync}", segment_bytes=16 << 20, max_bytes=10 << 30, keep_days=400, sync=sync, now_ms=now_ms
    )


def encoding(folder: Path, requests: int) -> list[float]:
    """Milliseconds to encode one row."""
    log = opened(folder, sync=False)
    spent = []
    for number in range(requests):
        rows = [row(number)]
        start = time.perf_counter()
        log.append(rows)
        spent.append((time.perf_counter() - start) * 1e3)
        log.commit()
    log.close()
    return spent


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--requests", type=int, default=20_000)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as temporary:
        folder = Path(temporary)
        show("encoding one row", encoding(folder, chosen.requests))
        for sync in (True, False):
            for count in (1, 8):
                log = opened(folder, sync=sync)
                group = GroupCommit(log, Metrics(), "refuse")
                run: Callable[[], list[float]] = lambda: uvloop.run(clients(group, count, chosen.requests))  # noqa: B023, E731
                start = time.perf_counter()
                spent = run()
                rate = len(spent) / (time.perf_counter() - start)
                show(f"{count} client{'s' * (count > 1)}, {'fdatasync' if sync else 'no sync'}, {rate:,.0f}/s", spent)
                log.close()


if __name__ == "__main__":
    main()
