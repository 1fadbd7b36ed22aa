"""The real service behind the real border in this process, without a server: what property tests and the fuzzer call."""

import asyncio
from pathlib import Path
from typing import Any

from tests.integration.serving.http.real import prepared
from tests.unit.serving.http.calling import JSON, Answered, Border

from tidegate.serving.metrics import Metrics
from tidegate.serving.service import Service
from tidegate.settings.serving import Serving
from tidegate.settings.settings import Settings


class Served:
    """A started service; every call runs in its one event loop.

    Args:
        folder: for its cache and its log.
        settings: of the section `serving`, in place of the ones that make a model ready.
    """

    def __init__(self, folder: Path, settings: dict[str, Any] | None = None) -> None:
        chosen = prepared(folder) if settings is None else settings
        serving = Serving.model_validate({**chosen, "strategies": (chosen["strategies"],), "log_sync": False})
        self._loop = asyncio.new_event_loop()
        self.service = self._loop.run_until_complete(self._made(Settings(serving=serving)))
        self.border = Border(self.service, rate_limit_rps=1e6)

    def predict(self, body: bytes) -> Answered:
        return self._loop.run_until_complete(self.border.answer("POST", "/v1/predict", body, JSON))

    def close(self) -> None:
        self._loop.run_until_complete(self.service.stop())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    @staticmethod
    async def _made(settings: Settings) -> Service:
        service = Service(settings, "in-process", Metrics())
        await service.start()
        return service
