"""A proxy between a bot and the service that a test makes faulty, at once and for as long as it likes.

It reads each request whole, and what it does with it is a fault: a coroutine that is given the `Passage`. Faults stand in `faults.py`.
"""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self

from tests.servers import free_port

HEAD_END = b"\r\n\r\n"
LARGEST = 1 << 24


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it came: its head with the empty line, and its body as on the wire."""

    head: bytes
    body: bytes

    def with_body(self, body: bytes) -> "Reply":
        """The same head with another body, and its length in the head."""
        lines = [line for line in self.head.split(b"\r\n") if line and not line.lower().startswith(b"content-length:")]
        return replace(self, head=b"\r\n".join([*lines, b"Content-Length: %d" % len(body)]) + HEAD_END, body=body)


class Passage:
    """One request on its way to the service, and the answer on its way back.

    Attributes:
        path: that is asked for.
        number: of this request among those since the fault began, from 1.
        switched: set when another fault has begun.
        passed: by path, the last answer that passed without a fault.
    """

    def __init__(
        self, head: bytes, body: bytes, bot: asyncio.StreamWriter, service: "Service", passed: dict[str, Reply]
    ) -> None:
        self.path = head.split(b" ", 2)[1].decode()
        self.number = 0
        self.switched = asyncio.Event()
        self.passed = passed
        self._question, self._bot, self._service = head + body, bot, service

    async def ask(self) -> Reply:
        """Send the request on and wait for the whole answer."""
        return await self._service.ask(self._question)

    async def answer(self, reply: Reply) -> None:
        """Give the bot an answer."""
        await self.send(reply.head + reply.body)

    async def send(self, raw: bytes) -> None:
        """Give the bot any bytes."""
        self._bot.write(raw)
        await self._bot.drain()

    def reset(self) -> None:
        """End the bot's connection with a reset."""
        # Without lingering, the system says RST and not FIN.
        self._bot.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._bot.transport.abort()

    def hang_up(self) -> None:
        """End the bot's connection in an orderly way."""
        self._bot.close()


Fault = Callable[[Passage], Awaitable[None]]


async def passes(passage: Passage) -> None:
    """No fault."""
    reply = passage.passed[passage.path] = await passage.ask()
    await passage.answer(reply)


class Service:
    """The proxy's own connection to the service, made when it is needed and kept."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, question: bytes) -> Reply:
        """One exchange; an OSError or IncompleteReadError where the service is not there."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port, limit=LARGEST)
        reader, writer = self._streams
        writer.write(question)
        await writer.drain()
        head = await reader.readuntil(HEAD_END)
        bodyless = head.split(b" ", 2)[1] in {b"204", b"304"} or question.startswith(b"HEAD ")
        return Reply(head, b"" if bodyless else await _body(reader, head))

    def close(self) -> None:
        """End the connection."""
        if self._streams is not None:
            self._streams[1].transport.abort()


async def _body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    """A body as on the wire, chunks and all."""
    if b"transfer-encoding: chunked" in head.lower():
        raw = b""
        while True:
            line = await reader.readuntil(b"\r\n")
            chunk = await reader.readexactly(int(line.split(b";")[0], 16) + 2)
            raw += line + chunk
            if chunk == b"\r\n":
                return raw
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return await reader.readexactly(int(value))
    return b""


class FaultProxy:
    """Listens on a port of its own and hands requests on to the service's; a context manager.

    Args:
        service_port: of the service, on the loopback address.
    """

    def __init__(self, service_port: int) -> None:
        self.port = free_port()
        self.asked: list[str] = []
        self._service_port = service_port
        self._fault: Fault = passes
        self._paths: tuple[str, ...] = ()
        self._numbers = 0
        self._switched = asyncio.Event()
        self._passed: dict[str, Reply] = {}
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.StreamWriter, asyncio.Task[Any]] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault proxy")

    @property
    def url(self) -> str:
        """The address that the bot is given."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def switch(self, fault: Fault, *paths: str) -> None:
        """From now on requests for these paths (none named: all) have this fault, and others pass."""
        self._run(self._switch(fault, paths))

    def refuse(self) -> None:
        """From now on there is no connection: nobody listens, and those that were open are reset."""
        self._run(self._end())

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port, limit=LARGEST)

    async def _switch(self, fault: Fault, paths: tuple[str, ...]) -> None:
        self._fault, self._paths, self._numbers = fault, paths, 0
        self._switched.set()
        self._switched = asyncio.Event()
        await self._listen()

    async def _end(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        tasks = list(self._open.values())
        for writer, task in list(self._open.items()):
            writer.transport.abort()
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open[writer] = task
        service = Service(self._service_port)
        # Whichever end goes away ends the other: that is what a proxy's bot sees.
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while not writer.is_closing():
                    head = await reader.readuntil(HEAD_END)
                    await self._pass(Passage(head, await _body(reader, head), writer, service, self._passed))
        finally:
            service.close()
            writer.close()
            del self._open[writer]

    async def _pass(self, passage: Passage) -> None:
        self.asked.append(passage.path)
        faulty = not self._paths or passage.path in self._paths
        passage.switched = self._switched
        if faulty:
            self._numbers += 1
            passage.number = self._numbers
        await (self._fault if faulty else passes)(passage)
