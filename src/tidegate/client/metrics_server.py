"""Where the client serves its own metrics: `GET /metrics`, on threads of its own, so that they are there when nothing else answers."""

import contextlib
import socket
import socketserver
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any, Final

from tidegate.client.config import host_and_port, refused

_MOST_CONNECTIONS: Final = 16
"""Others wait until one of these is done."""
_PATIENCE_S: Final = 5.0


class MetricsServer:
    """Serves a text until it is closed.

    Args:
        address: `host:port`; the port 0 takes a free one.
        text: gives what to serve.
        patience_s: with one connection, whatever it asks.
    Raises:
        ConfigurationError: the address is not free, or none of this machine.
    """

    def __init__(self, address: str, text: Callable[[], str], patience_s: float = _PATIENCE_S) -> None:
        try:
            self._server = _Server(*host_and_port(address), text, patience_s)
        except (OSError, UnicodeError) as error:
            raise refused("metrics.address", f"{address} cannot be listened on: {error}") from error
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, name="tidegate-metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it."""
        self._server.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    request_queue_size = _MOST_CONNECTIONS
    daemon_threads = True

    def __init__(self, host: str, port: int, text: Callable[[], str], patience_s: float) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.text, self._patience_s = text, patience_s
        self.closing = threading.Event()
        self._places = threading.BoundedSemaphore(_MOST_CONNECTIONS)
        super().__init__((host, port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401  socketserver's own
        while not self._places.acquire(timeout=0.1):
            if self.closing.is_set():
                self.shutdown_request(request)
                return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._places.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401  as above
        ending = threading.Timer(self._patience_s, _end, (request,))
        ending.daemon = True
        ending.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            ending.cancel()
            self._places.release()

    def handle_error(self, *_: object) -> None:
        """A reader that leaves early is no news."""


class _Handler(BaseHTTPRequestHandler):
    server_version = "tidegate-client"
    sys_version = ""
    server: _Server

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != "/metrics":
            self.send_error(404)
            return
        content = self.server.text().encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """A scrape is no news either."""


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
