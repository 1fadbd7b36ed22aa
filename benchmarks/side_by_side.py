"""Months trained side by side on Dask: `python -m benchmarks.side_by_side [--months N] [--folds N]`.

Stage A of a replay, as `tidegate replay` runs it: each month is a whole retraining up to its measurements, in a folder of its own, by one and by two
worker processes of a local cluster, some months at a time in turns. What a worker does first (imports, compilation) is not counted: one month a worker comes
before. Every month's files must have the same bytes, however many workers there are.
"""

import hashlib
import json
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.fits import timed
from benchmarks.retraining import bench_strategy
from benchmarks.tables import arguments, keep, require, show

from tidegate.replay.history import collect
from tidegate.replay.mapping import Mapper
from tidegate.replay.plan import Plan, make_plan, write_configuration
from tidegate.replay.training import train_month
from tidegate.replay.workers import dask_mapper
from tidegate.settings.settings import Compute, Paths, Settings
from tidegate.strategy.strategy import Strategy

FIRST_YEAR, MOST_WORKERS = 2027, 2


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of every month, by month and name."""
    return {
        f"{path.relative_to(folder).parts[0][: len('2027-01')]}/{path.name}": hashlib.sha256(
            path.read_bytes()
        ).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@dataclass(frozen=True, slots=True)
class Side:
    """One cluster, with a replay's folder of its own and the months that it trains."""

    workers: int
    plan: Plan
    mapper: Mapper

    def train(self, months: slice) -> float:
        """Seconds to train some of the months."""
        references = [self.plan.reference(month) for month in self.plan.months[months]]
        return timed(lambda: list(self.mapper(train_month, references)))

    def peak_mb(self) -> float:
        """The largest worker's peak of memory."""
        notes = [json.loads(path.read_text(encoding="utf-8")) for path in (self.plan.folder / "timings").glob("*.json")]
        return float(max(note["peak_memory_mb"] for note in notes))


@contextmanager
def opened(strategy: Strategy, months: int, workers: int) -> Iterator[Side]:
    """A cluster whose workers have all trained one month: the last ones of the plan, which nobody counts."""
    names = [f"{FIRST_YEAR + number // 12}-{number % 12 + 1:02d}" for number in range(months + MOST_WORKERS)]
    with tempfile.TemporaryDirectory() as folder:
        paths = Paths(runs=Path(folder) / "runs", cache=Path(folder) / "cache")
        settings = Settings(paths=paths, compute=Compute(threads=1, parallel_folds=1, workers=workers))
        plan = make_plan(strategy, settings, Path.cwd(), names[0], names[-1])
        write_configuration(plan)
        collect(plan)
        with dask_mapper(settings) as mapper:
            side = Side(workers, plan, mapper)
            side.train(slice(months, None))
            yield side


def main() -> None:
    """Print retrains a minute and how they scale."""
    parser = arguments(main.__doc__, rounds=3)
    parser.add_argument("--months", type=int, default=2, help="months a round")
    parser.add_argument("--folds", type=int, default=2)
    chosen = parser.parse_args()
    source = {"source": {"type": "simulated", "seed": 1, "starts_at": f"{FIRST_YEAR - 1}-01-01T00:00:00Z"}}
    strategy = Strategy.model_validate(bench_strategy(chosen.folds).model_dump() | source)
    count = chosen.months * chosen.rounds
    with opened(strategy, count, 1) as one, opened(strategy, count, MOST_WORKERS) as two:
        spent: dict[int, list[float]] = {1: [], MOST_WORKERS: []}
        for at in range(0, count, chosen.months):
            for side in (one, two):
                spent[side.workers].append(side.train(slice(at, at + chosen.months)))
        files = [digests(side.plan.folder / "months") for side in (one, two)]
        memory = {side.workers: side.peak_mb() for side in (one, two)}
    require(files[0] == files[1] and len(files[0]) > count, "files of the months")
    seconds = {workers: statistics.median(found) / chosen.months for workers, found in spent.items()}
    show(
        f"{count} months, {chosen.folds} folds of 90 days of five-minute bars each, in turns; the same bytes",
        ("workers", "retrains a minute", "x one worker", "peak MB a worker"),
        [
            (str(workers), f"{60 / each:.1f}", f"{seconds[1] / each:.2f}", f"{memory[workers]:.0f}")
            for workers, each in seconds.items()
        ],
    )
    keep(chosen.json, {"months": count, "folds": chosen.folds, "seconds_a_month": seconds, "peak_mb": memory})


if __name__ == "__main__":
    main()
