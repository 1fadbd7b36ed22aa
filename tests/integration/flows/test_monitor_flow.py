"""The monitoring flow against a real Prefect server: its tasks, the artifact, and what follows a source that is down."""

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey, FlowRunFilter, FlowRunFilterId
from tests.integration.monitoring.flow.story import GOOD_DAYS, NAME, Story, story

from flows import monitor as module
from tidegate.bars.bars import iso
from tidegate.bars.sources.source import SimulatedBars
from tidegate.errors import SourceError
from tidegate.registry.events import EventLedger
from tidegate.settings.loading import load_settings

pytestmark = [pytest.mark.slow, pytest.mark.servers, pytest.mark.usefixtures("prefect_server")]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Story:
    """The small story as a project's folder."""
    monkeypatch.setenv("TIDEGATE_ROOT", str(tmp_path))
    monkeypatch.setenv("TIDEGATE_SERVING__CLOCK", "bars")
    monkeypatch.setenv("TIDEGATE_SERVING__LOG_FOLDER", str(tmp_path / "predictions"))
    made = story(tmp_path)
    write(tmp_path, made.strategy.model_dump(mode="json", exclude_unset=True))
    made.write(made.answers(GOOD_DAYS))
    return made


def write(folder: Path, content: dict[str, Any]) -> None:
    path = folder / "configs" / "strategies" / f"{NAME}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content))


def task_names(run: UUID) -> list[str]:
    with get_client(sync_client=True) as client:
        found = client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run])))
    return [task.name for task in sorted(found, key=lambda task: task.start_time or task.created)]  # type: ignore[arg-type,return-value]


def test_the_flow_monitors_and_shows_the_verdict(made: Story) -> None:
    state = module.monitor(NAME, iso(made.run(GOOD_DAYS).as_of), return_state=True)

    (found,) = state.result()
    assert found["findings"]["sequential"] == "quiet"
    assert found["production"] == "v2"
    assert Path(found["report"]).is_file()
    assert state.state_details.flow_run_id is not None
    assert task_names(state.state_details.flow_run_id) == ["gather bars", "compute figures", "decide and act", "show"]
    with get_client(sync_client=True) as client:
        key = ArtifactFilter(key=ArtifactFilterKey(any_=["monitoring-simulatedsmall"]))
        (artifact,) = client.read_artifacts(artifact_filter=key)
    assert NAME in str(artifact.data)
    assert artifact.description == found["event"]


def test_a_source_that_is_down_fails_the_run_and_is_alarmed(
    made: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_arguments: object) -> None:
        raise SourceError("the exchange is down")

    monkeypatch.setattr(SimulatedBars, "fetch", down)

    state = module.monitor(NAME, iso(made.run(GOOD_DAYS).as_of), return_state=True)

    assert state.is_failed()
    assert isinstance(state.result(raise_on_failure=False), SourceError)
    events = EventLedger.from_settings(load_settings(tmp_path)).rows(NAME)
    assert {event.kind for event in events} == {"alarm", "notification"}
