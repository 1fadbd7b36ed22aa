"""HTTP/1.1 to one service: kept connections, a time limit for each request, bodies with a bound.

Redirects are not followed, and proxies of the environment are not used: the client speaks to the address in its settings, or to nobody.
"""

import asyncio
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

import anyio.lowlevel
import httpx

from tidegate import __version__
from tidegate.client.config import Config, refused
from tidegate.client.decision import Reason

_LARGEST_BODY: Final = 1 << 20
_IDLE_S: Final = 50.0
"""Services close idle connections; one that is older is not trusted with a request."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back, whatever its status."""

    status: int
    body: bytes
    retry_after_s: float | None
    date: str | None


class Failure(Exception):
    """Nothing came back that could be read."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason: Reason = reason
        self.detail = detail


class Transport:
    """One service, spoken to with one key; belongs to one event loop.

    Raises:
        ConfigurationError: the file of certificate authorities cannot be used.
    """

    def __init__(self, config: Config) -> None:
        headers = {
            "User-Agent": f"tidegate-client/{__version__} python",
            "Accept": "application/json, application/problem+json",
            "Accept-Encoding": "identity",
        }
        if config.api_key is not None:
            headers["Authorization"] = f"Bearer {config.api_key.get_secret_value()}"
        self._connect_ms = config.deadline.connect_ms
        self._client = httpx.AsyncClient(
            base_url=config.url,
            headers=headers,
            verify=_tls(config.ca_file, needed=config.url.startswith("https:")),
            trust_env=False,
            timeout=httpx.Timeout(None, connect=self._connect_ms / 1000),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=8, keepalive_expiry=_IDLE_S),
        )

    async def get(self, path: str, timeout_s: float, route: str | None = None) -> Reply:
        """A GET, with the header `Tidegate-Route` where a route is given.

        Raises:
            Failure: no whole answer within the time.
        """
        return await self._request("GET", path, None, _routed({}, route), timeout_s)

    async def post(
        self, path: str, content: bytes, request_id: str, timeout_s: float, route: str | None = None
    ) -> Reply:
        """A POST of JSON, with the header `Tidegate-Route` where a route is given.

        Raises:
            Failure: no whole answer within the time.
        """
        headers = {"Content-Type": "application/json", "X-Request-ID": request_id}
        return await self._request("POST", path, content, _routed(headers, route), timeout_s)

    async def warm_up(self) -> None:
        """Load what the first request on a loop loads, which takes a tenth of a second: no decision should pay for it."""
        await anyio.lowlevel.checkpoint()

    async def close(self) -> None:
        """End all connections."""
        await self._client.aclose()

    async def _request(
        self, method: str, path: str, content: bytes | None, headers: dict[str, str], timeout_s: float
    ) -> Reply:
        has_head = False
        try:
            async with asyncio.timeout(timeout_s):
                async with self._client.stream(method, path, content=content, headers=headers) as answer:
                    has_head = True
                    return _reply(answer, await _read(answer))
        except TimeoutError as error:
            raise Failure("timeout", f"no answer from {path} in {timeout_s * 1000:.0f} ms") from error
        except httpx.ConnectTimeout as error:
            raise Failure("unreachable", f"no connection in {self._connect_ms} ms") from error
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise Failure("bad_answer" if has_head or _is_garbled(error) else "unreachable", _told(error)) from error


def route_of(strategy: str, symbol: str) -> str:
    """By which a proxy finds the process that has the symbol's window; ASCII, whatever the names are.

    >>> route_of("trend", "EUR/USD")
    'trend/EUR%2FUSD'
    """
    return "/".join(quote(name, safe="", errors="replace") for name in (strategy, symbol))


def _routed(headers: dict[str, str], route: str | None) -> dict[str, str]:
    return headers if route is None else {**headers, "Tidegate-Route": route}


def _is_garbled(error: Exception) -> bool:
    """Whether bytes came that are no HTTP; a connection that ends before a whole head has the same type."""
    return not isinstance(error, httpx.TransportError) or (
        isinstance(error, httpx.RemoteProtocolError) and "disconnected" not in str(error)
    )


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


async def _read(answer: httpx.Response) -> bytes:
    body = bytearray()
    async for part in answer.aiter_raw():
        body += part
        if len(body) > _LARGEST_BODY:
            raise Failure("bad_answer", f"the body is longer than {_LARGEST_BODY} bytes")
    return bytes(body)


def _reply(answer: httpx.Response, body: bytes) -> Reply:
    try:
        seconds: float | None = float(answer.headers.get("Retry-After", ""))
    except ValueError:
        seconds = None
    # Written so that NaN counts as nothing said.
    told = seconds if seconds is not None and seconds >= 0.0 else None
    return Reply(answer.status_code, body, told, answer.headers.get("Date"))


def _tls(ca_file: Path | None, *, needed: bool) -> ssl.SSLContext:
    # Reading the machine's authorities takes 20 ms, which plain HTTP does not need.
    context = ssl.create_default_context() if needed else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except (OSError, ssl.SSLError) as error:
            raise refused("ca_file", f"{ca_file} cannot be used: {error}; PEM certificates are expected") from error
    return context
