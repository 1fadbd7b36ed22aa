"""What the border asks of the service behind it; `tidegate.serving.service.Service` is the one that is real."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from tidegate.serving.messages import Heartbeat
from tidegate.serving.reply import Readiness, Reply


class ServicePort(Protocol):
    """The service as HTTP sees it. Methods that refuse raise `Problem`."""

    async def predict(self, body: bytes, request_id: str, key_id: str) -> Reply:
        """Answer a body of `POST /v1/predict`."""

    def check(self, body: bytes, request_id: str) -> Reply:
        """Answer a body of `POST /v1/admin/check`, without a trace."""

    def model(self) -> Sequence[Mapping[str, Any]]:
        """What is served, one entry a strategy."""

    def readiness(self) -> Readiness:
        """Whether requests should be sent here."""

    async def reload(self) -> Sequence[Mapping[str, Any]]:
        """Look at the registry now, one result a strategy."""

    def heartbeat(self, heartbeat: Heartbeat, key_id: str) -> None:
        """Keep a bot's sign of life."""

    def bots(self) -> Sequence[Mapping[str, Any]]:
        """The bots' last signs of life."""

    async def start(self) -> None:
        """Load models and open the prediction log."""

    def stopping(self) -> None:
        """Say in `readiness` from now on that no new requests should come."""

    async def stop(self) -> None:
        """Close the prediction log."""
