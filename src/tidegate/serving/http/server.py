"""The server: one process, one event loop, from the settings to the last answer."""

import asyncio
import contextlib
import logging
import signal
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from socket import AF_INET, AF_INET6, IPPROTO_TCP, SO_REUSEADDR, SOL_SOCKET, TCP_NODELAY, gethostname, socket
from time import monotonic
from typing import Final

import uvicorn
import uvloop

from tidegate.errors import ConfigurationError, ServiceError
from tidegate.logs.ids import of_process
from tidegate.logs.starting import start_logging
from tidegate.serving.http.access_log import AccessLog
from tidegate.serving.http.front import Front
from tidegate.serving.http.keyring import KeyRing
from tidegate.serving.http.port import ServicePort
from tidegate.serving.http.process_log import PROCESS
from tidegate.serving.http.protocol import BoundedProtocol, ConnectionBounds
from tidegate.serving.metrics import Metrics
from tidegate.settings.serving import Serving
from tidegate.settings.settings import Settings

log = logging.getLogger(__name__)

_BACKLOG: Final = 2048
_IDLE_S: Final = 1.0
_EVERY_ADDRESS: Final = ("0.0.0.0", "::")  # noqa: S104  compared with
_LOOK_S: Final = 0.02
"""How often a stop looks whether it may go on."""
MakeService = Callable[[Settings, str, Metrics], ServicePort]


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens."""

    scheme: str
    host: str
    port: int

    @property
    def url(self) -> str:
        """As a client on this machine may use it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


class DrainingServer(uvicorn.Server):
    """uvicorn's server with bounded connections, and a stop that loses no request.

    Args:
        front: the application; told when the stop begins.
        serving: limits and times.
        listener: bound, not listening yet.
        tls: context, None for plain HTTP.
        metrics: counts requests that are refused before the front sees them.
        listening: called once connections are accepted.
    """

    def __init__(
        self,
        front: Front,
        serving: Serving,
        listener: socket,
        tls: ssl.SSLContext | None,
        metrics: Metrics,
        listening: Callable[[], None],
    ) -> None:
        config = uvicorn.Config(
            front,
            http=BoundedProtocol,
            loop="none",
            ws="none",
            interface="asgi3",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=serving.keep_alive_s,
        )
        super().__init__(config)
        self._front = front
        self._serving = serving
        self._listener = listener
        self._tls = tls
        self._listening = listening
        bounds = ConnectionBounds(
            timeout_s=serving.body_timeout_s,
            most_connections=serving.max_connections,
            overloaded=front.overloaded,
            refused=lambda kind: metrics.problems.labels(kind).inc(),
            tls=tls is not None,
        )
        self._make_protocol = partial(BoundedProtocol, bounds, config, self.server_state)

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Listen."""
        del sockets
        loop = asyncio.get_running_loop()
        handshake_s = None if self._tls is None else self._serving.body_timeout_s
        server = await loop.create_server(
            self._make_protocol,
            sock=self._listener,
            ssl=self._tls,
            backlog=_BACKLOG,
            ssl_handshake_timeout=handshake_s,
        )
        self.servers = [server]
        self.started = True
        self._listening()

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Stop: no new connections; those that are open get their answers, each with `Connection: close`.

        An idle connection is left open for a second more, since its client may have sent a request that has not arrived yet. What is
        not answered `serving.drain_s` after the stop began is given up.
        """
        del sockets
        self._front.draining = True
        ends_at = monotonic() + self._serving.drain_s
        for server in self.servers:
            server.close()
        connections, tasks = self.server_state.connections, self.server_state.tasks
        await _until(lambda: not connections, min(ends_at, monotonic() + _IDLE_S))
        for connection in list(connections):
            connection.shutdown()
        await _until(lambda: not connections and not tasks, ends_at)
        if tasks:
            log.error("%s requests were given up after %s s", len(tasks), self._serving.drain_s)
        for task in list(tasks):
            task.cancel()
        for connection in list(connections):
            connection.transport.abort()
        await asyncio.gather(*tasks, return_exceptions=True)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are `run`'s."""
        yield


