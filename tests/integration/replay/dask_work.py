"""Functions that workers in other processes run, and a program that is interrupted: `python -m tests.integration.replay.dask_work FOLDER`."""

import os
import signal
import sys
import time
from pathlib import Path

from tidegate.errors import ModelError
from tidegate.replay.workers import dask_mapper
from tidegate.settings.settings import Compute, Paths, Settings


def environment(reference: str) -> str:
    """Who worked on it, and with how many threads."""
    time.sleep(0.2)  # long enough for both workers to get some
    return f"{reference} {os.getpid()} {os.environ['OMP_NUM_THREADS']} {os.environ['NUMBA_NUM_THREADS']}"


def refused(reference: str) -> str:
    """An error of ours for the second one."""
    if reference == "b":
        raise ModelError("month b cannot be trained", expected="two classes", actual=1, next_step="look at it")
    return reference


def broken(reference: str) -> str:
    """An error that nobody expected."""
    raise ZeroDivisionError(reference)


def killed_once(reference: str) -> str:
    """Killed at the first attempt; the reference is a file that tells of it."""
    mark = Path(reference)
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "lives"


def killed_always(reference: str) -> str:
    """Killed at every attempt, where its file says `kill`; each attempt is noted."""
    mark = Path(reference)
    if mark.name == "kill":
        with mark.open("a") as file:
            file.write("x")
        os.kill(os.getpid(), signal.SIGKILL)
    return mark.name


def hungry(reference: str) -> str:
    """Takes more memory than it may."""
    held = []
    while True:
        held.append(bytearray(os.urandom(1) * 20_000_000))
        time.sleep(0.01)
        if len(held) > 500:
            return reference


def forever(reference: str) -> str:
    """Works until it is ended."""
    time.sleep(600)
    return reference


def installation(folder: Path, **compute: object) -> Settings:
    """Settings with two workers, each with little memory."""
    return Settings(
        paths=Paths(cache=folder / "cache"), compute=Compute.model_validate({"worker_memory_gb": 0.5} | compute)
    )


if __name__ == "__main__":
    with dask_mapper(installation(Path(sys.argv[1]))) as mapper:
        print("working", flush=True)  # noqa: T201
        list(mapper(forever, ["a", "b", "c"]))
