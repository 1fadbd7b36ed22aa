"""A container of the serving image, locked down as the page on the container tells users to run it."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.container.engine import Engine

USER: Final = 10001
STATE: Final = "/srv/tidegate"
PROJECT: Final = "/etc/tidegate"
LOCKED_DOWN: Final = (
    "--read-only",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--memory=300m",
    "--cpus=1",
    "--pids-limit=100",
    "--tmpfs=/tmp",
    "--stop-timeout=30",
    "--health-interval=1s",  # the image says ten seconds, which costs less; tests would wait for them
)


@dataclass(frozen=True)
class Container:
    """A started container; `started_at` is a monotonic time in seconds."""

    engine: Engine
    name: str
    started_at: float

    def inspect(self) -> dict[str, Any]:
        """What the engine knows about it."""
        (found,) = json.loads(self.engine.run("inspect", self.name))
        assert isinstance(found, dict)
        return found

    def logs(self) -> str:
        """What it wrote to both streams."""
        return self.engine.logs(self.name)

    def wait_healthy(self, timeout_s: float = 60) -> float:
        """Wait until the image's own HEALTHCHECK says healthy; returns the seconds since the start."""
        deadline = time.monotonic() + timeout_s
        while True:
            state = self.inspect()["State"]
            if state["Health"]["Status"] == "healthy":
                return time.monotonic() - self.started_at
            if not state["Running"] or time.monotonic() > deadline:
                raise AssertionError(f"not healthy: {state}\n{self.logs()}")
            time.sleep(0.1)

    def python(self, code: str) -> str:
        """Run Python inside, as the container's user."""
        return self.engine.run("exec", self.name, "python", "-c", code)

    def stop(self) -> tuple[int, float]:
        """`docker stop`; returns the exit code and the seconds it took."""
        begun = time.monotonic()
        self.engine.run("stop", self.name)
        return int(self.inspect()["State"]["ExitCode"]), time.monotonic() - begun

    def copy_out(self, inside: str, target: Path) -> Path:
        """Copy a folder of the container, running or stopped, to the host."""
        self.engine.run("cp", f"{self.name}:{inside}", str(target))
        return target


@contextmanager
def started(engine: Engine, image: str, name: str, volume: str, options: Sequence[str]) -> Iterator[Container]:
    """A locked-down container with a volume for its state; removed at the end."""
    begun = time.monotonic()
    engine.run("run", "--detach", f"--name={name}", *LOCKED_DOWN, f"--volume={volume}:{STATE}", *options, image)
    try:
        yield Container(engine, name, begun)
    finally:
        engine.run("rm", "--force", name)
