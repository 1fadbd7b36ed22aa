"""Headers of every answer: nothing is guessed, cached, framed or told about the server."""

from typing import Final

Header = tuple[bytes, bytes]

JSON: Final = b"application/json"
PROBLEM: Final = b"application/problem+json"
CLOSE: Final[Header] = (b"connection", b"close")
_ALWAYS: Final[tuple[Header, ...]] = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
_TLS_ONLY: Final[Header] = (b"strict-transport-security", b"max-age=31536000")
DOCS_CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""For /docs: its own files and this service only. Swagger UI sets styles inline, scripts it does not."""


def constant_headers(*, tls: bool) -> tuple[Header, ...]:
    """The headers that never change; browsers are told to stay with HTTPS where the service speaks it."""
    return (*_ALWAYS, _TLS_ONLY) if tls else _ALWAYS
