"""Everything that can be wrong with a request, as one table. Texts tell the client what to do and nothing about the inside."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from tidegate.serving.messages import FieldError, ProblemBody

_PREFIX: Final = "urn:tidegate:problem:"
_encode = msgspec.json.Encoder().encode

# slug: (HTTP status, title)
PROBLEMS: Final[Mapping[str, tuple[int, str]]] = {
    "malformed": (400, "The body is not the JSON that is expected"),
    "unauthorised": (401, "A valid API key is needed"),
    "forbidden": (403, "This API key does not allow it"),
    "not_found": (404, "There is nothing here"),
    "unknown_strategy": (404, "This service does not serve that strategy"),
    "method_not_allowed": (405, "This method is not allowed here"),
    "request_timeout": (408, "The request did not arrive in time"),
    "window_unknown": (409, "The service keeps no window of this symbol: send the whole window"),
    "window_gapped": (409, "The new bars do not follow the kept window: send the whole window"),
    "window_conflict": (409, "The new bars contradict the kept window: send the whole window"),
    "body_too_large": (413, "The body is too large"),
    "unsupported_media_type": (415, "The body must be application/json"),
    "bars_refused": (422, "The bars break a constraint"),
    "window_too_short": (422, "The window has fewer bars than the model needs"),
    "unknown_symbol": (422, "The model does not know this symbol"),
    "position_refused": (422, "The position state is not usable"),
    "too_many": (422, "More symbols or bars than this service takes"),
    "rate_limited": (429, "Too many requests with this API key"),
    "internal": (500, "The service failed"),
    "overloaded": (503, "The service has too many connections"),
    "log_unavailable": (503, "The prediction log cannot be written, so no prediction is given"),
    "model_failed": (503, "The model failed on this input"),
    "not_ready": (503, "The service is not ready"),
}


class Problem(Exception):
    """A request that is refused.

    Args:
        slug: a key of `PROBLEMS`.
        detail: what to do about it; shown to the client.
        errors: what is wrong field by field.
        headers: further headers of the answer, such as Retry-After.
    """

    def __init__(
        self,
        slug: str,
        detail: str,
        *,
        errors: Sequence[FieldError] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{slug}: {detail}")
        self.slug = slug
        self.status, self.title = PROBLEMS[slug]
        self.detail = detail
        self.errors = None if errors is None else list(errors)
        self.headers = dict(headers or {})

    def body(self, request_id: str | None) -> ProblemBody:
        """The problem as a message."""
        return ProblemBody(_PREFIX + self.slug, self.title, self.status, self.detail, request_id, self.errors)

    def to_bytes(self, request_id: str | None) -> bytes:
        """The problem as JSON."""
        return _encode(self.body(request_id))
