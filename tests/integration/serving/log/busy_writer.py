"""Writes as the service does under load and is killed by SIGKILL, many times in one folder.

Usage: busy_writer.py FOLDER KILLS. A line of JSON for each kill tells the ids of the rows whose commit had returned.
"""

import asyncio
import json
import os
import random
import signal
import sys
from pathlib import Path

import uvloop
from tests.unit.serving.log.rows import log_in, row

from tidegate.serving.log.group import GroupCommit
from tidegate.serving.metrics import Metrics


async def client(group: GroupCommit, told: int, first: int, chance: random.Random) -> None:
    """Ask for ever: one to three rows, some of them long; tell each id once its commit has returned."""
    number = first
    while True:
        ids = range(number, number + chance.randint(1, 3))
        number = ids.stop
        features = [chance.random() for _ in range(chance.choice((1, 40, 300)))]
        assert await group.durable([row(each, features=features) for each in ids])
        os.write(told, b"".join(b"%d\n" % each for each in ids))
        group.later([row(number, request_id=f"later {number}", role="shadow")])


async def serve(folder: Path, told: int, first: int) -> None:
    """Four clients until somebody kills this."""
    group = GroupCommit(log_in(folder), Metrics(), "refuse")
    starts = range(first, first + 4_000_000, 1_000_000)
    await asyncio.gather(*(client(group, told, start, random.Random(start)) for start in starts))  # noqa: S311


def killed(folder: Path, number: int, chance: random.Random) -> list[int]:
    """Let a process write, kill it at a random moment, and return the ids it told whole."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        uvloop.run(serve(folder, writing, number * 10_000_000))
        os._exit(1)
    os.close(writing)
    with os.fdopen(reading, "rb") as told:
        lines = [told.readline() for _ in range(chance.randint(1, 400))]
        os.kill(child, signal.SIGKILL)
        lines += told.read().splitlines(keepends=True)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "it ended before it was killed"
    assert os.WTERMSIG(status) == signal.SIGKILL
    return [int(line) for line in lines if line.endswith(b"\n")]


def main() -> None:
    chance = random.Random(1)  # noqa: S311
    for number in range(int(sys.argv[2])):
        print(json.dumps(killed(Path(sys.argv[1]), number, chance)), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
