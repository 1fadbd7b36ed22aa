"""Bodies of other processes' answers, read within bounds of size and time."""

import time
from typing import Final

import urllib3

LARGEST: Final = 8_000_000
_PIECE: Final = 65_536


class TooLarge(Exception):
    """More bytes than anything that is asked for has."""

    def __init__(self) -> None:
        super().__init__(f"more than {LARGEST} bytes")


class TooSlow(Exception):
    """The time was over before the body's end."""


def read_body(reply: urllib3.BaseHTTPResponse, until: float) -> bytes:
    """The body of an answer that was not preloaded. Its connection is kept for the next question, or closed where the body was not read to its end.

    Args:
        reply: the answer.
        until: by the monotonic clock, s. The library's own limit holds for each read, and a process that sends a byte a second is not answering.

    Raises:
        TooLarge, TooSlow: it is.
        HTTPError, OSError: the connection broke.
    """
    try:
        body = _read(reply, until)
    except BaseException:
        reply.close()
        raise
    reply.release_conn()
    return body


def _read(reply: urllib3.BaseHTTPResponse, until: float) -> bytes:
    body = bytearray()
    while piece := reply.read1(_PIECE):
        body += piece
        if len(body) > LARGEST:
            raise TooLarge
        if time.monotonic() > until:
            raise TooSlow
    return bytes(body)
