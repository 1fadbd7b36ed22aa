"""Servers as processes of their own: pinned to a core, waited for, measured, ended."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PAGE_KB: Final = os.sysconf("SC_PAGE_SIZE") // 1024
THREADS: Final = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "1",
    "BENTOML_DO_NOT_TRACK": "true",
}


class DidNotStart(Exception):
    """A server ended, or gave no answer in time."""


def free_port() -> int:
    """A port of the loopback address that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def cores() -> tuple[int, int]:
    """The core of the servers and the core of the client; the same one where there is only one."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[-1]


@contextlib.contextmanager
def pinned(core: int) -> Iterator[None]:
    """Run on one core meanwhile; processes started here stay there."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@dataclass(frozen=True, slots=True)
class Command:
    """What starts a server."""

    arguments: Sequence[str]
    folder: Path
    environment: Mapping[str, str]


class Running:
    """A server in a session of its own, so that its worker processes are found and end with it."""

    def __init__(self, command: Command, port: int, log: Path, core: int) -> None:
        self.port = port
        self.log = log
        self.started_at = time.perf_counter()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TIDEGATE_")}
        with log.open("wb") as output, pinned(core):
            self._process = subprocess.Popen(
                command.arguments,
                cwd=command.folder,
                env={**environment, **THREADS, **command.environment},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def rss_mb(self) -> float:
        """Resident memory of all its processes together; pages that they share count in each."""
        pages = 0
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError, ValueError, IndexError):
                fields = (path / "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == self._process.pid:  # the session's number
                    pages += int(fields[21])
        return pages * _PAGE_KB / 1024.0

    def processes(self) -> list[int]:
        """Its process's number, the first of its session."""
        return [self._process.pid]

    def log_end(self) -> str:
        """The last lines that it wrote, in one line."""
        lines = [line.strip() for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return " | ".join(lines[-4:])[-600:]

    def kill(self) -> None:
        """End it at once, as a crash would."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)

    def stop(self) -> int | None:
        """End it and all its workers; the exit code, None where it had to be killed."""
        for kind in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, kind)
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = self._process.wait(15)
                return code if kind == signal.SIGTERM else None
        return None
