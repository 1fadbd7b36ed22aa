import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.servers import free_port

from tidegate.errors import ServiceError
from tidegate.services.guard import descendants
from tidegate.services.probe import answers, is_free, require_free
from tidegate.services.process import Interrupted, Process, Service, is_guard, start, wait_ready

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and a child subreaper")

SLEEP = "import time; time.sleep(60)"
# Starts a grandchild in a session of its own, as a Prefect worker does, and writes both process numbers.
DETACHING = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
open("pids", "w").write(f"{os.getpid()} {child.pid}")
time.sleep(60)
"""
DEAF = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nopen('deaf', 'w').close()\n"


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    begun = []

    def make(
        code: str,
        ready: Callable[[], bool] = lambda: True,
        grace_s: float = 5,
        environment: dict[str, str] | None = None,
    ) -> Process:
        service = Service(
            name="toy",
            title="toy server",
            command=(sys.executable, "-c", code),
            environment=environment or {"PATH": os.environ["PATH"]},
            folder=tmp_path,
            log=tmp_path / "logs" / "toy.log",
            ready=ready,
            grace_s=grace_s,
        )
        begun.append(start(service))
        return begun[-1]

    yield make
    for process in begun:
        process.stop()


def eventually(condition: Callable[[], bool], limit_s: float = 10) -> bool:
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def gone(*pids: int) -> bool:
    return not any(alive(pid) for pid in pids)


def alive(pid: int) -> bool:
    try:
        return b") Z " not in Path(f"/proc/{pid}/stat").read_bytes()
    except FileNotFoundError:
        return False


def test_server_is_ready_when_it_answers_and_gone_after_stop(begin: Callable[..., Process]) -> None:
    port = free_port()
    code = f"import time, http.server as h; time.sleep(0.3); h.HTTPServer(('127.0.0.1', {port}), h.SimpleHTTPRequestHandler).serve_forever()"
    url = f"http://127.0.0.1:{port}/"
    told: list[str] = []
    process = begin(code, ready=lambda: answers(url))
    wait_ready([process], 20, on_ready=lambda one: told.append(one.service.name))
    assert answers(url)
    assert told == ["toy"]
    assert not is_free(port)
    process.stop()
    process.stop()
    assert not answers(url)
    assert is_free(port)
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_early_exit_names_exit_code_log_and_its_last_lines(begin: Callable[..., Process], tmp_path: Path) -> None:
    process = begin(
        "import sys; print('line one'); print('no such table', file=sys.stderr); sys.exit(3)", lambda: False
    )
    with pytest.raises(ServiceError) as caught:
        wait_ready([process], 20)
    message = str(caught.value)
    assert "toy server ended with exit code 3 before it was ready" in message
    assert str(tmp_path / "logs" / "toy.log") in message
    assert "line one" in message
    assert "no such table" in message


def test_log_tail_holds_this_start_only(begin: Callable[..., Process]) -> None:
    for text in ("first", "second"):
        process = begin(f"print({text!r})", lambda: False)
        assert eventually(lambda one=process: one.exit_code is not None)  # type: ignore[misc]
    assert process.log_tail() == "second"
    assert process.service.log.read_text() == "first\nsecond\n"


def test_a_dead_server_is_noticed_while_another_is_waited_for(begin: Callable[..., Process]) -> None:
    slow = begin(SLEEP, lambda: False)
    dead = begin("raise SystemExit(9)", lambda: False)
    began = time.monotonic()
    with pytest.raises(ServiceError, match="exit code 9"):
        wait_ready([slow, dead], 30)
    assert time.monotonic() - began < 10


def test_a_stranger_that_answers_does_not_make_a_dead_server_ready(begin: Callable[..., Process]) -> None:
    process = begin("pass", lambda: True)
    assert eventually(lambda: process.exit_code is not None)
    with pytest.raises(ServiceError, match="ended with exit code 0"):
        wait_ready([process], 5)


def test_time_limit_names_its_setting(begin: Callable[..., Process]) -> None:
    process = begin("print('still migrating', flush=True); " + SLEEP, lambda: False)
    with pytest.raises(ServiceError, match=r"within 1 s \(prefect.start_timeout_s\)(.|\n)*still migrating"):
        wait_ready([process], 1)


def test_waiting_is_given_up_when_asked_to_stop(begin: Callable[..., Process]) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Interrupted):
        wait_ready([begin(SLEEP, lambda: False)], 30, stop)


def test_command_that_ends_by_itself(begin: Callable[..., Process]) -> None:
    begin("pass").wait_finished(10)
    with pytest.raises(ServiceError, match=r"toy server failed, expected exit code 0, was 4(.|\n)*because"):
        begin("import sys; sys.exit(print('because') or 4)").wait_finished(10)
    with pytest.raises(ServiceError, match="did not end within"):
        begin(SLEEP).wait_finished(0.2)


def test_missing_program_is_an_error(tmp_path: Path) -> None:
    absent = Service("x", "absent", ("/no/such/program",), {}, tmp_path, tmp_path / "x.log", lambda: False)
    process = start(absent)
    with pytest.raises(ServiceError, match=r"exit code 127(.|\n)*No such file"):
        wait_ready([process], 10)
    process.stop()


def test_unwritable_log_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    service = Service("x", "toy server", ("true",), {}, tmp_path, tmp_path / "file" / "x.log", lambda: False)
    with pytest.raises(ServiceError, match=r"cannot write its log .*see paths.runs"):
        start(service)


def test_environment_is_the_given_one_and_nothing_else(
    begin: Callable[..., Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASSWORD_OF_THE_CALLER", "secret")
    code = "import os; print(sorted(os.environ))"
    process = begin(code, environment={"ONLY": "this"})
    process.wait_finished(10)
    assert "ONLY" in process.log_tail()
    assert "PASSWORD_OF_THE_CALLER" not in process.log_tail()


@linux
def test_stop_takes_a_detached_grandchild_along(begin: Callable[..., Process], tmp_path: Path) -> None:
    process = begin(DETACHING, grace_s=0.5)
    assert eventually(lambda: (tmp_path / "pids").exists() and (tmp_path / "pids").read_text().count(" ") == 1)
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert set(descendants(process.pid)) == set(pids)
    process.stop()
    assert gone(*pids)


@linux
def test_a_server_that_ends_leaves_nothing_behind(begin: Callable[..., Process], tmp_path: Path) -> None:
    process = begin(DETACHING.replace("time.sleep(60)\n", "raise SystemExit(5)\n"), grace_s=0.5)
    assert eventually(lambda: process.exit_code == 5)
    assert gone(*(int(pid) for pid in (tmp_path / "pids").read_text().split()))


@linux
def test_a_server_deaf_to_sigterm_is_killed(begin: Callable[..., Process], tmp_path: Path) -> None:
    process = begin(DEAF + SLEEP, grace_s=0.3)
    assert eventually((tmp_path / "deaf").exists)
    family = list(descendants(process.pid))
    assert family
    process.stop()
    assert gone(*family)
    assert process.exit_code == 128 + signal.SIGKILL


@linux
def test_a_second_sigterm_is_sent(begin: Callable[..., Process], tmp_path: Path) -> None:
    counting = (
        "import signal, sys, time\ngot = []\n"
        "def on(*_):\n    got.append(1)\n    if len(got) == 2: sys.exit(22)\n"
        "signal.signal(signal.SIGTERM, on)\nopen('deaf', 'w').close()\nwhile True: time.sleep(0.1)"
    )
    process = begin(counting, grace_s=0.5)
    assert eventually((tmp_path / "deaf").exists)
    process.stop()
    assert process.exit_code == 22


@linux
def test_parent_killed_with_9_takes_all_along(tmp_path: Path) -> None:
    parent = f"""
