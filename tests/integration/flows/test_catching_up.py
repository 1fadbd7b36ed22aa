"""The rule for retrainings that were missed while the machine was down, with a real Prefect server and real ledgers."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.flow_engine import run_flow
from prefect.states import Scheduled
from prefect.types._datetime import now

from flows.catching_up import Rule
from flows.deploy import RETRAIN, Outcome, deploy
from flows.retrain import retrain
from tidegate.errors import ConfigurationError
from tidegate.registry.events import EventLedger
from tidegate.registry.retrains import RetrainLedger
from tidegate.settings.settings import Paths, Prefect, Settings

pytestmark = [pytest.mark.slow, pytest.mark.servers, pytest.mark.usefixtures("prefect_server")]

ROOT = Path(__file__).parents[3]
EVERY_DAY = IntervalSchedule(interval=timedelta(days=1), anchor_date=datetime(2026, 1, 1, tzinfo=UTC), timezone="UTC")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    paths = Paths(data=tmp_path / "data", runs=tmp_path / "runs", strategies=tmp_path)
    return Settings(paths=paths, prefect=Prefect(catch_up_days=7))


@pytest.fixture
def client() -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as found:
        yield found


def deployed(strategy: str, settings: Settings) -> Outcome:
    return deploy(ROOT, [strategy], EVERY_DAY, plans=[RETRAIN], rule=Rule(settings))


def missed(client: SyncPrefectClient, strategy: str, *, since_days: int, until_days: int) -> UUID:
    """Runs that Prefect's scheduler had made, one a day within a span of the past."""
    found = client.read_deployment_by_name(f"retrain/{strategy}")
    at = now("UTC")
    body = {
        "start_time": (at - timedelta(days=since_days)).isoformat(),
        "end_time": (at - timedelta(days=until_days)).isoformat(),
        "min_time": 0,
        "max_runs": 50,
    }
    client.request("POST", "/deployments/{id}/schedule", path_params={"id": found.id}, json=body)
    return found.id


def states(client: SyncPrefectClient, deployment: UUID) -> list[str]:
    """Of runs that were due by now, oldest first."""
    runs = client.read_flow_runs(
        flow_run_filter=FlowRunFilter.model_validate({"deployment_id": {"any_": [deployment]}}), limit=200
    )
    due = [run for run in runs if run.expected_start_time is not None and run.expected_start_time <= now("UTC")]
    due.sort(key=lambda run: run.expected_start_time or now("UTC"))
    return [str(run.state_type.value) for run in due if run.state_type is not None]


def told(settings: Settings) -> list[str]:
    rows = EventLedger.from_settings(settings).rows(kinds=["notification"])
    return [str(row.content["title"]) for row in rows if "title" in row.content]


def test_within_a_week_the_newest_missed_run_catches_up(client: SyncPrefectClient, settings: Settings) -> None:
    deployed("young", settings)
    name = missed(client, "young", since_days=5, until_days=2)
    done = deployed("young", settings)
    assert states(client, name) == ["CANCELLED"] * (done.skipped_runs) + ["SCHEDULED"]
    assert done.skipped_runs >= 2
    assert (done.not_caught_up, told(settings)) == ([], [])


def test_later_it_is_skipped_and_people_are_told_once(client: SyncPrefectClient, settings: Settings) -> None:
    deployed("old", settings)
    name = missed(client, "old", since_days=12, until_days=8)
    done = deployed("old", settings)
    assert set(states(client, name)) == {"CANCELLED"}
    assert done.skipped_runs == len(states(client, name))
    assert done.not_caught_up == ["old: Missed longer ago than prefect.catch_up_days (7)."]
    assert told(settings) == ["old: the month's retraining was missed and is skipped"]
    again = deployed("old", settings)
    assert (again.skipped_runs, again.not_caught_up) == (0, [])
    assert len(told(settings)) == 1


def test_never_two_for_a_month(client: SyncPrefectClient, settings: Settings) -> None:
    deployed("done", settings)
    name = missed(client, "done", since_days=3, until_days=1)
    month = f"{now('UTC') - timedelta(days=1):%Y-%m}"
    with RetrainLedger.from_settings(settings).retrain_lock("done", month) as lock:
        lock.record("finished", as_of=0, run_id="run", version=1)
    done = deployed("done", settings)
    assert set(states(client, name)) == {"CANCELLED"}
    assert done.not_caught_up == [f"done: Missed, and {month} has a finished retraining already."]
    assert told(settings) == [], "nothing is wrong"


@pytest.mark.parametrize(("days_late", "runs"), [(6, True), (8, False)])
def test_a_run_that_starts_too_late_skips_itself(
    client: SyncPrefectClient,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    days_late: int,
    runs: bool,
) -> None:
    for name in ("data", "runs", "strategies"):
        monkeypatch.setenv(f"TIDEGATE_PATHS__{name.upper()}", str(getattr(settings.paths, name)))
    monkeypatch.setenv("TIDEGATE_ROOT", str(tmp_path))
    deployed("asleep", settings)
    due = now("UTC") - timedelta(days=days_late)
    found = client.read_deployment_by_name("retrain/asleep")
    run = client.create_flow_run_from_deployment(found.id, state=Scheduled(scheduled_time=due))
    if runs:
        with pytest.raises(
            ConfigurationError, match="asleep"
        ):  # it has no strategy file, which is what a run asks first
            run_flow(retrain, flow_run=client.read_flow_run(run.id), parameters={"strategy": "asleep"})
        return
    assert run_flow(retrain, flow_run=client.read_flow_run(run.id), parameters={"strategy": "asleep"}) == []
    assert told(settings) == ["asleep: the month's retraining was missed and is skipped"]


@pytest.mark.parametrize(("hours_ago", "runs"), [(1, False), (3, True)], ids=["since it was due", "before"])
def test_a_run_whose_month_was_trained_meanwhile_skips_itself(
    client: SyncPrefectClient,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    hours_ago: int,
    runs: bool,
) -> None:
    for name in ("data", "runs", "strategies"):
        monkeypatch.setenv(f"TIDEGATE_PATHS__{name.upper()}", str(getattr(settings.paths, name)))
    monkeypatch.setenv("TIDEGATE_ROOT", str(tmp_path))
    deployed("slept", settings)
    ledger, done_at = RetrainLedger.from_settings(settings), now("UTC") - timedelta(hours=hours_ago)
    ledger.database.clock = lambda: int(done_at.timestamp() * 1000)
    with ledger.retrain_lock("slept", f"{done_at:%Y-%m}") as lock:
        lock.record("finished", as_of=0, run_id="run", version=1)
    due = now("UTC") - timedelta(hours=2)
    found = client.read_deployment_by_name("retrain/slept")
    run = client.read_flow_run(client.create_flow_run_from_deployment(found.id, state=Scheduled(scheduled_time=due)).id)
    if runs:
        with pytest.raises(ConfigurationError, match="slept"):
            run_flow(retrain, flow_run=run, parameters={"strategy": "slept"})
        return
    assert run_flow(retrain, flow_run=run, parameters={"strategy": "slept"}) == []
    assert told(settings) == []


@pytest.mark.parametrize(
    ("days_late", "catches_up"), [(0.0, True), (6.99, True), (7.0, True), (7.01, False), (26.0, False)]
)
def test_the_rule(settings: Settings, days_late: float, catches_up: bool) -> None:
    due = datetime(2026, 11, 1, 3, 17, tzinfo=UTC)
    assert (Rule(settings)("any", due, due + timedelta(days=days_late)) is None) == catches_up
