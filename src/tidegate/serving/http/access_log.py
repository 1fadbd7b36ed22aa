"""The access log: one JSON line a request on standard output, written by a thread so that a stuck pipe never holds up an answer.

A line holds no address, no key, no query and no body. Lines wait for a tenth of a second; the durable record of answers is the
prediction log.
"""

import logging
import os
import threading
from collections import deque
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

log = logging.getLogger(__name__)

_FLUSH_S: Final = 0.1
_MOST_WAITING: Final = 20_000
_JOIN_S: Final = 2.0
_NOTHING: Final[Mapping[str, str | int]] = MappingProxyType({})
_encode = msgspec.json.Encoder().encode


class Line(msgspec.Struct, frozen=True, gc=False):
    """One request. `at` is UTC ms when the answer left, `seconds` as the histogram counts them, `bytes` those of the answer's body."""

    at: int
    request_id: str
    key: str
    method: str
    route: str
    status: int
    seconds: float
    bytes: int


class AccessLog:
    """Takes lines from the event loop and writes them from a thread of its own.

    When nobody reads, 20,000 lines are kept; further ones are left out, and a line says how many.

    Args:
        descriptor: where lines are written to.
        ids: what every line has beside its own fields, such as the instance; put there by the thread, so that it costs no answer's time.
    """

    def __init__(self, descriptor: int = 1, ids: Mapping[str, str | int] = _NOTHING) -> None:
        self._descriptor = descriptor
        self._ids = b"," + _encode(dict(ids))[1:-1] if ids else b""
        self._waiting: deque[Line] = deque()
        self._dropped = 0
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to write."""
        self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)
        self._thread.start()

    def add(self, line: Line) -> None:
        """Put a line behind the others."""
        if len(self._waiting) < _MOST_WAITING:
            self._waiting.append(line)
        else:
            self._dropped += 1

    def stop(self) -> None:
        """Write what waits, but wait no longer than two seconds for a reader that is stuck."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(_JOIN_S)
            self._thread = None

    def _run(self) -> None:
        while not self._ended.wait(_FLUSH_S):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        lines = [self._line(self._waiting.popleft()) for _ in range(len(self._waiting))]
        if self._dropped:
            lines.append(self._line({"dropped": self._dropped}))
            self._dropped = 0
        if lines:
            self._write(memoryview(b"\n".join(lines) + b"\n"))

    def _line(self, fields: Line | dict[str, int]) -> bytes:
        return _encode(fields)[:-1] + self._ids + b"}"

    def _write(self, rest: memoryview) -> None:
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError as error:
            log.warning("the access log cannot be written: %s", error)
