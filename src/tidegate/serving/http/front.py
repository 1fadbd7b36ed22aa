"""The front: every request passes here first. Who is it, may it, how much, how big; then it is answered, logged and counted.

`POST /v1/predict` goes from here straight to the service; everything else goes on to the FastAPI app.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from os import urandom
from re import compile as pattern
from time import perf_counter
from typing import Any, Final

from starlette.middleware.cors import CORSMiddleware

from tidegate.serving.clock import wall_ms
from tidegate.serving.http.access_log import AccessLog, Line
from tidegate.serving.http.app import make_app
from tidegate.serving.http.body import Bounds, ClientGone, Message, Receive, read_body, require_json
from tidegate.serving.http.counts import RequestCounts
from tidegate.serving.http.headers import CLOSE, JSON, PROBLEM, Header, constant_headers
from tidegate.serving.http.keyring import KeyRing
from tidegate.serving.http.port import ServicePort
from tidegate.serving.http.protocol import WHOLE
from tidegate.serving.http.rate_limit import RateLimit
from tidegate.serving.http.routes import PREDICT, UNKNOWN_PATH, Route, routing
from tidegate.serving.metrics import Metrics
from tidegate.serving.problems import Problem
from tidegate.settings.serving import Serving

log = logging.getLogger(__name__)

Environ = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Environ, Receive, Send], Awaitable[None]]

ANONYMOUS: Final = "anonymous"
EXCHANGE: Final = "tidegate.exchange"
_CLIENT_GONE: Final = 499  # as access logs of other servers have it; never sent
_REQUEST_ID = pattern(rb"[A-Za-z0-9._-]{1,64}").fullmatch
_ALLOWED_HEADERS: Final = ("Authorization", "Content-Type", "X-API-Key", "X-Request-ID")


class Exchange:
    """One request on its way: what the access log tells of it."""

    __slots__ = ("began", "key_id", "request_id", "route", "seconds", "size", "status")

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        self.began = perf_counter()
        self.key_id = "-"
        self.route = UNKNOWN_PATH
        self.status = _CLIENT_GONE
        self.seconds = 0.0
        self.size = 0


class Front:
    """The outermost ASGI application.

    Args:
        service: answers predictions.
        app: answers every other path of `routes.ROUTES`.
        serving: limits and origins.
        keys: whose key a request carries.
        metrics: counts requests by route and status.
        access_log: takes one line a request.
    """

    def __init__(
        self,
        service: ServicePort,
        app: App,
        serving: Serving,
        *,
        keys: KeyRing,
        metrics: Metrics,
        access_log: AccessLog,
    ) -> None:
        self.draining = False
        self._service = service
        self._app = app
        self._keys = keys
        self._metrics = metrics
        self._counts = RequestCounts(metrics)
        self._access_log = access_log
        self._table = routing(docs=serving.docs)
        self._bounds = Bounds(serving)
        self._most_bytes = serving.max_body_kb * 1024
        self._timeout_s = serving.body_timeout_s
        self._key_limit = RateLimit.of_keys(serving.key_rate_rps)
        self._failure_limit = RateLimit.of_failures()
        self._constant = constant_headers(tls=serving.tls_certificate_file is not None)
        self._id_prefix, self._id_count = urandom(6).hex(), 0
        self._entry: App | None = self._with_cors(serving.cors_origins) if serving.cors_origins else None

    @classmethod
    def around(
        cls, service: ServicePort, serving: Serving, *, keys: KeyRing, metrics: Metrics, access_log: AccessLog
    ) -> "Front":
        """The whole border around a service."""

        def notes() -> list[str]:
            return [] if keys.note is None else [keys.note]

        app = make_app(service, metrics, notes, docs=serving.docs)
        return cls(service, app, serving, keys=keys, metrics=metrics, access_log=access_log)

    async def __call__(self, scope: Environ, receive: Receive, send: Send) -> None:
        """Answer one request; every one is logged and counted, whatever becomes of it."""
        if scope["type"] != "http":
            return
        headers = dict(scope["headers"])
        exchange = Exchange(self._request_id(headers.get(b"x-request-id")))
        scope[EXCHANGE] = exchange
        scope["headers_by_name"] = headers
        try:
            if self._entry is None:
                await self._answer(scope, receive, send)
            else:
                await self._entry(scope, receive, self._dressed(exchange, send))
        finally:
            self._tell(exchange, scope["method"])

    async def overloaded(self, scope: Environ, receive: Receive, send: Send) -> None:
        """Answer a request on a connection beyond the limit; only the question whether the process lives is answered as ever."""
        if scope["path"] == "/healthz":
            await self(scope, receive, send)
            return
        exchange = Exchange(self._request_id(None))
        problem = Problem("overloaded", "try again on a connection that is kept", headers={"Retry-After": "1"})
        try:
            await self._refuse(exchange, send, problem, [CLOSE])
        finally:
            self._tell(exchange, scope["method"])

    async def _answer(self, scope: Environ, receive: Receive, send: Send) -> None:
        exchange: Exchange = scope[EXCHANGE]
        started: list[bool] = []
        try:
            await self._pass(scope, exchange, receive, send, started)
        except Problem as problem:
            await self._refuse(exchange, send, problem)
        except ClientGone:
            pass
        except Exception:
            # The border: whatever happened inside, the client learns nothing but that it did.
            log.exception("request %s failed", exchange.request_id, extra={"request_id": exchange.request_id})
            if not started:
                await self._refuse(exchange, send, Problem("internal", "the request id names it in the service's log"))

    async def _pass(
        self, scope: Environ, exchange: Exchange, receive: Receive, send: Send, started: list[bool]
    ) -> None:
        headers: dict[bytes, bytes] = scope["headers_by_name"]
        route = self._route(scope["path"], scope["method"], exchange)
        exchange.key_id = key_id = self._admit(route, headers, scope.get("client"))
        body = b""
        if route.body_bytes != 0:
            if route.json:
                require_json(headers)
            most_bytes = self._most_bytes if route.body_bytes is None else route.body_bytes
            body = await read_body(receive, headers, most_bytes, self._timeout_s, here=WHOLE in scope)
            exchange.began = perf_counter()
            if route.body_bytes is None:
                self._bounds.require_within(body)
        if route is PREDICT:
            reply = await self._service.predict(body, exchange.request_id, key_id)
            kind = JSON if reply.status < 400 else PROBLEM
            await self._send(exchange, send, reply.status, kind, reply.body, _encoded(reply.headers))
            return
        scope.setdefault("state", {}).update(request_id=exchange.request_id, key_id=key_id, front=self)
        await self._app(scope, _replayed(body, receive), self._dressed(exchange, send, started))

    def _route(self, path: str, method: str, exchange: Exchange) -> Route:
        methods = self._table.get(path)
        if methods is None:
            raise Problem("not_found", "see /openapi.json for what there is")
        exchange.route = path
        route = methods.get(method)
        if route is None:
            allowed = ", ".join(sorted(methods))
            raise Problem("method_not_allowed", f"allowed here: {allowed}", headers={"Allow": allowed})
        return route

    def _admit(self, route: Route, headers: Mapping[bytes, bytes], client: tuple[str, int] | None) -> str:
        """The id of the request's key.

        Raises:
            Problem: no valid key where one is needed, a key without the route's scope, or too many requests.
        """
        if route.scope is None:
            return "-"
        address = "?" if client is None else client[0]
        if not self._keys.required:
            self._count_request(f"address {address}", ANONYMOUS)
            return ANONYMOUS
        key = self._keys.identify(_presented(headers))
        if key is None:
            if not self._failure_limit.hit(address):
                raise self._too_many(self._failure_limit, address, "too many requests without a valid API key")
            raise Problem(
                "unauthorised",
                "send Authorization: Bearer KEY, or X-API-Key: KEY",
                headers={"WWW-Authenticate": 'Bearer realm="tidegate"'},
            )
        self._count_request(key.id, key.id)
        if not key.allows(route.scope):
            raise Problem("forbidden", f"the key needs the scope {route.scope}")
        return key.id

    def _count_request(self, caller: str, label: str) -> None:
        if not self._key_limit.hit(caller):
            self._metrics.rate_limited.labels(label).inc()
            told = f"at most {self._key_limit.item.amount} requests in {self._key_limit.item.get_expiry()} s"
            raise self._too_many(self._key_limit, caller, told)

    @staticmethod
    def _too_many(limit: RateLimit, caller: str, told: str) -> Problem:
        return Problem("rate_limited", told, headers={"Retry-After": str(limit.retry_after_s(caller))})

    def _request_id(self, given: bytes | None) -> str:
        if given is not None and _REQUEST_ID(given):
            return given.decode("ascii")
        self._id_count += 1
        return f"{self._id_prefix}-{self._id_count:x}"

    async def _refuse(self, exchange: Exchange, send: Send, problem: Problem, further: Iterable[Header] = ()) -> None:
        self._metrics.problems.labels(problem.slug).inc()
        headers = [*_encoded(problem.headers), *further]
        await self._send(exchange, send, problem.status, PROBLEM, problem.to_bytes(exchange.request_id), headers)

    async def _send(
        self, exchange: Exchange, send: Send, status: int, kind: bytes, body: bytes, further: list[Header]
    ) -> None:
        exchange.seconds = perf_counter() - exchange.began
        exchange.status = status
        exchange.size = len(body)
        headers = [
            (b"content-type", kind),
            (b"content-length", b"%d" % len(body)),
            (b"x-request-id", exchange.request_id.encode()),
            *self._constant,
            *further,
        ]
        if self.draining:
            headers.append(CLOSE)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _dressed(self, exchange: Exchange, send: Send, started: list[bool] | None = None) -> Send:
        """A `send` that adds what answers of the app and of CORS lack, and notes what was sent."""

        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.seconds = perf_counter() - exchange.began
                exchange.status, exchange.size = message["status"], 0
                headers: list[Header] = list(message.get("headers", ()))
                present = {name for name, _ in headers}
                own = [(b"x-request-id", exchange.request_id.encode()), *self._constant]
                headers += [header for header in own if header[0] not in present]
                if self.draining and CLOSE[0] not in present:
                    headers.append(CLOSE)
                message["headers"] = headers
                if started is not None:
                    started.append(True)
            else:
                exchange.size += len(message.get("body", b""))
            await send(message)

        return dressed

    def _with_cors(self, origins: Iterable[str]) -> App:
        return CORSMiddleware(
            self._answer,
            allow_origins=tuple(origins),
            allow_methods=("GET", "POST"),
            allow_headers=_ALLOWED_HEADERS,
            expose_headers=("Retry-After", "X-Request-ID"),
        )

    def _tell(self, exchange: Exchange, method: str) -> None:
        self._counts.count(exchange.route, exchange.status, exchange.seconds)
        self._access_log.add(
            Line(
                wall_ms(),
                exchange.request_id,
                exchange.key_id,
                method,
                exchange.route,
                exchange.status,
                round(exchange.seconds, 6),
                exchange.size,
            )
        )


def _presented(headers: Mapping[bytes, bytes]) -> str:
    """The key that a request carries, empty when it carries none, or two different ones."""
    scheme, _, bearer = headers.get(b"authorization", b"").partition(b" ")
    key = headers.get(b"x-api-key")
    if scheme.lower() != b"bearer":
        return "" if key is None else key.decode("latin-1")
    bearer = bearer.strip()
    return bearer.decode("latin-1") if key is None or key == bearer else ""


def _encoded(headers: Mapping[str, str]) -> list[Header]:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


def _replayed(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives a body that was read already, and then what comes."""
    given = False

    async def replayed() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed
