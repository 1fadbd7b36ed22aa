"""PostgreSQL and MLflow as the campaign needs them: killed, stopped for a while and started again at the same address."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers import POSTGRESQL_PROGRAMS, _end_session, _wait_until_healthy, free_port


class PostgreSQL:
    """A cluster in a folder of its own.

    Args:
        databases: that are made in it.
    """

    def __init__(self, *databases: str) -> None:
        self.programs = next(Path(path) for path in POSTGRESQL_PROGRAMS if Path(path, "initdb").exists())
        as_root = os.geteuid() == 0
        # initdb refuses root, so root runs it as postgres in a folder which that user can read.
        self._prefix = ["runuser", "-u", "postgres", "--"] if as_root else []
        self._folder = Path(tempfile.mkdtemp(prefix="tidegate-chaos-postgresql-", dir="/tmp"))
        if as_root:
            shutil.chown(self._folder, "postgres", "postgres")
        self._port = free_port()
        self._run("-A", "trust", "-U", "tidegate", "-E", "UTF8", "--no-sync")
        self.start()
        for name in databases:
            self._psql(f"CREATE DATABASE {name}")

    def url(self, database: str, driver: str = "psycopg") -> str:
        """SQLAlchemy's address of a database."""
        return f"postgresql+{driver}://tidegate@127.0.0.1:{self._port}/{database}"

    def start(self) -> None:
        """Start it, and wait until it answers. Nothing is done where it runs."""
        options = f"-c listen_addresses=127.0.0.1 -c port={self._port} -c unix_socket_directories={self._folder}"
        if self._run("status", program="pg_ctl", check=False) != 0:
            self._run("-w", "-l", str(self._folder / "log"), "-o", options, "start", program="pg_ctl")

    def crash(self) -> None:
        """Stop it at once, as a power cut does: transactions that are open are lost."""
        self._run("-m", "immediate", "-w", "stop", program="pg_ctl")

    def close(self) -> None:
        """Stop it and remove all of it."""
        self._run("-m", "immediate", "-w", "stop", program="pg_ctl", check=False)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _psql(self, statement: str) -> None:
        command = [
            str(self.programs / "psql"),
            "-h",
            "127.0.0.1",
            "-p",
            str(self._port),
            "-U",
            "tidegate",
            "-d",
            "postgres",
        ]
        subprocess.run([*command, "-qc", statement], check=True, capture_output=True)

    def _run(self, *arguments: str, program: str = "initdb", check: bool = True) -> int:
        command = [*self._prefix, str(self.programs / program), "-D", str(self._folder / "cluster"), *arguments]
        # The server keeps inherited pipes open, so its output goes nowhere.
        done = subprocess.run(
            command, cwd=self._folder, check=check, timeout=120, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        return done.returncode


@dataclass
class Mlflow:
    """An MLflow server that serves artifacts from a folder.

    Attributes:
        folder: its working folder and log.
        database: SQLAlchemy's address.
        artifacts: where they lie.
    """

    folder: Path
    database: str
    artifacts: Path
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it answers. Nothing is done where it runs."""
        if self._process is not None and self._process.poll() is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--workers", "1", "--backend-store-uri", self.database]
        command += ["--serve-artifacts", "--artifacts-destination", str(self.artifacts)]
        own = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "1"}
        log = self.folder / "server.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                cwd=self.folder,
                env={**os.environ, **own},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        _wait_until_healthy(f"{self.address}/health", self._process, log, 120)

    def kill(self) -> None:
        """End it and its workers by SIGKILL."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(30)

    def hang(self) -> None:
        """Let it accept connections and answer nothing."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it answer again."""
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """Stop it."""
        self.go_on()
        if self._process is not None:
            _end_session(self._process)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
