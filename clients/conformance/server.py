"""A service that does what a case says, by real sockets: resets, silence, drips and half answers are what a client really sees."""

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from market import Json
from replies import Reply, Scene, reply

ROUTES = {
    ("POST", "/v1/predict"): "predict",
    ("GET", "/v1/model"): "model",
    ("POST", "/v1/bots/heartbeat"): "heartbeat",
    ("GET", "/readyz"): "ready",
    ("GET", "/healthz"): "alive",
}
LONGEST_HEAD = 65_536
DRIP_PAUSE_S = 0.02
HOST = "127.0.0.1"


@dataclass(frozen=True)
class Request:
    """A request as it came."""

    route: str
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Json | None:
        """The body as a JSON object, None where it is none."""
        with contextlib.suppress(ValueError):
            content = json.loads(self.body)
            if isinstance(content, dict):
                return content
        return None


class ScriptedServer:
    """Listens on a free port of the loopback address; `script` holds, by route, the replies of the step in their order."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.script: dict[str, list[Json]] = {}
        self.requests: list[Request] = []
        self.errors: list[str] = []
        self.port = 0
        self._server: asyncio.Server | None = None
        self._reserved: socket.socket | None = None
        self._waiting: list[socket.socket] = []
        self._connections: set[asyncio.Task[None]] = set()

    async def up(self) -> None:
        """Listens; on the same port as before."""
        self._close_reserved()
        listening = self._bound()
        self._server = await asyncio.start_server(self._accept, sock=listening, limit=LONGEST_HEAD, backlog=64)

    async def down(self) -> None:
        """Refuses connections, and breaks off those that are open; the port stays reserved."""
        self._stop_listening()
        await self._break_off()
        self._reserved = self._bound()

    async def deaf(self) -> None:
        """Leaves new connections without an answer: the queue of those that wait to be taken is full."""
        await self.down()
        if self._reserved is not None:
            self._reserved.listen(0)
            for _ in range(3):
                waiting = socket.socket()
                waiting.setblocking(False)
                waiting.connect_ex((HOST, self.port))
                self._waiting.append(waiting)

    async def end(self) -> None:
        """Stops and frees the port."""
        self._stop_listening()
        await self._break_off()
        self._close_reserved()

    def _bound(self) -> socket.socket:
        new = socket.socket()
        new.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        new.bind((HOST, self.port))
        self.port = int(new.getsockname()[1])
        return new

    def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        self._close_reserved()

    def _close_reserved(self) -> None:
        for one in (*self._waiting, *([self._reserved] if self._reserved else [])):
            one.close()
        self._waiting, self._reserved = [], None

    async def _break_off(self) -> None:
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._connection(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection until somebody ends it; what the client does to it is no fault of the kit."""
        try:
            while (request := await read_request(reader)) is not None:
                self.requests.append(request)
                if not await self._answer(request, reader, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        except (KeyError, ValueError, TypeError, IndexError, AttributeError, ArithmeticError) as error:
            self.errors.append(f"a request cannot be answered: {error!r}")
        finally:
            writer.transport.abort()

    async def _answer(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Sends what the script says; whether the connection goes on."""
        waiting = self.script.get(request.route, [])
        spec = waiting[0] if waiting else {}
        if waiting and not spec.get("always"):
            waiting.pop(0)
        if request.route == "unknown":
            spec = {"problem": "not_found", "status": 404}
        answer = reply(request.route, request.json(), spec, self.scene)
        await asyncio.sleep(answer.delay_ms / 1000)
        return await send(answer, reader, writer)


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """The next request of a connection; None where it ends."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = await _read_chunks(reader)
    else:
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(ROUTES.get((method, path), "unknown"), method, path, headers, body)


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    parts = []
    while size := int((await reader.readline()).split(b";")[0], 16):
        parts.append(await reader.readexactly(size))
        await reader.readline()
    await reader.readline()
    return b"".join(parts)


async def send(answer: Reply, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """An answer, well or by its fault; whether the connection goes on."""
    fault = answer.fault
    whole = head(answer) + answer.body
    if fault is None:
        writer.write(whole)
        await writer.drain()
        return answer.headers.get("Connection") != "close"
    if fault in FAULTS:
        sent, end = FAULTS[fault]
        writer.write(sent(answer))
        await writer.drain()
        await _end(end, reader, writer)
        return False
    if fault in {"drip", "drip_body"}:
        start = 0 if fault == "drip" else len(whole) - len(answer.body)
        writer.write(whole[:start])
        for position in range(start, len(whole)):
            writer.write(whole[position : position + 1])
            await writer.drain()
            await asyncio.sleep(DRIP_PAUSE_S)
        return True
    raise ValueError(f"fault {fault!r} is unknown")


async def _end(end: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    if end == "silence":
        # The client goes when it has waited long enough; the case's end is the other way out.
        while await reader.read(LONGEST_HEAD):
            pass
    elif end == "reset":
        # What was sent must leave before the reset, or the client would never see it.
        await asyncio.sleep(0.03 if writer.transport.get_write_buffer_size() == 0 else 0.1)
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    elif end == "close":
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def head(answer: Reply, length: int | None = None) -> bytes:
    """Status line and headers; with another length where a fault wants one."""
    phrase = HTTPStatus(answer.status).phrase
    headers = {**answer.headers, "Content-Length": str(len(answer.body) if length is None else length)}
    if answer.status == HTTPStatus.NO_CONTENT:
        del headers["Content-Length"]
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {answer.status} {phrase}\r\n{lines}\r\n".encode()


def _half(answer: Reply) -> bytes:
    return head(answer) + answer.body[: len(answer.body) // 2]


def _chunks(answer: Reply) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
    first = f"HTTP/1.1 {answer.status} OK\r\n{lines}Transfer-Encoding: chunked\r\n\r\n".encode()
    middle = len(answer.body) // 2
    parts = (answer.body[:middle], answer.body[middle:])
    return first + b"".join(f"{len(part):x}\r\n".encode() + part + b"\r\n" for part in parts)


# Name of a fault: what is still sent, and how the connection ends.
FAULTS: dict[str, tuple[Callable[[Reply], bytes], str]] = {
    "reset": (lambda _: b"", "reset"),
    "close": (lambda _: b"", "close"),
    "silence": (lambda _: b"", "silence"),
    "half_head": (lambda answer: head(answer)[:20], "close"),
    "head_then_silence": (head, "silence"),
    "half_body": (_half, "close"),
    "half_body_then_reset": (_half, "reset"),
    "half_body_then_silence": (_half, "silence"),
    "length_too_long": (lambda answer: head(answer, len(answer.body) + 10) + answer.body, "close"),
    "length_too_short": (lambda answer: head(answer, len(answer.body) - 10) + answer.body, "close"),
    "garbage": (lambda _: b"\x16\x03\x01\x02\x00\x01\x00\xfc\x00garbage\x00\r\n\r\n", "close"),
    "chunked": (lambda answer: _chunks(answer) + b"0\r\n\r\n", "close"),
    "interim": (lambda answer: b"HTTP/1.1 103 Early Hints\r\nLink: </>\r\n\r\n" + head(answer) + answer.body, "close"),
    "half_chunked": (lambda answer: _chunks(answer)[:-20], "close"),
    "closed_afterwards": (lambda answer: head(answer) + answer.body, "close"),
    "reset_afterwards": (lambda answer: head(answer) + answer.body, "reset"),
}
