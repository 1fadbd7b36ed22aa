"""Against a plain socket: frames are whole, nobody waits for a server that is gone, and what was left out is counted."""

import json
import logging
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import BinaryIO

import pytest

from tidegate.errors import ConfigurationError
from tidegate.logs.ids import bound
from tidegate.logs.lines import JsonLines
from tidegate.logs.syslog import SyslogTcp, parse_address

HEADER = re.compile(r"<(\d+)>1 (\S+Z) (\S+) (\S+) (\d+) - - (.*)", re.DOTALL)


class Server:
    """Takes frames by their length; can be stopped and started again on the same port."""

    def __init__(self) -> None:
        self.frames: list[str] = []
        self.port = 0
        self.start()

    def start(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        self._connections: list[socket.socket] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._connections:
            connection.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        for connection in self._connections:
            connection.close()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            with connection.makefile("rb") as file:
                while length := _length(file):
                    self.frames.append(file.read(length).decode())


def _length(file: BinaryIO) -> int:
    """The number that stands before a frame, 0 at the end."""
    digits = b""
    while (byte := file.read(1)).isdigit():
        digits += byte
    return int(digits or b"0")


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.stop()


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def handler_to(port: int, **changes: int) -> SyslogTcp:
    handler = SyslogTcp(("127.0.0.1", port), "serving one", **changes)
    handler.setFormatter(JsonLines())
    return handler


def say(handler: SyslogTcp, text: str, level: int = logging.INFO) -> None:
    handler.handle(logging.LogRecord("tidegate.x", level, "f", 1, text, (), None))


def told(frame: str) -> str:
    header = HEADER.fullmatch(frame)
    assert header is not None
    message: str = json.loads(header[6])["message"]
    return message


def test_messages_are_those_of_rfc_5424(server: Server) -> None:
    handler = handler_to(server.port)
    with bound(strategy="s"):
        say(handler, "Ünïcode\nand two lines", logging.ERROR)
    say(handler, "second", logging.DEBUG)
    handler.close()
    until(lambda: len(server.frames) == 2)
    first, second = (HEADER.fullmatch(frame) for frame in server.frames)
    assert first is not None
    assert second is not None
    assert (first[1], second[1]) == (str(16 * 8 + 3), str(16 * 8 + 7))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", first[2])
    assert (first[3], first[4]) == (socket.gethostname(), "serving_one")
    line = json.loads(first[6])
    assert (line["message"], line["strategy"]) == ("Ünïcode\nand two lines", "s")


def test_lines_wait_in_order_for_a_server_that_comes_later(server: Server) -> None:
    server.stop()
    handler = handler_to(server.port)
    for number in range(100):
        say(handler, str(number))
    time.sleep(0.3)
    server.start()
    until(lambda: len(server.frames) == 100)
    assert [told(frame) for frame in server.frames] == [str(number) for number in range(100)]
    handler.close()


def test_a_server_that_was_stopped_and_started_gets_all_that_was_written_meanwhile(server: Server) -> None:
    handler = handler_to(server.port)
    say(handler, "before")
    until(lambda: len(server.frames) == 1)
    server.stop()
    for number in range(50):
        say(handler, f"meanwhile {number}")
    server.start()
    say(handler, "after")
    until(lambda: len(server.frames) == 52)
    assert [told(frame) for frame in server.frames] == ["before", *(f"meanwhile {n}" for n in range(50)), "after"]
    handler.close()


def test_a_full_queue_leaves_lines_out_counts_them_and_says_so(server: Server) -> None:
    server.stop()
    handler = handler_to(server.port, most_waiting=10)
    for number in range(25):
        say(handler, str(number))
    assert handler.dropped == 15
    server.start()
    until(lambda: len(server.frames) == 11)
    assert [told(frame) for frame in server.frames[:10]] == [str(number) for number in range(10)]
    assert told(server.frames[10]) == "15 lines were left out: the syslog server was away"
    handler.close()


def test_a_dead_server_does_not_hold_up_the_end(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidegate.logs.syslog._LAST_S", 0.3)
    server.stop()
    handler = handler_to(server.port)
    say(handler, "never")
    began = time.monotonic()
    handler.close()
    assert time.monotonic() - began < 5
    server.start()


@pytest.mark.parametrize(
    ("text", "address"), [("logs.example:601", ("logs.example", 601)), ("[::1]:514", ("::1", 514))]
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["host", "host:", ":514", "host:0", "host:65536", "http://host:1", "a b:1", "::1:514"])
def test_wrong_addresses_are_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"logs\.syslog"):
        parse_address(text)
