"""Real rsyslogd processes with the configuration files that are shipped, each in a folder of its own."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.servers import free_port
from tests.unavailable import unavailable

CONFIGURATION = Path(__file__).parents[3] / "docker" / "logs"
SENDER, CENTRAL = CONFIGURATION / "rsyslog-sender.conf", CONFIGURATION / "rsyslog-central.conf"


def rsyslogd() -> str:
    """The program's path; skips the test where it is not installed, fails it there when CI=true."""
    found = shutil.which("rsyslogd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        unavailable("rsyslogd is not on this machine")
    return found


@dataclass
class Rsyslog:
    """One server of a configuration file and its variables. A context manager; may be stopped and started again."""

    configuration: Path
    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, **self.variables}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        command = [rsyslogd(), "-n", "-f", str(self.configuration), "-i", str(self.folder / "pid")]
        with (self.folder / "output").open("ab") as output:
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=self.environment, stdout=output, stderr=output
            )

    def stop(self, kind: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(kind)
            self.process.wait(20)
            self.process = None

    def check(self) -> subprocess.CompletedProcess[str]:
        command = [rsyslogd(), "-N1", "-f", str(self.configuration)]
        return subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False, timeout=20
        )

    def output(self) -> str:
        return (self.folder / "output").read_text()


@dataclass
class Central(Rsyslog):
    """The central server."""

    port: int = 0

    def start(self) -> None:
        super().start()
        deadline = time.monotonic() + 10
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            assert time.monotonic() < deadline, self.output()
            time.sleep(0.02)

    def lines(self, process: str) -> list[str]:
        """What it has kept of a process on this machine."""
        path = self.folder / "kept" / socket.gethostname() / f"{process}.jsonl"
        return path.read_text().splitlines() if path.exists() else []

    def wait_for(self, process: str, count: int) -> list[str]:
        """The lines, once there are so many."""
        deadline = time.monotonic() + 15
        while len(found := self.lines(process)) < count:
            assert time.monotonic() < deadline, f"{len(found)} of {count} lines: {self.output()}"
            time.sleep(0.05)
        return found


def central(folder: Path) -> Central:
    port = free_port()
    variables = {
        "TIDEGATE_CENTRAL_ADDRESS": "127.0.0.1",
        "TIDEGATE_CENTRAL_PORT": str(port),
        "TIDEGATE_CENTRAL_FOLDER": str(folder / "central" / "kept"),
    }
    (folder / "central" / "kept").mkdir(parents=True)
    return Central(CENTRAL, folder / "central", variables, port)


def sender(folder: Path, port: int) -> Rsyslog:
    """A server that follows `folder`/logs/*.jsonl."""
    variables = {
        "TIDEGATE_LOG_FILES": str(folder / "logs" / "*.jsonl"),
        "TIDEGATE_LOG_STATE": str(folder / "sender"),
        "TIDEGATE_CENTRAL_HOST": "127.0.0.1",
        "TIDEGATE_CENTRAL_PORT": str(port),
    }
    (folder / "logs").mkdir(exist_ok=True)
    return Rsyslog(SENDER, folder / "sender", variables)


@contextlib.contextmanager
def both(folder: Path) -> Iterator[tuple[Central, Rsyslog]]:
    with central(folder) as there, sender(folder, there.port) as here:
        yield there, here
