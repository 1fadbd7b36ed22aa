"""How probes ask: over HTTP, Prometheus, programs; and what they make of answers that are none."""

import base64
import contextlib
import socket
import sys
import threading
import time
from pathlib import Path

import pytest
from tests.checklist_places import context
from tests.integration.checklist.live import answering

from tidegate.checklist.examine import answer
from tidegate.checklist.finding import NotMeasured, passed
from tidegate.checklist.items import Item
from tidegate.checklist.programs import Programs
from tidegate.checklist.service import Service, samples
from tidegate.checklist.web import Prometheus, Web
from tidegate.errors import ServiceError

WEB = Web(2.0)


def test_an_answer_is_read_whole_and_no_redirect_is_followed() -> None:
    with answering(302, b"moved", location="http://127.0.0.1:1/") as address:
        reply = WEB.ask(address)
    assert (reply.status, reply.body, reply.headers["location"]) == (302, b"moved", "http://127.0.0.1:1/")


@pytest.mark.parametrize("address", ["http://127.0.0.1:1", "nonsense", "ftp://127.0.0.1", "http://127.0.0.1:99999"])
def test_an_address_where_nobody_answers_is_told(address: str) -> None:
    with pytest.raises(ServiceError, match="does not answer"):
        WEB.ask(address)


def test_an_answer_that_is_too_large_or_no_json_or_another_status_is_told() -> None:
    with answering(200, b"x" * 8_000_001) as address, pytest.raises(ServiceError, match="too large"):
        WEB.ask(address)
    with answering(200, b"{") as address, pytest.raises(ServiceError, match="not JSON"):
        WEB.json(address)
    with answering(404, b"{}") as address, pytest.raises(ServiceError, match="another status"):
        WEB.json(address)


def test_an_answer_that_comes_byte_by_byte_is_waited_for_no_longer_than_one_that_does_not_come() -> None:
    def trickle() -> None:
        near, _ = listener.accept()
        with near, contextlib.suppress(OSError):
            near.recv(65_536)
            near.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n")
            for _ in range(20):
                near.sendall(b"x")
                time.sleep(0.05)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=trickle, daemon=True).start()
        with pytest.raises(ServiceError, match="does not answer"):
            Web(0.2).ask(f"http://127.0.0.1:{listener.getsockname()[1]}")


def test_prometheus_gives_values_or_says_why_not() -> None:
    with answering(200, b'{"status": "success", "data": {"result": [{"value": [1, "2.5"]}]}}') as address:
        assert Prometheus(WEB, address + "/").values('up{job="x"} > 0') == [2.5]
    with (
        answering(200, b'{"status": "error", "error": "bad query"}') as address,
        pytest.raises(ServiceError, match="refuses"),
    ):
        Prometheus(WEB, address).values("(")


@pytest.mark.parametrize("body", [b"\xff\xfe", b"name{ 1\n", b'x{a="1} 2\n'])
def test_what_are_no_metrics_is_told(body: bytes) -> None:
    with pytest.raises(ServiceError, match="no text of metrics"):
        samples(body)


@pytest.mark.parametrize("status", [401, 403])
def test_a_service_that_asks_for_a_key_is_not_measured_without_one_and_fails_with_a_wrong_one(status: int) -> None:
    with answering(status, b"{}") as address:
        with pytest.raises(NotMeasured, match=r"checklist\.api_key_file"):
            Service(WEB, address, None).json("/v1/bots")
        with pytest.raises(ServiceError, match="another status"):
            Service(WEB, address, "wrong").json("/v1/bots")


def test_programs_are_found_run_and_given_up(tmp_path: Path) -> None:
    programs = Programs(tmp_path, {"TOLD": "word"})
    name = Path(sys.executable).name
    done = programs.run(name, "-c", "import os; print(os.environ['TOLD'], os.getcwd())")
    assert (done.code, done.told) == (0, f"word {tmp_path}")
    assert programs.run(name, "-c", "raise SystemExit('bad')").told == "bad"
    with pytest.raises(ServiceError, match="did not end"):
        programs.run(name, "-c", "import time; time.sleep(30)", timeout_s=0.2)
    with pytest.raises(NotMeasured, match="not on this machine"):
        programs.find("no-such-program")


def test_a_password_in_an_address_is_sent_and_told_to_nobody(tmp_path: Path) -> None:
    asked: list[str] = []
    with answering(200, b"{}", asked) as address:
        host = address.removeprefix("http://")
        assert WEB.json(f"http://ada:lovelace%21@{host}") == {}
    assert asked == ["Basic " + base64.b64encode(b"ada:lovelace!").decode()]
    with pytest.raises(ServiceError) as told:
        WEB.json(f"http://ada:lovelace@{host}")
    assert "lovelace" not in str(told.value)
    item = Item(id="a.b", text="x", probe="p")
    shown = {"p": lambda _context: passed("asked http://ada:lovelace@host/x", "http://ada:lovelace@host")}
    line = answer(context(tmp_path), item, ("A",), shown, {})
    assert (line.evidence, line.link) == ("asked http://ada:***@host/x", "http://ada:***@host")
