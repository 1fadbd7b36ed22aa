"""A request's body: read within bounds of size and time, and looked at before any parser sees it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import nullcontext
from typing import Any, Final

from tidegate.serving.http.headers import CLOSE
from tidegate.serving.problems import Problem
from tidegate.settings.serving import Serving

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

_LONGEST_LENGTH: Final = 18  # digits; more than that is no size
_COLUMNS: Final = 6
_SPARE: Final = 64  # for brackets and commas inside names, and for the request's own fields
_NO_TIMEOUT: Final = nullcontext()
_CLOSE: Final = {CLOSE[0].decode(): CLOSE[1].decode()}


class ClientGone(Exception):
    """The client left before its request was whole."""


def require_json(headers: Mapping[bytes, bytes]) -> None:
    """Refuse a body of another type, or a compressed one.

    Raises:
        Problem: unsupported_media_type.
    """
    kind = headers.get(b"content-type", b"")
    if kind != b"application/json" and kind.partition(b";")[0].strip().lower() != b"application/json":
        raise Problem("unsupported_media_type", "send Content-Type: application/json")
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise Problem("unsupported_media_type", "send the body without Content-Encoding")


async def read_body(
    receive: Receive, headers: Mapping[bytes, bytes], most_bytes: int, timeout_s: float, *, here: bool = False
) -> bytes:
    """Read a body whole.

    A body whose declared length is too large is refused before a byte of it is read.

    Args:
        receive: gives its parts.
        headers: by name in lower case.
        most_bytes: its largest size.
        timeout_s: in which it must have come.
        here: the server says that all of it has come, so no time needs to be taken: that spares 7 us.

    Raises:
        Problem: body_too_large, or request_timeout.
        ClientGone: the client left.
    """
    length = headers.get(b"content-length")
    if length is not None and (len(length) > _LONGEST_LENGTH or not length.isdigit() or int(length) > most_bytes):
        raise _too_large(most_bytes)
    try:
        async with _NO_TIMEOUT if here else asyncio.timeout(timeout_s):
            message = await receive()
            if message["type"] == "http.request" and not message.get("more_body", False):
                body = bytes(message.get("body", b""))
            else:
                body = await _rest(receive, message, most_bytes)
    except TimeoutError as error:
        told = f"the whole request must arrive within {timeout_s:g} s"
        raise Problem("request_timeout", told, headers=_CLOSE) from error
    if len(body) > most_bytes:
        raise _too_large(most_bytes)
    return body


async def _rest(receive: Receive, message: Message, most_bytes: int) -> bytes:
    parts, size = [], 0
    while True:
        if message["type"] != "http.request":
            raise ClientGone
        part = message.get("body", b"")
        parts.append(part)
        size += len(part)
        if size > most_bytes:
            raise _too_large(most_bytes)
        if not message.get("more_body", False):
            return b"".join(parts)
        message = await receive()


def _too_large(most_bytes: int) -> Problem:
    return Problem("body_too_large", f"at most {most_bytes} bytes are taken")


class Bounds:
    """How many brackets, braces and commas a body may have at most, whatever it means.

    A right request has one list of items and six lists an item, and its commas stand between the numbers of those lists, so these
    counts bound depth and bars before anything is parsed.
    """

    def __init__(self, serving: Serving) -> None:
        self.brackets = 1 + _COLUMNS * serving.max_symbols + _SPARE
        self.braces = 1 + 3 * serving.max_symbols + _SPARE
        self.commas = serving.max_symbols * (_COLUMNS * serving.max_bars + _SPARE) + _SPARE

    def require_within(self, body: bytes) -> None:
        """Refuse a body with more of them.

        Raises:
            Problem: too_many.
        """
        if body.count(b"[") > self.brackets or body.count(b"{") > self.braces or body.count(b",") > self.commas:
            raise Problem("too_many", "the body has more lists, objects or values than any request this service takes")
