"""The flow `rollback`: the whole procedure with a real Prefect server; its report is an artifact, and a process that does not follow fails it."""

import asyncio
from pathlib import Path

import pytest
from mlflow import MlflowClient
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.objects import Artifact
from tests.integration.pipeline.small_market import give_mlflow, settings
from tests.servers import free_port

from tidegate.errors import NotVerified
from tidegate.registry.events import EventLedger
from tidegate.rollback.incidents import open_incidents

pytestmark = [pytest.mark.slow, pytest.mark.servers]

NAME = "nothing-promoted"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    give_mlflow(tmp_path)
    address = f"sqlite:///{tmp_path}/mlruns/mlflow.db"
    MlflowClient(tracking_uri=address, registry_uri=address).create_registered_model(NAME, tags={"kind": "simulated"})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TIDEGATE_ROOT", str(tmp_path))
    return tmp_path


def artifact(key: str) -> str:
    """The newest artifact of a key."""

    async def read() -> list[Artifact]:
        async with get_client() as client:
            return await client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])))

    return str(max(asyncio.run(read()), key=lambda one: one.created or 0).data)


@pytest.mark.usefixtures("prefect_server")
def test_without_a_good_version_it_halts_and_reports(root: Path) -> None:
    from flows.rollback import rollback

    told = rollback(NAME, "losses")
    assert (told["changed"], told["verdict"]) == (True, "no_instances")
    assert "is halted" in str(told["message"])
    events = EventLedger.from_settings(settings(root))
    (incident,) = open_incidents(events, NAME)
    assert incident.id == told["incident"]
    assert (incident.act, incident.automatic) == ("halt", False)
    assert incident.opened_by.startswith("prefect flow run rollback ")
    assert [note.content for note in incident.notes] == [{"told": f"{NAME} halted by {incident.opened_by}"}]
    shown = artifact(f"rollback-{NAME}")
    assert incident.id in shown
    assert "no serving process is known" in shown


@pytest.mark.usefixtures("prefect_server", "root")
def test_a_process_that_does_not_follow_fails_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.rollback import rollback

    monkeypatch.setenv("TIDEGATE_WATCH__INSTANCES", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("TIDEGATE_WATCH__VERIFY_S", "0.5")
    with pytest.raises(NotVerified):
        rollback(NAME, "losses")
    assert "| behind |" in artifact(f"rollback-{NAME}")
