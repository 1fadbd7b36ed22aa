"""A maintenance window's silence in a real Alertmanager: its own alerts are silent, others and the dead man's switch are not."""

import contextlib
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.servers import free_port
from tests.unavailable import unavailable

from tidegate.errors import ServiceError
from tidegate.registry.database import Database
from tidegate.registry.events import EventLedger
from tidegate.rollback.maintenance import EVERY, Alertmanager, end, start

pytestmark = pytest.mark.servers

CONFIG = """
route: {receiver: nobody}
receivers: [{name: nobody}]
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    program = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    if program is None:
        unavailable("Alertmanager is not on this machine")
    folder = tmp_path_factory.mktemp("alertmanager")
    (folder / "config.yml").write_text(CONFIG)
    found = f"127.0.0.1:{free_port()}"
    command = [program, f"--config.file={folder / 'config.yml'}", f"--storage.path={folder / 'data'}"]
    command += [f"--web.listen-address={found}", "--cluster.listen-address="]
    with (folder / "log").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        wait_until_ready(f"http://{found}", process, folder / "log")
        yield f"http://{found}"
    finally:
        process.terminate()
        process.wait(10)


def wait_until_ready(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/-/ready", timeout=2):
            return
        time.sleep(0.1)
    raise AssertionError(log.read_text())


def call(url: str, body: Any = None) -> Any:  # noqa: ANN401  JSON
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, content, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.loads(answer.read() or b"null")


def silenced(address: str) -> dict[str, bool]:
    """Whether each alert that fires is silent, by name and strategy."""
    labels = [
        {"alertname": "HighLatency", "strategy": "a"},
        {"alertname": "HighLatency", "strategy": "b"},
        {"alertname": "Watchdog"},
    ]
    call(f"{address}/api/v2/alerts", [{"labels": each} for each in labels])
    found = call(f"{address}/api/v2/alerts")
    names = {f"{one['labels']['alertname']} {one['labels'].get('strategy', '')}".strip(): one for one in found}
    return {name: bool(one["status"]["silencedBy"]) for name, one in names.items()}


@pytest.mark.parametrize(
    ("strategy", "silent"), [("a", {"HighLatency a"}), (EVERY, {"HighLatency a", "HighLatency b"})], ids=["one", "all"]
)
def test_a_window_silences_what_it_covers_and_its_end_ends_that(
    address: str, tmp_path: Path, strategy: str, silent: set[str]
) -> None:
    events = EventLedger(Database(f"sqlite:///{tmp_path}/l.db"))
    manager = Alertmanager(address, 5.0)
    window = start(
        events, strategy, until=events.database.clock() + 60_000, actor="ann", reason="x", alertmanager=manager
    )
    assert (window.warnings, window.silence is not None) == ((), True)
    found = silenced(address)
    assert set(found) == {"HighLatency a", "HighLatency b", "Watchdog"}
    assert {name for name, is_silent in found.items() if is_silent} == silent
    assert end(events, window, actor="ann", reason="done", alertmanager=manager) == []
    assert not any(silenced(address).values())


def test_a_silence_that_it_does_not_know_is_told(address: str) -> None:
    with pytest.raises(ServiceError):
        Alertmanager(address, 5.0).expire("6e4d8f3c-0000-4000-8000-000000000000")
