"""Replays that are killed at named points, as `kill -9` does: `python -m tests.integration.replay.killed FOLDER`.

Each point has a process and a folder of its own; processes are forked from one that has imported everything, which saves most of the time.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tests.integration.replay.small_replay import market, small_plan

from tidegate.backtest.vectorbt_engine import run
from tidegate.registry.promotion import Promoter
from tidegate.replay import journal, judged, training
from tidegate.replay.replay import replay
from tidegate.strategy.strategy import Costs


def die() -> None:
    """End without any clean-up."""
    os.kill(os.getpid(), signal.SIGKILL)


def before(owner: Any, name: str, when: Callable[..., bool]) -> None:  # noqa: ANN401  a module or class
    """Die instead of the first call for which `when` holds."""
    real = getattr(owner, name)

    def call(*args: Any, **keywords: Any) -> Any:  # noqa: ANN401
        if when(*args, **keywords):
            die()
        return real(*args, **keywords)

    setattr(owner, name, call)


def after(owner: Any, name: str, when: Callable[..., bool]) -> None:  # noqa: ANN401
    """Die after the first call for which `when` holds."""
    real = getattr(owner, name)

    def call(*args: Any, **keywords: Any) -> Any:  # noqa: ANN401
        found = real(*args, **keywords)
        if when(*args, **keywords):
            die()
        return found

    setattr(owner, name, call)


TRAINING = "a month is trained and has no name yet"
POINTS: dict[str, Callable[[], None]] = {
    TRAINING: lambda: before(training, "seal", lambda _temporary, target: target.name.startswith("2025-07")),
    "the aliases of the second promotion are set": lambda: after(
        Promoter, "apply_aliases", lambda _self, intent: intent.to_version == 2
    ),
    "the gates have decided about the second month": lambda: after(
        judged, "decide_run", lambda job, *_rest: job.month == "2025-07"
    ),
    "the rollback is done": lambda: after(Promoter, "rollback", lambda *_args, **_keywords: True),
    "a month is lived through and has no name yet": lambda: before(
        journal, "seal", lambda _temporary, target: target.name == "2025-07"
    ),
    "one path is a month ahead of the others": lambda: after(
        journal, "seal", lambda _temporary, target: target.name == "2025-07"
    ),
}


def place_of(folder: Path, point: str) -> Path:
    """Where the replay of a point is kept."""
    return folder / point.replace(" ", "-")


def run_until(folder: Path, point: str) -> int:
    """Replay in a process of its own; returns the signal that ended it, 0 where nothing did."""
    child = os.fork()
    if not child:
        POINTS[point]()
        replay(small_plan(place_of(folder, point), "2025-07"))
        os._exit(0)
    return os.WTERMSIG(os.waitpid(child, 0)[1])


def warm_up() -> None:
    """Let the engine be compiled once, before any process is forked."""
    bars = market().take(slice(0, 100))
    run(bars, np.zeros(100, np.int8), Costs(), 1.0, np.zeros(100, np.int8))


if __name__ == "__main__":
    warm_up()
    for name in POINTS:
        sys.stdout.write(f"{run_until(Path(sys.argv[1]), name)} {name}\n")
