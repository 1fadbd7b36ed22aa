"""The load client: raw sockets, HTTP/1.1 keep-alive, the same few lines for every server.

It understands answers with a Content-Length only, which all servers here send. An answer that is not the expected one, a closed
connection and a time-out are failures and are counted, never left out.
"""

import gc
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Self

_READ_BYTES: Final = 262_144
Accept = Callable[[bytes], bool]


class BadAnswer(Exception):
    """The server closed the connection or sent what this client does not understand."""


@dataclass(frozen=True, slots=True)
class Question:
    """A request as bytes, and what decides whether a body answers it."""

    request: bytes
    accept: Accept


@dataclass(slots=True)
class Measured:
    """What a run of questions gave.

    Attributes:
        latencies_ms: of the answers that were accepted.
        failures: questions without an accepted answer.
        first_failure: what the first of them looked like.
        seconds: wall time of the whole run.
    """

    latencies_ms: list[float] = field(default_factory=list)
    failures: int = 0
    first_failure: str | None = None
    seconds: float = 0.0

    def fail(self, reason: str) -> None:
        """Count a failure."""
        self.failures += 1
        if self.first_failure is None:
            self.first_failure = reason[:300]


def post(path: str, body: bytes, headers: Mapping[str, str] | None = None) -> bytes:
    """A whole POST request of a JSON body."""
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def get(path: str) -> bytes:
    """A whole GET request."""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


def complete(buffer: bytes | bytearray) -> tuple[int, bytes] | None:
    """Status and body once the buffer holds a whole answer, else None.

    Raises:
        BadAnswer: it is not HTTP/1.1 with a Content-Length, or there is more than one answer.
    """
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = bytes(buffer[:end]).lower()
    at = head.find(b"\r\ncontent-length:")
    if not head.startswith(b"http/1.1 ") or at < 0:
        raise BadAnswer(f"no HTTP/1.1 answer with a Content-Length: {head[:200]!r}")
    try:
        status, length = int(head[9:12]), int(head[at + 17 :].split(b"\r\n", 1)[0])
    except ValueError as error:
        raise BadAnswer(f"a status or a length is no number: {head[:200]!r}") from error
    missing = end + 4 + length - len(buffer)
    if missing > 0:
        return None
    if missing < 0:
        raise BadAnswer("more bytes than one answer")
    return status, bytes(buffer[end + 4 :])


def read(connection: socket.socket) -> bytes:
    """The next bytes.

    Raises:
        BadAnswer: there are none, as the server closed the connection.
    """
    more = connection.recv(_READ_BYTES)
    if not more:
        raise BadAnswer("the connection was closed")
    return more


class Connection:
    """One kept connection, asked one question after the other; leaving the `with` block closes it."""

    def __init__(self, port: int, timeout_s: float = 10.0) -> None:
        self._address = ("127.0.0.1", port)
        self._timeout_s = timeout_s
        self._socket: socket.socket | None = None

    def ask(self, request: bytes) -> tuple[int, bytes]:
        """Send a request and wait for its answer.

        Returns:
            status and body.
        Raises:
            OSError: no connection, or no answer in time.
            BadAnswer: the connection was closed, or the answer is not understood.
        """
        if self._socket is None:
            self._socket = socket.create_connection(self._address, self._timeout_s)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self._socket.sendall(request)
            buffer = b""
            while (answer := complete(buffer)) is None:
                buffer += read(self._socket)
        except BaseException:
            self.close()
            raise
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close; the next question opens a new connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def measure(connection: Connection, questions: Iterable[Question]) -> Measured:
    """Ask questions one after the other and time each from its first byte out to its last byte in.

    Bodies are judged outside the timed span. Python's garbage collector is off meanwhile, so that no latency is its.
    """
    measured, clock = Measured(), time.perf_counter
    gc.collect()
    gc.disable()
    start = clock()
    try:
        for question in questions:
            before = clock()
            try:
                status, body = connection.ask(question.request)
            except (OSError, BadAnswer) as error:
                measured.fail(f"{type(error).__name__}: {error}")
                continue
            spent = clock() - before
            if status == 200 and question.accept(body):
                measured.latencies_ms.append(spent * 1000.0)
            else:
                measured.fail(f"{status} {body[:240]!r}")
    finally:
        gc.enable()
    measured.seconds = clock() - start
    return measured
