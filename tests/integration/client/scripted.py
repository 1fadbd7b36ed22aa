"""A service over real sockets that does what a test says: answers, breaks off, resets, stays silent, or sends rubbish.

What no test says is answered as a sound service would: version 7 is sure of a rise, and the position policy says the target.
"""

import contextlib
import json
import os
import socket
import struct
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.unit.client.records import HOUR_MS, LOOKBACK, POLICY, answer, answers, digest, problem, served

from tidegate.policy.policy import PositionPolicy, PositionState, target_position


@dataclass(frozen=True)
class Asked:
    """One request."""

    path: str
    headers: dict[str, str]
    body: Any
    digest: str = ""

    @property
    def item(self) -> dict[str, Any]:
        item: dict[str, Any] = self.body["items"][0]
        return item


Act = Callable[[socket.socket, Asked], bool]
"""Does something with a request on its connection; says whether the connection goes on."""


class Scripted:
    """The service; `says` queues acts for a path, the last of which goes on for ever if `again` is set."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self._acts: dict[str, deque[Act]] = defaultdict(deque)
        self._always: dict[str, Act] = {}
        self.lookback = LOOKBACK
        self._windows: dict[str, dict[str, list[Any]]] = {}
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connections: set[socket.socket] = set()
        self._closed = threading.Event()
        self.connections = 0
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def says(self, path: str, *acts: Act) -> None:
        """What comes next at a path."""
        self._acts[path].extend(acts)

    def always(self, path: str, act: Act | None) -> None:
        """What a path does from now on, None: what a sound service does."""
        self._acts[path].clear()
        if act is None:
            self._always.pop(path, None)
        else:
            self._always[path] = act

    def of(self, path: str) -> list[Asked]:
        """All requests of a path so far."""
        return [one for one in self.asked if one.path == path]

    def close(self) -> None:
        """End every connection."""
        self._closed.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)

    def wait(self, seconds: float) -> None:
        """Wait, or until the end."""
        self._closed.wait(seconds)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connections.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as stream:
            while (asked := self._read(stream)) is not None:
                self.asked.append(asked)
                acts = self._acts[asked.path]
                act = acts.popleft() if acts else self._always.get(asked.path, sound)
                if not act(connection, asked):
                    break
        self._connections.discard(connection)

    def _read(self, stream: Any) -> Asked | None:  # noqa: ANN401  a socket's file
        first = stream.readline().decode("latin-1")
        if not first:
            return None
        headers: dict[str, str] = {}
        while line := stream.readline().decode("latin-1").strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        content = stream.read(int(headers.get("content-length", "0")))
        body: Any = json.loads(content) if content else None
        path = first.split()[1]
        return Asked(path, headers, body, self._judged(body["items"][0]) if path == "/v1/predict" else "")

    def _judged(self, item: dict[str, Any]) -> str:
        """The digest of the bars that are judged. All that ask share one API key, and so their windows, as with the service."""
        sent, after = item["bars"], item.get("after")
        before = self._windows.get(item["symbol"], {})
        known = 0 if after is None else sum(at <= after for at in before.get("opened_at", ()))
        window = {name: before.get(name, [])[:known] + column for name, column in sent.items()}
        self._windows[item["symbol"]] = window
        return digest(window, item["symbol"], self.lookback)


def reply(status: int, body: Any = None, **headers: str) -> Act:  # noqa: ANN401  any JSON
    """A whole answer."""
    return raw(whole(status, b"" if body is None else json.dumps(body).encode(), **headers))


def whole(status: int, content: bytes, **headers: str) -> bytes:
    """The bytes of an answer."""
    named = {"content-length": str(len(content)), **{name.replace("_", "-"): text for name, text in headers.items()}}
    lines = "".join(f"{name}: {text}\r\n" for name, text in named.items())
    return f"HTTP/1.1 {status} Said\r\n{lines}\r\n".encode() + content


def refuse(status: int, name: str, **headers: str) -> Act:
    """A problem as the service tells it."""
    return reply(status, problem(status, name), **headers)


def raw(content: bytes) -> Act:
    """Any bytes."""

    def act(connection: socket.socket, asked: Asked) -> bool:
        del asked
        connection.sendall(content)
        return True

    return act


def then_close(content: bytes = b"") -> Act:
    """Any bytes, and the connection's end."""

    def act(connection: socket.socket, asked: Asked) -> bool:
        del asked
        connection.sendall(content)
        connection.shutdown(socket.SHUT_RDWR)
        return False

    return act


def reset(connection: socket.socket, asked: Asked) -> bool:
    """The connection is reset."""
    del asked
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    os.close(connection.detach())  # the socket's own `close` waits for the file that reads from it
    return False


def silent(connection: socket.socket, asked: Asked) -> bool:
    """Nothing comes until the client leaves."""
    del asked
    with contextlib.suppress(OSError):
        connection.recv(1)
    return False


def late(seconds: float, act: Act | None = None) -> Act:
    """The same, later."""

    def waiting(connection: socket.socket, asked: Asked) -> bool:
        time.sleep(seconds)
        return (act or sound)(connection, asked)

    return waiting


def signal(**changes: Any) -> Act:  # noqa: ANN401  fields of many types
    """A sound answer with changes: of the whole answer where a field is one of its own, else of the symbol's."""

    def act(connection: socket.socket, asked: Asked) -> bool:
        return reply(200, answered(asked, **changes))(connection, asked)

    return act


def answered(asked: Asked, **changes: Any) -> dict[str, Any]:  # noqa: ANN401  fields of many types
    """What a sound service answers."""
    item = asked.item
    held = PositionState(**(item.get("position") or {}))
    close = item["bars"]["close"][-1]
    target = target_position(0.7, close, held, PositionPolicy(**POLICY))
    outer: dict[str, Any] = {
        name: changes.pop(name) for name in ("request_id", "strategy", "logged") if name in changes
    }
    sound = {"symbol": item["symbol"], "target_position": target, "input_digest": asked.digest}
    one = answer(item["bars"]["opened_at"][-1] + HOUR_MS, **{**sound, **changes})
    return {**answers(asked.body["request_id"], one), **outer}


def sound(connection: socket.socket, asked: Asked) -> bool:
    """What a sound service does."""
    acts = {
        "/v1/predict": signal(),
        "/v1/model": reply(200, [served()]),
        "/readyz": reply(200, {"ready": True, "reasons": [], "notes": []}),
        "/healthz": reply(200, {"alive": True}),
        "/v1/bots/heartbeat": reply(204),
    }
    return acts.get(asked.path, refuse(404, "not_found"))(connection, asked)


@contextlib.contextmanager
def scripted() -> Iterator[Scripted]:
    """A service that ends with the test."""
    service = Scripted()
    try:
        yield service
    finally:
        service.close()
