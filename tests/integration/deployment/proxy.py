"""A real HAProxy with the configuration of docs/deployment.md, servers behind it that tell who they are, and clients that ask all the time."""

import http.client
import re
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

from tests.meanwhile import meanwhile
from tests.servers import free_port
from tests.unavailable import unavailable

from tidegate.deployment.haproxy import Backend

DOCS: Final = Path(__file__).parents[3] / "docs" / "deployment.md"
_SLOW_S: Final = 0.4


def program() -> str:
    """HAProxy's path; skips the test where it is not installed, and fails it there when CI=true."""
    found = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
    if found is None:
        unavailable("haproxy is not on this machine: `make system` installs it")
    return found


@dataclass
class Proxy:
    """A running HAProxy.

    Attributes:
        folder: of its configuration, socket, state and log.
        port: where clients ask.
        api: the runtime API, as `deploy.proxy_socket` names it.
        backend: as tidegate talks to it.
    """

    folder: Path
    port: int
    api: str
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def backend(self) -> Backend:
        return Backend(self.api, "serving", 2.0)

    @property
    def state_file(self) -> Path:
        return self.folder / "haproxy.state"

    def start(self) -> None:
        """Start it and wait until its runtime API answers."""
        log = self.folder / "haproxy.log"
        with log.open("ab") as output:
            command = [program(), "-db", "-f", str(self.folder / "haproxy.cfg")]
            self.process = subprocess.Popen(command, stdout=output, stderr=output)
        deadline = time.monotonic() + 60
        while True:
            assert self.process.poll() is None, log.read_text()
            with suppress(Exception):
                self.backend.servers()
                return
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)


def written(folder: Path, old: int, *, over_tcp: bool) -> Proxy:
    """The configuration of the docs with addresses of this test, and without any second try that could hide a lost request."""
    found = re.search(r"```haproxy\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    made = Proxy(folder, free_port(), f"127.0.0.1:{free_port()}" if over_tcp else str(folder / "admin.sock"))
    text = found[1]
    for before, after in {
        "/run/haproxy/admin.sock mode 660": made.api if over_tcp else f"{made.api} mode 600",
        "/var/lib/tidegate/haproxy.state": str(made.state_file),
        "bind :8080": f"bind 127.0.0.1:{made.port}",
        "127.0.0.1:8081": f"127.0.0.1:{old}",
        "timeout connect 1s": "timeout connect 1s\n    retries 0",
    }.items():
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    (folder / "haproxy.cfg").write_text(text)
    return made


@contextmanager
def haproxy(folder: Path, old: int, *, over_tcp: bool = False) -> Iterator[Proxy]:
    """HAProxy in front of a server on the port `old`."""
    program()
    made = written(folder, old, over_tcp=over_tcp)
    made.start()
    try:
        yield made
    finally:
        made.kill()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Named)
        if self.path == "/slow":
            time.sleep(_SLOW_S)
        body = server.name.encode()
        self.send_response(200 if server.is_ready or self.path != "/readyz" else 503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


class Named(ThreadingHTTPServer):
    """Answers with its name. Closed, it is gone at once, with whatever it was answering."""

    daemon_threads = True

    def __init__(self, name: str, *, is_ready: bool = True) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.name, self.is_ready = name, is_ready
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def handle_error(self, *_: object) -> None:
        """Clients leave as they like."""

    def close(self) -> None:
        self.shutdown()
        self.server_close()


@dataclass
class Answers:
    """What clients got: who answered, and what failed."""

    by: "Counter[str]" = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)

    def from_now_on(self, wanted: str, count: int = 20) -> None:
        """Require that all further answers are of one server, once those that were under way are in."""
        time.sleep(2 * _SLOW_S)
        before = self.by.copy()
        deadline = time.monotonic() + 60
        while self.by[wanted] < before[wanted] + count:
            assert time.monotonic() < deadline, self.by
            assert self.failed == []
            time.sleep(0.05)
        assert set(self.by - before) == {wanted}


@contextmanager
def asking(port: int) -> Iterator[Answers]:
    """Clients with a kept connection, with a new one each time, and with slow questions."""
    answers, ending = Answers(), threading.Event()

    def ask_on(path: str, *, keep: bool) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        while not ending.is_set():
            try:
                connection.request("GET", path)
                answer = connection.getresponse()
                body = answer.read().decode()
                if answer.status == 200:
                    answers.by[body] += 1
                else:
                    answers.failed.append(f"{answer.status}: {body}")
            except (OSError, http.client.HTTPException) as error:
                answers.failed.append(repr(error))
                connection.close()
            if not keep:
                connection.close()
            time.sleep(0.01)
        connection.close()

    kinds = (("/", True), ("/", False), ("/slow", True), ("/slow", False))
    with meanwhile([partial(ask_on, path, keep=keep) for path, keep in kinds], ending):
        yield answers
