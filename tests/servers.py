"""Real servers for tests, each on a free port of the loopback address and in a folder of its own, stopped at the end.

Plain context managers; wrap one in a module- or session-scoped fixture where several tests share it.
"""

import contextlib
import getpass
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.unavailable import unavailable

POSTGRESQL_PROGRAMS = ("/usr/lib/postgresql/15/bin", "/usr/lib/postgresql/16/bin", "/usr/lib/postgresql/17/bin")


FIRST_PORT, LAST_PORT, PORTS_A_WORKER = 10_240, 32_639, 1_400
"""Below what systems give to connections by themselves (32,768 on Linux), so that no connection has taken one meanwhile."""


def ports_of(worker: str) -> range:
    """Ports of one process of pytest-xdist, such as `gw1`: no other has them.

    What a server that is gone was asked for may come late, as Prefect's clients do. In one process the port is given again after a thousand others at the
    earliest, and to another process never.
    """
    groups = (LAST_PORT + 1 - FIRST_PORT) // PORTS_A_WORKER
    first = FIRST_PORT + PORTS_A_WORKER * (int(worker.removeprefix("gw") or 0) % groups)
    return range(first, first + PORTS_A_WORKER)


def _turning(ports: range) -> Iterator[int]:
    # Several runs of the tests on one machine begin at different places.
    start = os.getpid() * 97 % len(ports)
    return itertools.cycle([*ports[start:], *ports[:start]])


_PORTS = _turning(ports_of(os.environ.get("PYTEST_XDIST_WORKER", "gw0")))


def free_port() -> int:
    """A port of the loopback address that nobody listens on now, of this process's own."""
    for port in itertools.islice(_PORTS, PORTS_A_WORKER):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no port is free")


@contextlib.contextmanager
def mlflow_server(folder: Path, *, start_timeout_s: float = 120.0) -> Iterator[str]:
    """An MLflow server with SQLite and artifacts in the folder; yields its address, such as http://127.0.0.1:41234."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--serve-artifacts"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    environment = {
        **os.environ,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "1",
    }
    log = folder / "server.log"
    with log.open("wb") as output:
        # A session of its own, so that the server's worker processes end with it.
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            _wait_until_healthy(f"{address}/health", process, log, start_timeout_s)
            yield address
        finally:
            _end_session(process)


def _wait_until_healthy(url: str, process: subprocess.Popen[bytes], log: Path, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2) as answer:
            if answer.status == 200:
                return
        time.sleep(0.1)
    raise RuntimeError(f"no answer from {url}:\n{log.read_text(errors='replace')[-4000:]}")


def _end_session(process: subprocess.Popen[bytes]) -> None:
    for kind in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, kind)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
            return


@contextlib.contextmanager
def postgresql() -> Iterator[str]:
    """A PostgreSQL server in a temporary folder; yields a SQLAlchemy address with psycopg.

    Skips the test where PostgreSQL is not installed; fails it there when CI=true.
    """
    programs = next((Path(path) for path in POSTGRESQL_PROGRAMS if Path(path, "initdb").exists()), None)
    if programs is None:
        found = shutil.which("initdb")
        programs = Path(found).parent if found else None
    as_root = os.geteuid() == 0
    if programs is None or (as_root and shutil.which("runuser") is None):
        unavailable("PostgreSQL's initdb is not on this machine")
    user = "postgres" if as_root else getpass.getuser()
    # initdb refuses root, so root runs it as postgres in a folder which that user can read.
    prefix = ["runuser", "-u", user, "--"] if as_root else []
    folder = Path(tempfile.mkdtemp(prefix="tidegate-postgresql-", dir="/tmp"))
    if as_root:
        shutil.chown(folder, user, user)
    cluster, port = folder / "cluster", free_port()
    options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder} -c fsync=off"

    def run(*command: str) -> None:
        done = subprocess.run([*prefix, *command], cwd=folder, check=False, capture_output=True, text=True, timeout=120)
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed: {done.stdout}{done.stderr}")

    try:
        run(str(programs / "initdb"), "-D", str(cluster), "-A", "trust", "-U", "tidegate", "-E", "UTF8", "--no-sync")
        start = [str(programs / "pg_ctl"), "-D", str(cluster), "-w", "-l", str(folder / "log"), "-o", options, "start"]
        # pg_ctl's child keeps inherited pipes open, so its output goes nowhere.
        subprocess.run(
            [*prefix, *start], cwd=folder, check=True, timeout=120, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            yield f"postgresql+psycopg://tidegate@127.0.0.1:{port}/postgres"
        finally:
            run(str(programs / "pg_ctl"), "-D", str(cluster), "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
