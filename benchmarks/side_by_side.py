"""Months trained side by side on Dask: `python -m benchmarks.side_by_side [--months N] [--folds N]`.

Stage A of a replay, as `tidegate replay` runs it: each month is a whole retraining up to its measurements, in a folder of its own, by one, then by two
worker processes of a local cluster. What a worker does first (imports, compilation) is not counted: one month a worker comes before. Every month's files must
have the same bytes, however many workers there are.
"""

import hashlib
import json
import tempfile
from pathlib import Path

from benchmarks.fits import timed
from benchmarks.retraining import bench_strategy
from benchmarks.tables import arguments, keep, require, show

from tidegate.replay.history import collect
from tidegate.replay.plan import make_plan, write_configuration
from tidegate.replay.training import train_month
from tidegate.replay.workers import dask_mapper
from tidegate.settings.settings import Compute, Paths, Settings
from tidegate.strategy.strategy import Strategy

FIRST_YEAR = 2027


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of every month, by month and name."""
    return {
        f"{path.relative_to(folder).parts[0][: len('2027-01')]}/{path.name}": hashlib.sha256(
            path.read_bytes()
        ).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def trained(strategy: Strategy, months: int, workers: int) -> tuple[float, float, dict[str, str]]:
    """Seconds for the months after the warm-up, the largest worker's peak of memory in MB, and the files' digests."""
    names = [f"{FIRST_YEAR + number // 12}-{number % 12 + 1:02d}" for number in range(months + workers)]
    with tempfile.TemporaryDirectory() as folder:
        paths = Paths(runs=Path(folder) / "runs", cache=Path(folder) / "cache")
        settings = Settings(paths=paths, compute=Compute(threads=1, parallel_folds=1, workers=workers))
        plan = make_plan(strategy, settings, Path.cwd(), names[0], names[-1])
        write_configuration(plan)
        collect(plan)
        references = [plan.reference(month) for month in plan.months]
        with dask_mapper(settings) as mapper:
            list(mapper(train_month, references[months:]))
            seconds = timed(lambda: list(mapper(train_month, references[:months])))
        notes = [json.loads(path.read_text(encoding="utf-8")) for path in (plan.folder / "timings").glob("*.json")]
        found = digests(plan.folder / "months")
    counted = {path: digest for path, digest in found.items() if path[: len("2027-01")] in names[:months]}
    return seconds, max(note["peak_memory_mb"] for note in notes), counted


def main() -> None:
    """Print retrains a minute and how they scale."""
    parser = arguments(main.__doc__, rounds=1)
    parser.add_argument("--months", type=int, default=6)
    parser.add_argument("--folds", type=int, default=2)
    chosen = parser.parse_args()
    source = {"source": {"type": "simulated", "seed": 1, "starts_at": f"{FIRST_YEAR - 1}-01-01T00:00:00Z"}}
    strategy = Strategy.model_validate(bench_strategy(chosen.folds).model_dump() | source)
    found = {workers: trained(strategy, chosen.months, workers) for workers in (1, 2)}
    require(found[1][2] == found[2][2] and len(found[1][2]) > 2 * chosen.months, "files of the months")
    one = found[1][0]
    show(
        f"{chosen.months} months, {chosen.folds} folds of 90 days of five-minute bars each; the same bytes",
        ("workers", "retrains a minute", "x one worker", "peak MB a worker"),
        [
            (str(workers), f"{60 * chosen.months / seconds:.1f}", f"{one / seconds:.2f}", f"{memory:.0f}")
            for workers, (seconds, memory, _) in found.items()
        ],
    )
    keep(chosen.json, {"months": chosen.months, "folds": chosen.folds, "seconds": {w: f[0] for w, f in found.items()}})


if __name__ == "__main__":
    main()