def run(settings: Settings, make_service: MakeService, *, announce: Callable[[Address], None] | None = None) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        settings: all settings of the process.
        make_service: makes the service from settings, the instance's name and the metrics.
        announce: told where it listens, when it does.
    Raises:
        ConfigurationError: production without API keys, no strategy, or a file that cannot be read.
        ServiceError: the address cannot be listened on, or the service does not start.
    """
    refuse_unsafe(settings)
    uvloop.run(_serve(settings, make_service, announce))


def refuse_unsafe(settings: Settings) -> None:
    """Refuse to start a service without a strategy, or one in production that asks nobody for a key.

    Raises:
        ConfigurationError: names the setting.
    """
    if not settings.serving.strategies:
        raise ConfigurationError(
            "there is nothing to serve",
            expected="at least one strategy",
            setting="serving.strategies",
            next_step="set TIDEGATE_SERVING__STRATEGIES=name",
        )
    if settings.environment == "production" and settings.serving.api_keys_file is None:
        raise ConfigurationError(
            "production asks every client for a key",
            expected="a file of API keys",
            setting="serving.api_keys_file",
            next_step="make one: `tidegate keys api new NAME --scope predict`",
        )


async def _serve(settings: Settings, make_service: MakeService, announce: Callable[[Address], None] | None) -> None:
    serving = settings.serving
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for kind in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(kind, stopping.set)
    tls = _tls_context(serving)
    keys = KeyRing(serving.api_keys_file)
    listener = _listener(serving)
    address = Address("http" if tls is None else "https", serving.host, listener.getsockname()[1])
    metrics = Metrics()
    metrics.watch_log_folder(serving.log_folder, serving.log_max_mb * 1_000_000)
    named = _named(settings, address)
    start_logging(named.logs, PROCESS, instance=named.serving.instance)
    service = make_service(named, named.serving.instance, metrics)
    access_log = AccessLog(ids=of_process())
    access_log.start()
    watching = loop.create_task(keys.watch())
    try:
        await service.start()
        front = Front.around(service, serving, keys=keys, metrics=metrics, access_log=access_log)

        def listening() -> None:
            if announce is not None:
                announce(address)
            log.info("listening on %s", address.url)

        server = DrainingServer(front, serving, listener, tls, metrics, listening)
        await _until_stopped(server, service, stopping)
    finally:
        watching.cancel()
        listener.close()
        try:
            await service.stop()
        finally:
            access_log.stop()
    log.info("stopped")


def _named(settings: Settings, address: Address) -> Settings:
    """The settings with the port that was taken, and with the names under which other processes find this one."""
    serving, host = settings.serving, gethostname()
    reached = Address(address.scheme, host if serving.host in _EVERY_ADDRESS else serving.host, address.port)
    names = {
        "port": address.port,
        "instance": serving.instance or f"{host}-{address.port}",
        "address": serving.address or reached.url,
    }
    return settings.model_copy(update={"serving": serving.model_copy(update=names)})


async def _until_stopped(server: DrainingServer, service: ServicePort, stopping: asyncio.Event) -> None:
    async def stop() -> None:
        await stopping.wait()
        log.info("stopping")
        service.stopping()
        server.should_exit = True

    waiting = asyncio.create_task(stop())
    try:
        await server.serve()
    finally:
        waiting.cancel()


async def _until(done: Callable[[], bool], ends_at: float) -> None:
    while not done() and monotonic() < ends_at:  # noqa: ASYNC110  uvicorn keeps plain sets and no event
        await asyncio.sleep(_LOOK_S)


def _listener(serving: Serving) -> socket:
    listener = socket(AF_INET6 if ":" in serving.host else AF_INET)
    listener.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
    listener.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
    try:
        listener.bind((serving.host, serving.port))
    except OSError as error:
        listener.close()
        raise ServiceError(
            f"{serving.host}:{serving.port} cannot be listened on: {error.strerror}",
            setting="serving.port",
            next_step="stop what listens there, or choose another port; 0 takes a free one",
        ) from error
    return listener


def _tls_context(serving: Serving) -> ssl.SSLContext | None:
    """The certificate is read once: a new one needs a restart."""
    certificate, key = serving.tls_certificate_file, serving.tls_key_file
    if certificate is None or key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigurationError(
            "the TLS certificate and its key cannot be used",
            expected="a PEM certificate chain and the private key of its first certificate",
            actual=type(error).__name__,
            setting="serving.tls_certificate_file",
        ) from error
    return context
