"""Writes rows in processes that kill themselves with SIGKILL, each at another step that touches the disk.

Usage: kill_points.py WORK. Each point's log is left in WORK/<number>; a line of JSON tells what happened to it. The points are before and
after every step, and within every write. A process tells each commit that has returned through a pipe.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from tests.unit.serving.log.rows import log_in, row, settled

ROWS = 32
SEGMENT = 8 * 1024


class Killer:
    """Counts points; dies at the chosen one."""

    def __init__(self, at: int | None) -> None:
        self.at = at
        self.names: list[str] = []

    def point(self, name: str) -> None:
        if len(self.names) == self.at:
            os.kill(os.getpid(), signal.SIGKILL)
            signal.pause()  # the signal may reach another thread first
        self.names.append(name)

    def around(self, attribute: str) -> None:
        original: Callable[..., object] = getattr(os, attribute)

        def step(first: object, *others: object, **keywords: object) -> object:
            name = f"{attribute} {_file_of(first)}"
            self.point(f"before {name}")
            done = original(first, *others, **keywords)
            self.point(f"after {name}")
            return done

        setattr(os, attribute, step)

    def within_writes(self) -> None:
        """A killed write stops between two pages; here at the first page that it reaches into, if there is one."""
        original = os.pwrite

        def step(descriptor: int, content: bytes, offset: int) -> int:
            page = -offset % 4096
            if len(self.names) == self.at and 0 < page < len(content):
                original(descriptor, content[:page], offset)
            self.point(f"within pwrite {_file_of(descriptor)}")
            return original(descriptor, content, offset)

        os.pwrite = step  # type: ignore[assignment]

    def install(self) -> None:
        self.within_writes()
        for attribute in ("pwrite", "fdatasync", "fsync", "ftruncate", "fchmod", "rename"):
            self.around(attribute)


def _file_of(first: object) -> str:
    path = Path(f"/proc/self/fd/{first}").readlink() if isinstance(first, int) else Path(str(first))
    return path.name


def work(folder: Path, acknowledged: int, killer: Killer) -> None:
    """One process's life: start, rows one by one, in the middle the end and another start, the end."""
    killer.install()
    log = log_in(folder, segment_bytes=SEGMENT, datasync=lambda descriptor: os.fdatasync(descriptor))  # noqa: PLW0108
    for number in range(ROWS):
        log.append([row(number)])
        log.commit()
        os.write(acknowledged, b"%d\n" % number)
        settled(log)  # the worker's steps come in the same order each time
        if number == ROWS // 2:
            log.close()
            log = log_in(folder, segment_bytes=SEGMENT, datasync=lambda descriptor: os.fdatasync(descriptor))  # noqa: PLW0108
            settled(log)
    log.close()


def run(folder: Path, at: int | None) -> tuple[int, list[int], list[str]]:
    """Fork, run, and tell the child's wait status, the commits it told of, and its points."""
    folder.mkdir(parents=True)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        killer = Killer(at)
        work(folder / "log", writing, killer)
        (folder / "points.json").write_text(json.dumps(killer.names))
        (folder / "done").touch()
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as told:
        numbers = [int(line) for line in told.read().splitlines()]
    _, status = os.waitpid(child, 0)
    listing = folder / "points.json"
    return status, numbers, json.loads(listing.read_bytes()) if listing.exists() else []


def main() -> None:
    work_folder = Path(sys.argv[1])
    status, numbers, names = run(work_folder / "whole", None)
    assert status == 0, "the process must end when nobody kills it"
    assert numbers == list(range(ROWS))
    # Of each step on each kind of file the first times; later ones are alike.
    seen: dict[str, int] = {}
    for number, name in enumerate(names):
        kind = name if ".open" not in name else f"{name.split()[0]} {name.split()[1]} .open"
        seen[kind] = seen.get(kind, 0) + 1
        if seen[kind] > 3:
            continue
        folder = work_folder / str(number)
        status, told, _ = run(folder, number)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        done = (folder / "done").exists()
        line = {"name": name, "folder": str(folder), "killed": killed, "done": done, "told": told}
        print(json.dumps(line), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
