import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tidegate.errors import ServiceError
from tidegate.services import lock
from tidegate.services.lock import Entry
from tidegate.services.status import lock_file, status
from tidegate.settings.settings import Mlflow, Paths, Prefect, Settings

SERVER = Entry("prefect", pid=2**22 + 1, log="prefect.log", address="http://127.0.0.1:1")


def test_second_holder_is_refused_with_the_first_ones_pid(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "up.lock"
    with (
        lock.hold(path),
        pytest.raises(ServiceError, match=f"runs already in this project, as process {os.getpid()}"),
        lock.hold(path),
    ):
        pass
    with lock.hold(path) as again:
        assert again.left is None


def test_note_is_there_while_held_and_gone_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "up.lock"
    assert lock.read(path) is None
    with lock.hold(path) as held:
        held.write([SERVER])
        assert lock.read(path) == lock.Note(os.getpid(), (SERVER,))
    assert lock.read(path) is None
    assert path.read_text() == ""


def test_a_killed_holder_leaves_a_stale_lock_that_is_recognised(tmp_path: Path) -> None:
    path = tmp_path / "up.lock"
    code = f"""
import os, signal
from pathlib import Path
from tidegate.services import lock
with lock.hold(Path({str(path)!r})) as held:
    held.write([lock.Entry("prefect", 4194305, "prefect.log", "http://127.0.0.1:1")])
    os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.Popen([sys.executable, "-c", code])
    assert killed.wait(30) == -9
    assert lock.read(path) is None
    with lock.hold(path) as held:
        assert held.left == lock.Note(killed.pid, (SERVER,))


@pytest.mark.parametrize("text", ["{", "[]", '{"pid": 1}', '{"pid": 1, "entries": [{"name": "x"}]}'])
def test_an_unreadable_note_does_not_stop_anybody(text: str, tmp_path: Path) -> None:
    path = tmp_path / "up.lock"
    path.write_text(text)
    with lock.hold(path) as held:
        assert held.left is None


def test_readers_do_not_get_in_the_way(tmp_path: Path) -> None:
    path = tmp_path / "up.lock"
    path.touch()
    done = threading.Event()

    def keep_reading() -> None:
        while not done.is_set():
            lock.read(path)

    reader = threading.Thread(target=keep_reading)
    reader.start()
    try:
        for _ in range(50):
            with lock.hold(path):
                pass
    finally:
        done.set()
        reader.join()


def test_status_without_servers_and_with_dead_ones(tmp_path: Path) -> None:
    settings = Settings(paths=Paths(runs=tmp_path), mlflow=Mlflow(port=1), prefect=Prefect(port=2))
    nothing = status(settings)
    assert nothing.pid is None
    assert not nothing.healthy
    assert [(one.name, one.running, one.pid) for one in nothing.services] == [
        ("mlflow", False, None),
        ("prefect", False, None),
        ("worker", False, None),
        ("watch", False, None),
    ]
    with lock.hold(lock_file(settings)) as held:
        held.write([SERVER, Entry("worker", os.getpid(), "worker.log")])
        found = status(settings)
    assert found.pid == os.getpid()
    assert not found.healthy
    assert [(one.name, one.running, one.answering) for one in found.services] == [
        ("mlflow", False, False),
        ("prefect", False, False),
        ("worker", True, None),
        ("watch", False, None),
    ]


def test_status_leaves_out_an_mlflow_server_that_is_not_ours(tmp_path: Path) -> None:
    settings = Settings(paths=Paths(runs=tmp_path), mlflow=Mlflow(tracking_uri="https://mlflow.example"))
    assert [one.name for one in status(settings).services] == ["prefect", "worker", "watch"]
