"""A version as the pipeline registers it is found where the service looks for it."""

import asyncio

import pytest
from tests.integration.serving.models.shelf import FAR_MS, Shelf
from tests.unit.model.small_model import small_bundle, small_dataset

from tidegate.keys.signing import production_message
from tidegate.registry.tracking import Tracking
from tidegate.settings.settings import Mlflow, Paths, Settings

pytestmark = [pytest.mark.servers]


def test_what_tracking_registers_is_served(shelf: Shelf) -> None:
    settings = Settings(
        paths=Paths(mlruns=shelf.folder / "mlruns"), mlflow=Mlflow(tracking_uri=shelf.address, timeout_s=10)
    )
    tracking = Tracking(settings)
    bundle = small_bundle(shelf.folder / "bundle", strategy=shelf.strategy, expires_at=FAR_MS)
    with tracking.start_run(shelf.strategy, "2026-11") as run:
        version = tracking.register(shelf.folder / "bundle", run, small_dataset().features.names, description="")
    tracking.attach_signature(shelf.strategy, version, shelf.signer.sign(production_message(bundle.digest)))
    tracking.set_alias(shelf.strategy, "production", version)
    shelf.manifests[version] = bundle.manifest

    async def story() -> None:
        async with shelf.serving() as models:
            assert shelf.served(models) == version

    asyncio.run(story())
