"""Where the client serves its own metrics: `GET /metrics`, on threads of its own, so that they are there when nothing else answers."""

import socket
import socketserver
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler

from tidegate.client.config import host_and_port, refused


class MetricsServer:
    """Serves a text until it is closed.

    Args:
        address: `host:port`; the port 0 takes a free one.
        text: gives what to serve.
    Raises:
        ConfigurationError: the address is not free, or none of this machine.
    """

    def __init__(self, address: str, text: Callable[[], str]) -> None:
        host, port = host_and_port(address)

        class Handler(BaseHTTPRequestHandler):
            timeout = 5.0
            server_version = "tidegate-client"
            sys_version = ""

            def do_GET(self) -> None:
                if self.path.partition("?")[0] != "/metrics":
                    self.send_error(404)
                    return
                content = text().encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """A scrape is no news."""

        class Server(socketserver.ThreadingTCPServer):
            address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
            allow_reuse_address = True
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                """A reader that leaves early is no news either."""

        try:
            self._server = Server((host, port), Handler)
        except (OSError, UnicodeError) as error:
            raise refused("metrics.address", f"{address} cannot be listened on: {error}") from error
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, name="tidegate-metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
