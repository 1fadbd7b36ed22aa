"""Starts the border of the service as a process of its own, and speaks to it over plain sockets."""

import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

ROOT = Path(__file__).parents[4]
STAND_IN = ("-m", "tests.integration.serving.http.stand_in")


@dataclass
class Running:
    """A server that runs."""

    process: subprocess.Popen[bytes]
    url: str
    folder: Path
    lines: list[dict[str, Any]] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(urlsplit(self.url).port or 0)

    def stderr(self) -> str:
        return (self.folder / "stderr").read_text(encoding="utf-8")

    def stop(self) -> int:
        """End it as `docker stop` does, and give its exit code; all lines of its access log are then in `lines`."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


@contextlib.contextmanager
def serving(folder: Path, *arguments: str, **settings: object) -> Iterator[Running]:
    """A server with settings of the section `serving`; the stand-in, unless arguments for Python name another module."""
    chosen = {"port": 0, "strategies": "stand-in", **settings}
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("TIDEGATE_")},
        **{f"TIDEGATE_SERVING__{name.upper()}": str(value) for name, value in chosen.items()},
        "TIDEGATE_ROOT": str(folder),
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "error",
    }
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "stderr").open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, *(arguments or STAND_IN)],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
    assert process.stdout is not None
    try:
        first = process.stdout.readline().decode().strip()
        assert first, (folder / "stderr").read_text()[-3000:]
        running = Running(process, first, folder)
        reader = threading.Thread(target=_read, args=(process, running.lines), daemon=True)
        reader.start()
        yield running
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
        reader.join(5)
        process.stdout.close()


def _read(process: subprocess.Popen[bytes], lines: list[dict[str, Any]]) -> None:
    assert process.stdout is not None
    lines.extend(map(json.loads, process.stdout))


@dataclass(frozen=True)
class Answer:
    """One HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:  # noqa: ANN401  any JSON
        return json.loads(self.body)


class Connection:
    """One connection; answers are read by their Content-Length."""

    def __init__(self, port: int, *, tls: ssl.SSLContext | None = None, timeout_s: float = 20.0) -> None:
        plain = socket.create_connection(("127.0.0.1", port), timeout_s)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = plain if tls is None else tls.wrap_socket(plain, server_hostname="localhost")
        self._rest = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, content: bytes) -> None:
        self.socket.sendall(content)

    def answer(self) -> Answer:
        """The next answer; raises ConnectionError when the connection ends before it is whole."""
        while b"\r\n\r\n" not in self._rest:
            self._more()
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        size = int(headers.get("content-length", "0"))
        while len(self._rest) < size:
            self._more()
        body, self._rest = self._rest[:size], self._rest[size:]
        return Answer(int(first.split()[1]), headers, body)

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        self.send(request(method, path, body, **headers))
        return self.answer()

    def is_closed(self) -> bool:
        """Whether the server ends the connection, waiting for it."""
        try:
            return self._rest == b"" and self.socket.recv(1) == b""
        except ConnectionError:
            return True

    def _more(self) -> None:
        part = self.socket.recv(65_536)
        if not part:
            raise ConnectionError("closed before the answer was whole")
        self._rest += part


def request(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """The bytes of a request; underscores in header names stand for hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if method == "POST":
        named = {"content-type": "application/json", "content-length": str(len(body)), **named}
    lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return f"{method} {path} HTTP/1.1\r\nhost: localhost\r\n{lines}\r\n".encode("latin-1") + body


def ask(running: Running, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
    """One request on a connection of its own."""
    with Connection(running.port) as connection:
        return connection.ask(method, path, body, **headers)
