"""What other processes can read about an instance in MLflow."""

import asyncio
import json
from typing import Any

import pytest
import urllib3
from tests.integration.serving.models.shelf import Shelf

from tidegate.serving.instances import EXPERIMENT

pytestmark = [pytest.mark.servers]


def call(shelf: Shelf, method: str, path: str, **body: object) -> Any:  # noqa: ANN401  JSON
    reply = urllib3.request(method, f"{shelf.address}/api/2.0/mlflow/{path}", json=body)
    return reply.json()


def runs_of(shelf: Shelf, name: str) -> list[tuple[str, dict[str, Any]]]:
    """Status and tag of every run of that name."""
    path = f"experiments/get-by-name?experiment_name={EXPERIMENT}"
    experiment = call(shelf, "GET", path)["experiment"]["experiment_id"]
    runs = call(shelf, "POST", "runs/search", experiment_ids=[experiment], max_results=1000).get("runs", [])
    found = []
    for run in runs:
        if run["info"]["run_name"] == name:
            tags = {tag["key"]: tag["value"] for tag in run["data"]["tags"]}
            found.append((run["info"]["status"], json.loads(tags["instance"])))
    return found


@pytest.mark.parametrize("name", ["replica-1", "the bot's \\ 50% [1]"])
def test_an_instance_tells_what_it_serves_and_signs_off(shelf: Shelf, name: str) -> None:
    async def story() -> None:
        first = shelf.promote()
        serving: dict[str, Any] = {"instance": name, "address": "http://10.0.0.7:8080"}
        async with shelf.serving(**serving) as models:
            (status, told), *others = runs_of(shelf, name)
            assert models.instance.after_sign_off is False
            assert (status, others) == ("RUNNING", [])
            model = {"strategy": shelf.strategy, "version": first, "bundle_digest": shelf.digest(first)}
            assert told["models"] == [{**model, "role": "production"}]
            assert (told["instance"], told["address"], told["ready"]) == (name, "http://10.0.0.7:8080", True)
            assert told["heartbeat_at"] >= told["started_at"] > 0
            second, third = shelf.promote(), shelf.register(shadow=True)
            await models.refresh()
            ((_, later),) = runs_of(shelf, name)
            told_models = [(model["version"], model["role"]) for model in later["models"]]
            assert told_models == [(second, "production"), (third, "shadow")]
            assert later["heartbeat_at"] > told["heartbeat_at"]
        ((status, told),) = runs_of(shelf, name)
        assert (status, told["ready"]) == ("FINISHED", False)
        async with shelf.serving(**serving) as models:
            ((status, told),) = runs_of(shelf, name)
            assert (status, told["ready"]) == ("RUNNING", True)
            assert models.instance.after_sign_off is True
            async with shelf.serving(**serving) as again:
                assert again.instance.after_sign_off is False, "the one before has not signed off"

    asyncio.run(story())


def test_an_instance_without_a_model_is_not_ready(shelf: Shelf) -> None:
    async def story() -> None:
        async with shelf.serving(instance="empty"):
            ((_, told),) = runs_of(shelf, "empty")
            assert (told["ready"], told["models"]) == (False, [])

    asyncio.run(story())


def test_a_deleted_run_is_made_again_at_the_second_look(shelf: Shelf) -> None:
    async def story() -> None:
        async with shelf.serving(instance="deleted") as models:
            call(shelf, "POST", "runs/delete", run_id=models.instance._run_id)
            for _ in range(2):
                await models.refresh()
            assert len(runs_of(shelf, "deleted")) == 1

    asyncio.run(story())


def test_a_registry_that_takes_no_instances_changes_nothing_for_requests(
    shelf: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        first = shelf.promote()
        async with shelf.serving(instance="both \" and '") as models:
            await models.refresh()
            assert shelf.served(models) == first

    asyncio.run(story())
    told = [record.message for record in caplog.records if "cannot be registered" in record.message]
    assert len(told) == 1
