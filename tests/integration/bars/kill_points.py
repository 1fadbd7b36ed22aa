"""Runs one operation on copies of a store, each time in a process that kills itself with SIGKILL at another point.

Usage: kill_points.py OPERATION BASE WORK. Each point's copy is left in WORK/<number>; a line of JSON tells what happened to it. The points
are before and after every step that touches the disk, and in the middle of every file written.
"""

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tidegate import durable
from tidegate.bars import commit
from tidegate.bars.bars import Bars, parse_time
from tidegate.bars.interval import Interval
from tidegate.bars.snapshot import take
from tidegate.bars.store import BarStore

HOUR = Interval("1h")
START = parse_time("2024-02-28")
NOW = parse_time("2024-06-01")


def bars(hours: range, shift: float = 0.0) -> Bars:
    hour = np.arange(hours.start, hours.stop, hours.step)
    price = 100.0 + hour + shift
    opened_at = START + hour * HOUR.milliseconds
    return Bars.of("BTC/USDT", HOUR, opened_at=opened_at, open=price, high=price, low=price, close=price, volume=hour)


def prepare(store: BarStore) -> None:
    """Two months of bars with open revisions in both."""
    store.ingest(bars(range(0, 400, 2)), NOW)
    store.ingest(bars(range(0, 400, 50), shift=1), NOW)


OPERATIONS: dict[str, Callable[[BarStore], object]] = {
    # adds to two months, begins a third and records revisions
    "ingest": lambda store: store.ingest(Bars.concatenate([bars(range(10), 2), bars(range(10, 900))]), NOW + 1),
    "first ingest": lambda store: store.ingest(bars(range(900)).with_symbol("ETH/USDT"), NOW + 1),
    "accept": lambda store: store.accept_revisions("BTC/USDT", HOUR, NOW + 1),
    "snapshot": lambda store: take(store, store.load("BTC/USDT", HOUR)),
}


class Killer:
    """Counts points; dies at the chosen one."""

    def __init__(self, at: int | None) -> None:
        self.at = at
        self.names: list[str] = []

    def point(self, name: str, torn: Path | None = None) -> None:
        if len(self.names) == self.at:
            if torn is not None:
                os.truncate(torn, torn.stat().st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        self.names.append(name)

    def around(self, owner: object, attribute: str, name: Callable[..., str], *, writes: int | None = None) -> None:
        original = getattr(owner, attribute)

        def step(*arguments: object, **keywords: object) -> object:
            self.point(f"before {name(*arguments)}")
            done = original(*arguments, **keywords)
            if writes is not None:
                self.point(f"within {name(*arguments)}", torn=Path(str(arguments[writes])))
            self.point(f"after {name(*arguments)}")
            return done

        setattr(owner, attribute, step)

    def install(self) -> None:
        self.around(pq, "write_table", lambda _table, path, *_: f"writing {Path(path).name}", writes=1)
        self.around(Path, "write_text", lambda path, *_: f"writing {path.name[:12]}", writes=0)
        for owner, attribute in ((commit, "_sync"), (durable, "sync")):
            self.around(owner, attribute, lambda path: f"syncing {path.name[:30]}")
        self.around(os, "replace", lambda _old, new: f"moving {Path(new).name[:30]}")
        self.around(os, "unlink", lambda path: f"removing {Path(path).name}")


def run(operation: str, folder: Path, at: int | None) -> tuple[int, list[str]]:
    """Fork, run, and tell the child's wait status and its points."""
    listing = folder / "points.json"
    child = os.fork()
    if child == 0:
        killer = Killer(at)
        killer.install()
        OPERATIONS[operation](BarStore(folder / "store"))
        listing.open("w").write(json.dumps(killer.names))
        (folder / "done").touch()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return status, json.loads(listing.read_bytes()) if listing.exists() else []


def main() -> None:
    pa.array([0.0]).to_numpy()  # what Arrow imports on first use is imported once, before the processes part
    operation, base, work = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    shutil.copytree(base, work / "whole" / "store")
    status, names = run(operation, work / "whole", None)
    assert status == 0, "the operation must end when nobody kills it"
    for number, name in enumerate(names):
        folder = work / str(number)
        shutil.copytree(base, folder / "store")
        status, _ = run(operation, folder, number)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        print(json.dumps({"name": name, "folder": str(folder), "killed": killed, "done": (folder / "done").exists()}))  # noqa: T201


if __name__ == "__main__":
    main()
