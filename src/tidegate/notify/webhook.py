"""Notifications as JSON by POST, signed, to one address."""

import hashlib
import http.client
import json
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

from tidegate.errors import ConfigurationError
from tidegate.keys.files import read_private
from tidegate.notify.channel import Proof, TryFailed, limited
from tidegate.notify.notification import Notification
from tidegate.notify.signature import HEADER, ID_HEADER, TIMESTAMP_HEADER, sign

_MOST_ANSWER: Final = 65_536
_MOST_ID: Final = 200
_SECRET_SETTING: Final = "notify.webhook_secret_file"  # noqa: S105  a setting's name
_TEMPORARY: Final = frozenset({408, 425, 429})
_FIRST_SERVER_ERROR: Final = 500


@dataclass(frozen=True, slots=True)
class Webhook:
    """One address that gets notifications.

    Redirects are not followed: a notification goes where the settings say or nowhere. No more than 64 KiB of an answer are read. The header
    `X-Tidegate-Id` is the same at every try, so that a receiver can tell a second try of what it has taken already.

    Args:
        url: http or https. May hold a token, so it is never shown.
        secret_file: with the secret that signs; None for no signature. A file that cannot be read sends nothing.
        timeout_s: for one try.
        now_s: seconds since 1970, UTC.
    """

    url: str = field(repr=False)
    secret_file: Path | None
    timeout_s: float
    now_s: Callable[[], float] = time.time

    @property
    def name(self) -> str:
        """`webhook:host#digest`, of which the digest tells two paths on one host apart."""
        try:
            host = urlsplit(self.url).hostname or "?"
        except ValueError:
            host = "?"
        return f"webhook:{host}#{hashlib.sha256(self.url.encode()).hexdigest()[:8]}"

    def deliver(self, notification: Notification) -> Proof:
        """POST it once; an answer of 200 to 299 counts as delivered.

        Raises:
            TryFailed: any other answer, or none.
        """
        body = webhook_body(notification)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "tidegate",
            ID_HEADER: notification.id,
            **self._signed(body),
        }
        address = _address(self.url)
        connection = _connection(address, self.timeout_s)
        path = (address.path or "/") + (f"?{address.query}" if address.query else "")
        try:
            with limited(self.timeout_s, lambda: connection.sock):
                connection.request("POST", path, body, headers)
                answer = connection.getresponse()
                content = answer.read(_MOST_ANSWER)
        except ssl.SSLCertVerificationError as error:
            raise TryFailed(f"its certificate is not trusted: {error.verify_message}", temporary=False) from error
        except (OSError, http.client.HTTPException) as error:
            raise TryFailed(f"no answer: {type(error).__name__} {error}", temporary=True) from error
        finally:
            connection.close()
        if not 200 <= answer.status < 300:
            temporary = answer.status in _TEMPORARY or answer.status >= _FIRST_SERVER_ERROR
            raise TryFailed(f"HTTP {answer.status}", temporary=temporary)
        proof = {
            "status": answer.status,
            "answer_sha256": hashlib.sha256(content).hexdigest(),
            "answer_bytes": len(content),
        }
        receiver_id = answer.headers.get("X-Request-Id")
        return proof if receiver_id is None else {**proof, "receiver_id": _printable(receiver_id)}

    def _signed(self, body: bytes) -> dict[str, str]:
        if self.secret_file is None:
            return {}
        try:
            secret = read_private(self.secret_file, _SECRET_SETTING).strip()
        except ConfigurationError as error:
            raise TryFailed(str(error), temporary=False) from error
        if not secret:
            raise TryFailed(f"the file of {_SECRET_SETTING} is empty", temporary=False)
        timestamp_s = int(self.now_s())
        return {TIMESTAMP_HEADER: str(timestamp_s), HEADER: sign(secret, timestamp_s, body)}


def webhook_body(notification: Notification) -> bytes:
    """The JSON that a webhook gets."""
    told = {
        "id": notification.id,
        "severity": notification.severity,
        "title": notification.title,
        "body": notification.body,
        "strategy": notification.strategy,
        "subject": notification.subject,
        "created_at": notification.created_at,
    }
    return json.dumps(told, ensure_ascii=False).encode()


def _address(url: str) -> SplitResult:
    try:
        address = urlsplit(url)
        usable = address.scheme in {"http", "https"} and bool(address.hostname) and address.port != 0
    except ValueError:
        usable = False
    if not usable or not url.isascii() or not url.isprintable() or " " in url:
        raise TryFailed("notify.webhook_urls: not an address such as https://host/path", temporary=False)
    return address


def _connection(address: SplitResult, timeout_s: float) -> http.client.HTTPConnection:
    host = address.hostname or ""
    if address.scheme == "http":
        return http.client.HTTPConnection(host, address.port, timeout=timeout_s)
    return http.client.HTTPSConnection(host, address.port, timeout=timeout_s, context=ssl.create_default_context())


def _printable(text: str) -> str:
    return "".join(each for each in text if each.isprintable())[:_MOST_ID]
