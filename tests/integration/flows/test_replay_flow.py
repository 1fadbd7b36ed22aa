"""The replay's flow against a real Prefect server and a Dask cluster of its own: task runs, order, artifact, and a second run."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from tests.integration.flows.test_retrain_flow import completed, flow_run, task_runs, write_strategy
from tests.integration.pipeline.small_market import CONTENT

from flows import replay as replay_module
from tidegate.errors import ConfigurationError
from tidegate.replay.result import ReplayResult

pytestmark = [pytest.mark.slow, pytest.mark.servers, pytest.mark.usefixtures("prefect_server")]

NAME = "simulated-two"
MODELS = ("simulated-two-simusd", "simulated-two-simeur")
WINDOWS = {"train_days": 65, "test_days": 30, "max_folds": 1}
MONTHS = ("2025-07", "2025-08")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    several = {"symbols": ["SIM/USD", "SIM/EUR"], "combine": "separate", "windows": WINDOWS}
    write_strategy(root, **CONTENT | several | {"name": NAME})
    return root


@pytest.fixture(scope="module")
def replayed(folder: Path) -> tuple[UUID, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIDEGATE_ROOT", str(folder))
        patch.setenv(
            "TIDEGATE_COMPUTE__WORKERS", "1"
        )  # several are tested elsewhere, and each compiles and imports for seconds
        return completed(replay_module.replay, NAME, *MONTHS)


@pytest.fixture(autouse=True)
def _project(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGATE_ROOT", str(folder))


def test_each_month_of_each_model_is_a_task_on_dask(replayed: tuple[UUID, Any]) -> None:
    run_id, outcomes = replayed
    run = flow_run(run_id)
    assert run.name == f"replay {NAME} 2025-07 to 2025-08"
    assert run.state is not None
    assert run.state.is_completed(), run.state.message
    months = [f"train {model} {month}" for model in MODELS for month in MONTHS]
    found = task_runs(run_id, len(months) + len(MODELS))
    assert sorted(task.name for task in found) == sorted([*months, "publish page", "publish page"])
    assert {task.name for task in found[:4]} == set(months), "pages come last"
    assert all("replay" in task.tags for task in found)
    assert [outcome["strategy"] for outcome in outcomes] == list(MODELS)
    assert [(outcome["months"], outcome["trained"]) for outcome in outcomes] == [(2, 2), (2, 2)]


def test_the_page_is_a_link_and_the_result_lies_beside_it(replayed: tuple[UUID, Any]) -> None:
    outcome = replayed[1][0]
    page = Path(outcome["page"])
    assert "<html" in page.read_text(encoding="utf-8")
    result = ReplayResult.from_json(page.with_suffix(".json").read_text(encoding="utf-8"))
    assert {path.name: path.summary.total_return for path in result.paths} == outcome["returns"]
    assert result.training.workers == 1
    key = ArtifactFilter(key=ArtifactFilterKey(any_=["replay-simulatedtwosimusd"]))

    async def read() -> list[Any]:
        async with get_client() as client:
            return await client.read_artifacts(artifact_filter=key)

    (artifact,) = asyncio.run(read())
    assert page.as_uri() in str(artifact.data)
    assert artifact.description == str(page)


def test_a_second_run_trains_nothing_and_finds_the_same(replayed: tuple[UUID, Any]) -> None:
    run_id, (outcome,) = completed(replay_module.replay, NAME, *MONTHS, "SIM/USD")
    assert [task.name for task in task_runs(run_id, 1)] == ["publish page"]
    assert outcome == replayed[1][0] | {"trained": 0}


def test_a_month_that_is_none_is_refused_at_once() -> None:
    _, error = completed(replay_module.replay, NAME, "2025", "2025-08")
    assert isinstance(error, ConfigurationError)
    assert "month '2025' cannot be read" in str(error)
