"""The Prefect flows against a real Prefect server: the task graph, the cache, retries, refusals and the artifact."""

import asyncio
import base64
import json
import logging
import os
import threading
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey, FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun, TaskRun
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH
from tests.integration.pipeline.small_market import CONTENT, give_mlflow

from flows import ingest as ingest_module
from flows import retrain as retrain_module
from tidegate.bars.sources.source import RawBars, SimulatedBars
from tidegate.errors import PromotionConflict, SourceError
from tidegate.pipeline import data, publish
from tidegate.pipeline.fold import run_fold
from tidegate.registry.events import EventLedger
from tidegate.registry.opening import open_promoter
from tidegate.registry.retrains import RetrainLedger
from tidegate.registry.tracking.versions import Tracking
from tidegate.registry.trials import TrialLedger
from tidegate.settings.loading import load_settings
from tidegate.settings.settings import Settings
from tidegate.strategy.strategy import SimulatedSource

pytestmark = [pytest.mark.slow, pytest.mark.servers, pytest.mark.usefixtures("prefect_server")]

AS_OF = "2025-06-15T00:00:00Z"
GRAPH = [
    "find champion",
    "validate bars",
    "build features",
    "train and test fold 1",
    "train and test fold 2",
    "train and test fold 3",
    "judge",
    "register",
    "promote or refuse",
    "report",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project's folder with a strategy that trains, and one whose file is missing."""
    root = tmp_path_factory.mktemp("project")
    give_mlflow(root)
    write_strategy(root, **CONTENT)
    write_strategy(root, **CONTENT | {"name": "simulated-two"})
    missing = {"type": "file", "path": "data/raw/nothing.csv"}
    real = {"kind": "real", "symbols": ["BTC/USDT"]}
    write_strategy(root, **CONTENT | real | {"name": "missing", "source": missing})
    exchange = {"type": "ccxt", "exchange": "binance", "since": "2025-01-01"}
    write_strategy(root, **CONTENT | real | {"name": "exchange", "source": exchange})
    return root


def write_strategy(root: Path, **content: Any) -> None:  # noqa: ANN401
    gates = {"latency_p95_ms": {"threshold": 500}}
    path = root / "configs" / "strategies" / f"{content['name']}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({**content, "gates": gates}))


@pytest.fixture(autouse=True)
def project(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("TIDEGATE_ROOT", str(folder))
    monkeypatch.setenv("TIDEGATE_COMPUTE__LATENCY_SAMPLES", "50")
    return load_settings(folder)


def completed(flow: Any, *given: object) -> tuple[UUID, Any]:  # noqa: ANN401  Prefect types flows by their arguments
    """Run a flow; its run's id, and its result or exception."""
    state = flow(*given, return_state=True)
    return state.state_details.flow_run_id, state.result(raise_on_failure=False)


def flow_run(run_id: UUID) -> FlowRun:
    with get_client(sync_client=True) as client:
        return client.read_flow_run(run_id)


def task_runs(run_id: UUID, count: int) -> list[TaskRun]:
    """Of a flow run, in order of start. The server hears of them by events, so the last may come a little later."""
    chosen = FlowRunFilter(id=FlowRunFilterId(any_=[run_id]))
    found: list[TaskRun] = []
    with get_client(sync_client=True) as client:
        for _ in range(100):
            found = client.read_task_runs(flow_run_filter=chosen)
            if len(found) >= count and all(run.state is not None and run.state.is_final() for run in found):
                break
            time.sleep(0.1)
    return sorted(found, key=lambda run: str(run.start_time))


@pytest.fixture(scope="module")
def first(folder: Path) -> tuple[UUID, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIDEGATE_ROOT", str(folder))
        patch.setenv("TIDEGATE_COMPUTE__LATENCY_SAMPLES", "50")
        return completed(retrain_module.retrain, "simulated-small", AS_OF)


class TestRetrain:
    def test_completes_with_the_outcome_in_plain_values(self, first: tuple[UUID, Any], project: Settings) -> None:
        run_id, (outcome,) = first
        run = flow_run(run_id)

        assert run.name == "retrain simulated-small"
        assert run.state is not None
        assert run.state.is_completed()
        assert (outcome["outcome"], outcome["version"], outcome["retrain_key"]) == (
            "promoted",
            1,
            "simulated-small/2025-06",
        )
        assert open_promoter(project).current("simulated-small") == 1
        assert Path(outcome["report"]).exists()

    def test_task_graph(self, first: tuple[UUID, Any]) -> None:
        found = task_runs(first[0], len(GRAPH))
        names = [run.name for run in found]

        assert names[:3] + sorted(names[3:6]) + names[6:] == GRAPH  # folds start at the same time

    def test_verdict_is_an_artifact(self, first: tuple[UUID, Any]) -> None:
        del first
        key = ArtifactFilter(key=ArtifactFilterKey(any_=["verdict-simulatedsmall"]))

        async def read() -> list[Any]:
            async with get_client() as client:
                return await client.read_artifacts(artifact_filter=key)

        (artifact,) = asyncio.run(read())
        assert artifact.type == "markdown"
        assert artifact.description == "simulated-small/2025-06"
        assert "promoted" in str(artifact.data).lower()

    def test_second_run_takes_the_folds_from_the_cache_and_is_refused(
        self, first: tuple[UUID, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        del first
        trained: list[object] = []
        monkeypatch.setattr(retrain_module, "run_fold", lambda *given: trained.append(given))
        run_id, (outcome,) = completed(retrain_module.retrain, "simulated-small", AS_OF)

        assert trained == []
        states = {run.name: run.state_name for run in task_runs(run_id, len(GRAPH))}
        assert {name: state for name, state in states.items() if name.startswith("train")} == dict.fromkeys(
            (f"train and test fold {number}" for number in (1, 2, 3)), "Cached"
        )
        assert outcome["outcome"] == "refused"
        assert "champion has seen this window" in outcome["message"]

    def test_another_seed_is_not_taken_from_the_cache(
        self, first: tuple[UUID, Any], folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        del first
        write_strategy(folder, **CONTENT | {"name": "simulated-seed", "model": CONTENT["model"] | {"seed": 8}})
        trained: list[object] = []

        def counted(*given: Any) -> Any:  # noqa: ANN401
            trained.append(given)
            return run_fold(*given)

        monkeypatch.setattr(retrain_module, "run_fold", counted)
        completed(retrain_module.retrain, "simulated-seed", AS_OF)

        assert len(trained) == 3

    def test_missing_file_fails_at_once_with_our_message_and_leaves_nothing(self, project: Settings) -> None:
        run_id, error = completed(retrain_module.retrain, "missing", AS_OF)
        run = flow_run(run_id)

        assert run.state is not None
        assert run.state.is_failed()
        assert isinstance(error, SourceError)
        assert "no file for BTC/USDT" in str(error)
        assert [(task.name, task.run_count) for task in task_runs(run_id, 2)] == [
            ("find champion", 1),
            ("validate bars", 1),
        ]
        assert list(project.paths.runs.glob("missing/*/bundle*")) == []
        assert Tracking(project).kind("missing") is None
        ledger = RetrainLedger.from_settings(project)
        assert [row.state for row in ledger.runs("missing")] == ["started", "failed"]
        with ledger.retrain_lock("missing", "2025-06"):
            pass  # the lock is free

    def test_people_are_told_of_an_outcome_and_of_a_failure(self, first: tuple[UUID, Any], project: Settings) -> None:
        assert first
        with pytest.raises(SourceError):
            retrain_module.retrain("missing", AS_OF)
        told = {
            (event.content["severity"], event.content["title"], event.subject)
            for event in EventLedger.from_settings(project).rows(kinds={"notification"})
        }
        assert {
            ("info", "simulated-small: promoted in the month's retraining", "retrain/simulated-small/2025-06"),
            ("critical", "missing: the month's retraining failed", "retrain/missing/2025-06"),
        } <= told

    def test_second_flow_of_the_same_month_is_refused(self, project: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        reached, go_on = threading.Event(), threading.Event()
        prepare = data.prepare

        def waiting(*given: Any) -> data.Prepared:  # noqa: ANN401
            reached.set()
            assert go_on.wait(60)
            return prepare(*given)

        monkeypatch.setattr(data, "prepare", waiting)
        found: list[Any] = []
        one = threading.Thread(
            target=lambda: found.append(completed(retrain_module.retrain, "simulated-two", AS_OF)[1])
        )
        one.start()
        try:
            assert reached.wait(60)
            _, error = completed(retrain_module.retrain, "simulated-two", AS_OF)
        finally:
            go_on.set()
            one.join(120)

        assert isinstance(error, PromotionConflict)
        assert "a retrain of simulated-two/2025-06 is already running" in str(error)
        assert found[0][0]["outcome"] == "promoted"
        assert [row.state for row in RetrainLedger.from_settings(project).runs("simulated-two")] == [
            "started",
            "finished",
        ]


class TestReport:
    def test_report_that_fails_leaves_the_retrain_finished(
        self, first: tuple[UUID, Any], project: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        del first

        def broken(*_given: object) -> None:
            raise ValueError("no such chart")

        monkeypatch.setattr(publish, "write_report", broken)
        before = len(RetrainLedger.from_settings(project).runs("simulated-small"))
        _, error = completed(retrain_module.retrain, "simulated-small", AS_OF)

        assert isinstance(error, publish.ReportFailed)
        assert "no such chart" in str(error)
        assert "v1 stays" in str(error)
        states = [run.state for run in RetrainLedger.from_settings(project).runs("simulated-small")]
        assert states[before:] == ["started", "finished"]

    def test_reads_of_a_cached_run_count_and_its_trials_do_not(
        self, first: tuple[UUID, Any], project: Settings
    ) -> None:
        del first
        ledger = TrialLedger.from_settings(project)
        trials = ledger.trials("simulated-small")
        test = trials[-1].windows.test
        reads = ledger.count_reads("simulated-small", test)
        completed(retrain_module.retrain, "simulated-small", AS_OF)

        assert ledger.count_trials("simulated-small") == len(trials)
        assert ledger.count_reads("simulated-small", test) == reads + 1


class TestFoldCache:
    def test_no_pickle_is_among_the_results(self, first: tuple[UUID, Any]) -> None:
        del first
        stored = results()

        assert len(stored) >= 3
        for path in stored:
            record = json.loads(path.read_bytes())
            assert record["metadata"]["serializer"]["type"] == "tidegate-fold"
            assert base64.b64decode(record["result"]).startswith(b"tidegate-fold/1")
            assert record["metadata"]["expiration"] is not None

    def test_damaged_fold_is_said_so_and_trained_anew(
        self, first: tuple[UUID, Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        del first
        trained = counted_training(monkeypatch)
        completed(retrain_module.retrain, "simulated-small", AS_OF)
        assert trained == []

        used = min(results(), key=lambda path: path.stat().st_mtime)
        record = json.loads(used.read_bytes())
        middle = len(record["result"]) // 2
        turned = "B" if record["result"][middle] == "A" else "A"
        record["result"] = record["result"][:middle] + turned + record["result"][middle + 1 :]
        used.write_text(json.dumps(record))
        with caplog.at_level(logging.WARNING):
            _, (outcome,) = completed(retrain_module.retrain, "simulated-small", AS_OF)

        assert len(trained) == 1
        assert "a stored fold is damaged" in caplog.text
        assert outcome["outcome"] == "refused"

    def test_old_and_foreign_entries_are_removed_at_the_start_of_a_run(self, first: tuple[UUID, Any]) -> None:
        del first
        folder = results()[0].parent
        before = set(results())
        old, pickled, other = (folder / name for name in ("fold-old", "fold-pickled", "not-a-fold"))
        for path in (old, other):
            path.write_bytes(results()[0].read_bytes())
            os.utime(path, (time.time() - 35 * 86_400 - 60,) * 2)
        pickled.write_text(json.dumps({"metadata": {"serializer": {"type": "pickle"}}, "result": "gASVAA=="}))
        completed(retrain_module.retrain, "missing", AS_OF)

        assert not old.exists()
        assert not pickled.exists()
        assert other.exists()  # somebody else's
        assert set(results()) == before
        other.unlink()


def results() -> list[Path]:
    return sorted(Path(PREFECT_LOCAL_STORAGE_PATH.value()).glob("fold-*"))


def counted_training(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    trained: list[object] = []

    def counted(*given: Any) -> Any:  # noqa: ANN401
        trained.append(given)
        return run_fold(*given)

    monkeypatch.setattr(retrain_module, "run_fold", counted)
    return trained


class FailsOnce:
    """A source that is away at first and then gives a simulated market's bars under a real name."""

    def __init__(self) -> None:
        self.asked = 0

    def fetch(self, symbol: str, *rest: Any) -> RawBars:  # noqa: ANN401
        self.asked += 1
        if self.asked == 1:
            raise SourceError("the exchange did not answer")
        market = SimulatedSource.model_validate(CONTENT["source"])
        return SimulatedBars(market).fetch(symbol, *rest)


@pytest.fixture
def fails_once(monkeypatch: pytest.MonkeyPatch) -> FailsOnce:
    source = FailsOnce()
    monkeypatch.setattr(data, "open_source", lambda *_given: source)
    return source


class TestPassingFaults:
    def test_exchange_that_comes_back_is_asked_again(
        self, fails_once: FailsOnce, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        quick = retrain_module.validate_bars.with_options(retry_delay_seconds=0)
        monkeypatch.setattr(retrain_module, "validate_bars", quick)
        run_id, (outcome,) = completed(retrain_module.retrain, "exchange", AS_OF)

        assert fails_once.asked == 2
        assert outcome["kind"] == "real"
        runs = {run.name: run.run_count for run in task_runs(run_id, len(GRAPH))}
        assert runs["validate bars"] == 2

    def test_bad_data_are_not_tried_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[object] = []

        def broken(job: object) -> data.Gathered:
            asked.append(job)
            raise data_error()

        monkeypatch.setattr(data, "gather", broken)
        _, error = completed(retrain_module.retrain, "exchange", "2025-07-15T00:00:00Z")

        assert len(asked) == 1
        assert str(error) == str(data_error())


def data_error() -> Exception:
    from tidegate.errors import ValidationFailed

    return ValidationFailed("2 rows are wrong")


class TestIngest:
    def test_stores_bars_and_counts_them(self, project: Settings) -> None:
        run_id, found = completed(ingest_module.ingest, "simulated-small", AS_OF)

        assert flow_run(run_id).name == "ingest simulated-small"
        assert found == {"SIM/USD": 160 * 96}
        assert [run.name for run in task_runs(run_id, 1)] == ["store bars"]
        assert list((project.paths.data / "simulated").rglob("*.parquet"))

    def test_missing_file_fails_at_once(self) -> None:
        run_id, error = completed(ingest_module.ingest, "missing", AS_OF)

        assert isinstance(error, SourceError)
        assert [run.run_count for run in task_runs(run_id, 1)] == [1]

    def test_exchange_that_comes_back_is_asked_again(
        self, fails_once: FailsOnce, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        quick = ingest_module.store_bars.with_options(retry_delay_seconds=0)
        monkeypatch.setattr(ingest_module, "store_bars", quick)
        _, found = completed(ingest_module.ingest, "exchange", "2025-06-16T00:00:00Z")

        assert fails_once.asked == 2
        assert found == {"BTC/USDT": 160 * 96}
