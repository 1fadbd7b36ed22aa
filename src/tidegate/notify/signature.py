"""Signatures of webhook bodies: what a receiver checks to know that a notification is ours and new.

HMAC (RFC 2104) with SHA-256 over the time, a full stop and the body, so that neither can be changed and an old one cannot be sent again later.
"""

import hashlib
import hmac
from typing import Final

HEADER: Final = "X-Tidegate-Signature"
TIMESTAMP_HEADER: Final = "X-Tidegate-Timestamp"
ID_HEADER: Final = "X-Tidegate-Id"
_VERSION: Final = "v1="


def sign(secret: bytes, timestamp_s: int, body: bytes) -> str:
    """The value of the signature's header.

    Args:
        secret: what sender and receiver share.
        timestamp_s: seconds since 1970, UTC; the value of the timestamp's header.
        body: as it is sent.
    """
    return _VERSION + hmac.new(secret, b"%d." % timestamp_s + body, hashlib.sha256).hexdigest()


def is_genuine(
    secret: bytes, signature: str, timestamp: str, body: bytes, *, now_s: float, tolerance_s: float = 300.0
) -> bool:
    """Whether a body was signed with this secret, not long ago. For receivers.

    Args:
        secret: what sender and receiver share.
        signature: the signature's header.
        timestamp: the timestamp's header.
        body: as it was received.
        now_s: seconds since 1970, UTC.
        tolerance_s: how old, or how far ahead, it may be.
    """
    if not (timestamp.isascii() and timestamp.isdigit()) or abs(now_s - int(timestamp)) > tolerance_s:
        return False
    return hmac.compare_digest(sign(secret, int(timestamp), body).encode(), signature.encode())
