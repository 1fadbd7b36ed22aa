"""What the service gives back to the HTTP border."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Reply:
    """A body ready to be sent: JSON when the status is 2xx, else problem+json."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether the service can answer.

    Attributes:
        ready: whether a load balancer should send requests here.
        reasons: what stands against it, empty when ready.
        notes: what an operator should know although requests are answered, such as a refused version.
    """

    ready: bool
    reasons: list[str]
    notes: list[str]
