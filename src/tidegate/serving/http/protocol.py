"""HTTP/1.1 on one connection: uvicorn's parser, with bounds on headers, on time and on the number of connections."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, cast

import msgspec
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from tidegate.serving.http.headers import CLOSE, PROBLEM, constant_headers
from tidegate.serving.messages import ProblemBody

MOST_HEADER_BYTES: Final = 16_384
WHOLE: Final = "tidegate.whole"
"""Stands in the scope of a request whose body has come whole."""
_GRACE_S: Final = 1.0  # what a body may be late by, so that the front is the one to say so
_HARD_FACTOR: Final = 2
_encode = msgspec.json.Encoder().encode
_REFUSALS: Final = {
    "malformed_request": (400, "The request is not HTTP/1.1 as it is expected"),
    "headers_too_large": (431, "The request's headers are too large"),
    "request_timeout": (408, "The request did not arrive in time"),
}


class HeadersTooLarge(Exception):
    """Stops the parser."""


@dataclass(frozen=True, slots=True)
class ConnectionBounds:
    """What all connections of a service have in common.

    Attributes:
        timeout_s: seconds for the headers, for the body, and for a client to take its answer.
        most_connections: beyond them requests are answered with 503; beyond twice as many connections are closed at once.
        overloaded: ASGI application of those 503.
        refused: told the kind of each request that is refused here.
        tls: whether the connections are encrypted.
    """

    timeout_s: float
    most_connections: int
    overloaded: Callable[..., Awaitable[None]]
    refused: Callable[[str], None]
    tls: bool


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, bounds: ConnectionBounds, config: Config, server_state: ServerState) -> None:
        super().__init__(config, server_state, {})
        self._bounds = bounds
        self._header_bytes = self._raw_bytes = 0
        self._in_headers = True
        self._in_message = True
        self._refused = False
        self._refusal = "malformed_request"
        self._deadline: asyncio.TimerHandle | None = None
        self._write_deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin; the first request's headers are due from now on."""
        super().connection_made(transport)
        if len(self.connections) > _HARD_FACTOR * self._bounds.most_connections:
            transport.abort()
            return
        if len(self.connections) > self._bounds.most_connections:
            self.app = self._bounds.overloaded
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._disarm()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came; what did not come whole gets a deadline."""
        if self._refused or self.transport.is_closing():
            return
        self._raw_bytes += len(data)
        super().data_received(data)
        if not self.transport.is_closing():
            self._after_data()

    def _after_data(self) -> None:
        if self._refused:
            return
        if self._in_message and self._in_headers:
            # A header that never ends is none yet, so bytes are counted too; the chunk in which it began may hold more than it.
            self._raw_bytes = max(1, self._raw_bytes)
            if self._raw_bytes > MOST_HEADER_BYTES:
                self._refusal = "headers_too_large"
                self.send_400_response(self._refusal)
                return
        if self._deadline is None and (self._in_message or self._is_idle()):
            self._arm()

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._disarm()
        self._header_bytes = self._raw_bytes = 0
        self._in_headers = self._in_message = True

    def on_url(self, url: bytes) -> None:
        """A piece of the path."""
        self._require_room(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._require_room(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The headers are whole; the body's time begins."""
        self._in_headers = False
        self._disarm()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._in_message = False
        self._disarm()
        cast("dict[str, object]", self.scope)[WHOLE] = True
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be parsed: requests before it are answered, then the connection ends."""
        del msg
        self._refused = True
        self._disarm()
        self._bounds.refused(self._refusal)
        cycle = self._under_way()
        if cycle is None:
            self._end_with(self._refusal)
        elif self._in_headers:
            cycle.keep_alive = False
        else:
            # The body of the newest request is what cannot be parsed, so nobody waits for more of it.
            answered = cycle.response_started or bool(self.pipeline)
            cycle.disconnected = True
            cycle.message_event.set()
            self._end_with(None if answered else self._refusal)

    def pause_writing(self) -> None:
        """The client does not take its answer: it gets as long as a request may take."""
        super().pause_writing()
        if self._write_deadline is None:
            self._write_deadline = self.loop.call_later(self._bounds.timeout_s, self.transport.abort)

    def resume_writing(self) -> None:
        """The client goes on."""
        super().resume_writing()
        if self._write_deadline is not None:
            self._write_deadline.cancel()
            self._write_deadline = None

    def timeout_keep_alive_handler(self) -> None:
        """The connection was idle for too long."""
        self._end_with(None)

    def _unsupported_upgrade_warning(self) -> None:
        """No other protocol is spoken here: the request is answered as what it is, the last one of its connection."""
        self.cycle.keep_alive = False
        self._refused = True

    def _require_room(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > MOST_HEADER_BYTES:
            self._refusal = "headers_too_large"
            raise HeadersTooLarge

    def _is_idle(self) -> bool:
        """Whether a connection between two requests has lost its keep-alive time to bytes that begin nothing."""
        return self.timeout_keep_alive_task is None and self._under_way() is None

    def _under_way(self) -> RequestResponseCycle | None:
        """The newest request that is not answered yet."""
        cycle: RequestResponseCycle | None = self.cycle
        return None if cycle is None or cycle.response_complete else cycle

    def _arm(self) -> None:
        late_s = 0.0 if self._in_headers else _GRACE_S
        self._deadline = self.loop.call_later(self._bounds.timeout_s + late_s, self._late)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _late(self) -> None:
        self._deadline = None
        if self.transport.is_closing():
            return
        self._refused = True
        cycle = self._under_way()
        if self._in_headers and cycle is not None:
            cycle.keep_alive = False  # the request before is still being answered
        elif self._in_message and self._in_headers and self._raw_bytes:
            self._bounds.refused("request_timeout")
            self._end_with("request_timeout")
        else:
            self._end_with(None)

    def _end_with(self, slug: str | None) -> None:
        """Close, with a problem as last word or without one."""
        if self.transport.is_closing():
            return
        if slug is not None:
            self.transport.write(self._problem(slug))
        if self.transport.get_write_buffer_size():
            self.pause_writing()  # from now on the client has its time, and no more
        self.transport.close()

    def _problem(self, slug: str) -> bytes:
        status, title = _REFUSALS[slug]
        body = _encode(
            ProblemBody(
                f"urn:tidegate:problem:{slug}", title, status, f"at most {MOST_HEADER_BYTES} bytes of headers are taken"
            )
        )
        headers = (
            (b"content-type", PROBLEM),
            (b"content-length", b"%d" % len(body)),
            *constant_headers(tls=self._bounds.tls),
            CLOSE,
        )
        lines = b"".join(b"%s: %s\r\n" % header for header in headers)
        return STATUS_LINE[status] + lines + b"\r\n" + body