import sys, time
from pathlib import Path
from tidegate.services.process import Service, start
code = {DETACHING!r}
process = start(Service("toy", "toy", (sys.executable, "-c", code), {{}}, Path({str(tmp_path)!r}),
    Path({str(tmp_path / "toy.log")!r}), lambda: True, grace_s=1))
Path({str(tmp_path / "guard")!r}).write_text(str(process.pid))
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", parent]) as caller:
        assert eventually(lambda: (tmp_path / "guard").exists() and (tmp_path / "pids").exists())
        assert eventually(lambda: (tmp_path / "pids").read_text().count(" ") == 1)
        pids = [int(pid) for name in ("guard", "pids") for pid in (tmp_path / name).read_text().split()]
        assert is_guard(pids[0])
        assert not is_guard(pids[1])
        assert all(alive(pid) for pid in pids)
        caller.kill()
    assert eventually(lambda: gone(*pids))


@linux
def test_guard_killed_with_9_takes_its_server_along(begin: Callable[..., Process]) -> None:
    process = begin(SLEEP)
    assert eventually(lambda: len(list(descendants(process.pid))) == 1)
    (server,) = descendants(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    assert eventually(lambda: gone(server))


def test_taken_port_names_port_setting_and_variable() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ServiceError) as caught:
            require_free(port, "MLflow server", "mlflow.port")
    message = str(caught.value)
    for part in ("MLflow server cannot start", f"port {port}", "mlflow.port", "TIDEGATE_MLFLOW__PORT"):
        assert part in message
    require_free(port, "MLflow server", "mlflow.port")
