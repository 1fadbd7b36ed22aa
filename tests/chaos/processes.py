"""The command line as real processes that can be killed: forked from a process that has imported everything, or started anew under another clock."""

import multiprocessing as mp
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.stage import Stage

context = mp.get_context("forkserver")
# So that a kill after a second hits the operation and not the imports of its libraries.
context.set_forkserver_preload(
    [
        "psycopg",
        "xgboost",
        "great_expectations",
        "mlflow",
        "tidegate.backup.take",
        "tidegate.cli.main",
        "tidegate.cli.progress",
        "tidegate.deployment.opening",
        "tidegate.pipeline.retrain",
        "tidegate.registry.opening",
        "tidegate.registry.tracking.versions",
        "tests.chaos.processes",
    ]
)


def _run(arguments: tuple[str, ...], variables: Mapping[str, str], folder: str, output: str, go: str) -> None:
    """Become `tidegate` in a process group of its own, as soon as a file says so."""
    os.setsid()
    said = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for descriptor in (1, 2):
        os.dup2(said, descriptor)
    os.environ.update(variables)
    tempfile.tempdir = None
    os.chdir(folder)
    sys.argv = ["tidegate", *arguments]
    while not Path(go).exists():
        time.sleep(0.005)
    from tidegate.cli.main import main

    main()


@dataclass
class Forked:
    """A command of the command line that runs.

    Attributes:
        stage: where.
        arguments: what is asked.
        name: tells two of the same time apart.
        inject: what strace does at which system call; empty: nothing.
        trace: system calls that strace writes down; empty: it is not traced.
    """

    stage: Stage
    arguments: tuple[str, ...]
    name: str = "one"
    inject: str = ""
    trace: str = ""
    began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        folder = self.stage.folder
        self.output, self.log, go = (folder / f"{kind}-{self.name}" for kind in ("said", "trace", "go"))
        go.unlink(missing_ok=True)
        given = (self.arguments, self.stage.variables, str(self.stage.root), str(self.output), str(go))
        self._process = context.Process(target=_run, args=given)
        self._process.start()
        self._tracer = self._traced() if self.trace else None
        self.began = time.monotonic()
        go.touch()

    def _traced(self) -> "subprocess.Popen[bytes]":
        command = ["strace", "-f", "-q", "-o", str(self.log), "-e", f"trace={self.trace}", "-e", "signal=none"]
        command += ["-e", self.inject] if self.inject else []
        tracer = subprocess.Popen([*command, "-p", str(self._process.pid)], stderr=subprocess.DEVNULL)
        status = Path("/proc", str(self._process.pid), "status")
        while "TracerPid:\t0\n" in status.read_text():
            if tracer.poll() is not None:
                raise RuntimeError("strace cannot trace here")
            time.sleep(0.01)
        return tracer

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.is_alive()

    def kill(self) -> bool:
        """Kill the whole group by SIGKILL; whether it was running."""
        was = self.is_running
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid or 0, signal.SIGKILL)
        return was

    def wait(self, timeout_s: float) -> int | None:
        """The exit code, minus the signal's number after one; None where it did not end in time, and was killed."""
        self._process.join(timeout_s)
        code = self._process.exitcode
        # What outlives it, such as restic, ends as well.
        self.kill()
        self._process.join(30)
        if self._tracer is not None:
            self._tracer.wait(30)
        return code

    def said(self) -> str:
        """What it said."""
        return self.output.read_text(errors="replace") if self.output.exists() else ""


class Clocked:
    """The same under a clock of its own, which `ahead` moves.

    Args:
        stage: where.
        arguments: what is asked.
    """

    def __init__(self, stage: Stage, arguments: tuple[str, ...]) -> None:
        self._clock, library, self._output = (stage.folder / name for name in ("clock", "clock.so", "said-clocked"))
        if not library.exists():
            source = Path(__file__).with_name("clock.c")
            subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
        self.ahead(0)
        own = {"LD_PRELOAD": str(library), "CHAOS_CLOCK": str(self._clock)}
        self._process = stage.start(sys.executable, "-m", "tidegate.cli.main", *arguments, **own)
        self._stage = stage

    def ahead(self, seconds: int) -> None:
        """Set how far the clock is ahead, from this moment."""
        content = seconds.to_bytes(8, sys.byteorder, signed=True)
        if self._clock.exists():
            with self._clock.open("r+b") as file:
                file.write(content)
        else:
            self._clock.write_bytes(content)

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def wait(self, timeout_s: float) -> int | None:
        """The exit code; None where it did not end in time, and was killed."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(30)
            return None

    def said(self) -> str:
        """What it said."""
        return self._stage.said()
