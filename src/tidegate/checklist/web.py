"""HTTP as the probes use it: small bounded questions, no redirects."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import urllib3
from urllib3.exceptions import HTTPError

from tidegate.errors import ServiceError
from tidegate.rollback.body import LARGEST, TooLarge, TooSlow, read_body
from tidegate.settings.reference import without_password


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer; names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:  # noqa: ANN401  any JSON
        """The body as JSON.

        Raises:
            ServiceError: it is none.
        """
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise ServiceError("an answer is not JSON", actual=repr(self.body[:80])) from error


class Web:
    """Asks over HTTP.

    Args:
        timeout_s: before an address counts as not answering.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._http = urllib3.PoolManager(retries=False, maxsize=4)

    def ask(
        self, url: str, *, method: str = "GET", headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Reply:
        """One question. A user name and password in the address go as basic authentication, and into no message.

        Raises:
            ServiceError: nobody answers in time, or the answer is too large.
        """
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"}:
            raise ServiceError(f"{url} does not answer", expected="an address with http:// or https://")
        user, _, host = parts.netloc.rpartition("@")
        url = urlunsplit(parts._replace(netloc=host))
        headers = {**(urllib3.make_headers(basic_auth=unquote(user)) if user else {}), **(headers or {})}
        until = time.monotonic() + self._timeout_s
        try:
            response = self._http.request(
                method, url, headers=headers, body=body, timeout=urllib3.Timeout(total=self._timeout_s),
                redirect=False, preload_content=False,
            )  # fmt: skip
            content = read_body(response, until)
        except TooLarge as error:
            raise ServiceError(f"the answer of {url} is too large", expected=f"at most {LARGEST} bytes") from error
        except (TooSlow, HTTPError, ValueError, OSError) as error:
            raise ServiceError(f"{url} does not answer", actual=type(error).__name__) from error
        named = {name.lower(): value for name, value in response.headers.items()}
        return Reply(response.status, named, content)

    def json(self, url: str) -> Any:  # noqa: ANN401  any JSON
        """The JSON that an address answers with.

        Raises:
            ServiceError: it does not answer, or not with 200 and JSON.
        """
        reply = self.ask(url)
        if reply.status != 200:
            raise ServiceError(
                f"{without_password(url)} answers with another status", expected=200, actual=reply.status
            )
        return reply.json()


class Prometheus:
    """Prometheus's HTTP API.

    Args:
        web: asks.
        address: of Prometheus.
    """

    def __init__(self, web: Web, address: str) -> None:
        self._web = web
        self.address = address.rstrip("/")

    def get(self, path: str) -> Any:  # noqa: ANN401  any JSON
        """The field `data` of an answer.

        Raises:
            ServiceError: it cannot be reached, or refuses.
        """
        told = self._web.json(f"{self.address}/api/v1/{path}")
        if told.get("status") != "success":
            raise ServiceError(f"Prometheus refuses {path}", actual=str(told)[:200])
        return told["data"]

    def values(self, query: str) -> list[float]:
        """The values of an instant query; empty where there is no series."""
        return [float(one["value"][1]) for one in self.get(f"query?query={quote(query)}")["result"]]
