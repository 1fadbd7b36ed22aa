"""Prefect's own telling of runs that failed or did not start, with a real Prefect server and a real receiver."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelled, Crashed, Pending, Running, Scheduled
from tests.integration.notify.receivers import WebReceiver, web_receiver
from tests.servers import free_port

from flows.automations import FAILED, LATE, SILENT, Automated, ensure_automations, ensure_silent_ends
from tidegate.errors import ConfigurationError
from tidegate.services import prefect_server
from tidegate.services.process import start, wait_ready
from tidegate.settings.settings import Paths, Prefect, Settings

pytestmark = [
    pytest.mark.slow,
    pytest.mark.servers,
    pytest.mark.skipif(sys.platform != "linux", reason="servers are stopped through /proc"),
]

LATE_AFTER = timedelta(seconds=10)  # Prefect takes no less
QUICK = {
    "PREFECT_SERVER_SERVICES_LATE_RUNS_LOOP_SECONDS": "1",
    "PREFECT_SERVER_SERVICES_LATE_RUNS_AFTER_SECONDS": "1",
    "PREFECT_SERVER_EVENTS_PROACTIVE_GRANULARITY": "PT1S",
}


RUN = """
import sys
from contextlib import suppress
from uuid import UUID, uuid4

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.flow_engine import run_flow


@flow(name="retrain")
def failing(strategy: str) -> None:
    raise ValueError(f'no bars of "{strategy}" <&> \\\\ {{{{ nothing }}}}')


with get_client(sync_client=True) as client:
    for run in sys.argv[1:]:
        with suppress(ValueError):
            run_flow(failing, flow_run=client.read_flow_run(UUID(run)), parameters={"strategy": "alpha"})
"""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SyncPrefectClient]:
    """Of a server as `tidegate up` starts it, but for its pauses."""
    root = tmp_path_factory.mktemp("automations")
    paths = Paths(data=root / "data", runs=root / "runs", mlruns=root / "mlruns", cache=root / ".cache")
    settings = Settings(paths=paths, prefect=Prefect(port=free_port()))
    service = prefect_server.service(settings, root / "runs", os.environ)
    process = start(replace(service, environment={**service.environment, **QUICK}))
    try:
        wait_ready([process], 120)
        with (
            temporary_settings({PREFECT_API_URL: prefect_server.api_url(settings)}),
            get_client(sync_client=True) as made,
        ):
            yield made
    finally:
        process.stop()


def deployment(client: SyncPrefectClient, name: str, tags: list[str]) -> UUID:
    flow_id = client.create_flow_from_name("retrain")
    return client.create_deployment(flow_id=flow_id, name=name, tags=tags, parameters={"strategy": name})


def eventually(condition: Callable[[], Any], limit_s: float, what: str) -> Any:  # noqa: ANN401
    deadline = time.monotonic() + limit_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} did not happen within {limit_s} s"
        time.sleep(0.1)
    return found


@dataclass
class Story:
    """What was run, and who hears of it."""

    receivers: list[WebReceiver]
    first: Automated
    runs: dict[str, FlowRun] = field(default_factory=dict)

    def told(self, receiver: int = 0) -> list[dict[str, Any]]:
        """What a receiver was told, by the event's id: on a busy machine Prefect may call twice for one event."""
        bodies = [json.loads(post.body) for post in self.receivers[receiver].posts]
        return list({body["id"]: body for body in bodies}.values())

    def of(self, name: str, receiver: int = 0) -> list[dict[str, Any]]:
        return [each for each in self.told(receiver) if each["run_id"] == str(self.runs[name].id)]


def run_elsewhere(api_url: str, runs: Sequence[UUID]) -> None:
    """In a process of its own, as a worker does: Prefect keeps connections to a server for a process's whole life."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, *map(str, runs)],
        env=os.environ | {"PREFECT_API_URL": api_url, "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore"},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def story(client: SyncPrefectClient) -> Iterator[Story]:
    """Runs that fail, crash, and never start; beside them those of which nothing is to be told."""
    with web_receiver() as one, web_receiver() as other:
        story = Story([one, other], ensure_automations(client, [one.url, other.url], late_after=LATE_AFTER))
        ours, foreign = deployment(client, "alpha", ["tidegate", "alpha"]), deployment(client, "beta", ["other"])
        for name, kind in {"foreign": foreign, "failed": ours}.items():
            story.runs[name] = client.create_flow_run_from_deployment(kind, name=name)
        run_elsewhere(str(client.api_url), [story.runs[name].id for name in ("foreign", "failed")])
        ends: dict[str, State[Any]] = {"crashed": Crashed(message="the power was cut"), "cancelled": Cancelled()}
        for name, state in ends.items():
            story.runs[name] = client.create_flow_run_from_deployment(ours, name=name)
            client.set_flow_run_state(story.runs[name].id, state, force=True)
        late: State[Any] = Scheduled(scheduled_time=datetime.now(UTC) - timedelta(minutes=1))
        for name, kind in {"late": ours, "catches up": ours, "late and foreign": foreign}.items():
            story.runs[name] = client.create_flow_run_from_deployment(kind, state=late, name=name)
        catching_up = story.runs["catches up"].id
        eventually(lambda: _state(client, catching_up) == "Late", 10, "a late run")
        client.set_flow_run_state(catching_up, Pending(), force=True)
        yield story


def times(client: SyncPrefectClient, run: FlowRun, state: str) -> int:
    """How often a run went into a state: a client that got no answer in time says it again, and each time is an event."""
    return sum(one.name == state for one in client.read_flow_run_states(run.id))


def _state(client: SyncPrefectClient, run: UUID) -> str | None:
    state = client.read_flow_run(run).state
    return None if state is None else state.name


def test_a_failing_run_reaches_every_receiver(client: SyncPrefectClient, story: Story) -> None:
    eventually(lambda: story.of("failed") and story.of("failed", 1), 10, "a telling of the failed run")
    told = story.of("failed")[0]
    run = client.read_flow_run(story.runs["failed"].id)
    link = f"{str(client.api_url).removesuffix('/api/')}/runs/flow-run/{run.id}"
    message = told["message"]
    assert 'ValueError: no bars of "alpha" <&> \\ {{ nothing }}' in message
    assert abs(told.pop("created_at") / 1000 - time.time()) < 60
    assert UUID(told.pop("id")).version
    assert told == {
        "severity": "critical",
        "title": "a run of retrain failed",
        "body": f"{message}\n{link}",
        "strategy": "alpha",
        "subject": "failed",
        "flow": "retrain",
        "run": "failed",
        "run_id": str(run.id),
        "state": "Failed",
        "message": message,
        "link": link,
    }
    assert link.startswith("http://127.0.0.1:")
    assert story.receivers[0].posts[0].headers["Content-Type"] == "application/json"


def test_a_crash_is_told(story: Story) -> None:
    eventually(lambda: story.of("crashed"), 10, "a telling of the crash")
    told = story.of("crashed")[0]
    assert (told["state"], told["message"], told["severity"]) == ("Crashed", "the power was cut", "critical")


def test_a_run_that_does_not_start_is_told_and_nothing_else(client: SyncPrefectClient, story: Story) -> None:
    eventually(lambda: story.of("late"), 30, "a telling of the late run")
    (told,) = story.of("late")
    assert (told["state"], told["severity"], told["title"]) == ("Late", "warning", "a run of retrain did not start")
    assert told["body"].startswith("It has not started 10 seconds after it was called late.")
    # Whatever else was to come has come: it happened before the late run was told, or would have at the same time.
    time.sleep(1.5)
    ends = {"crashed": "Crashed", "failed": "Failed", "late": "Late"}
    expected = {name: times(client, story.runs[name], state) for name, state in ends.items()}
    for receiver in (0, 1):
        assert dict(Counter(each["run"] for each in story.told(receiver))) == expected


def ours(client: SyncPrefectClient) -> list[tuple[str, bool, int]]:
    return sorted((one.name, one.enabled, len(one.actions)) for one in client.read_automations())


def blocks(client: SyncPrefectClient) -> list[str]:
    return sorted(one.data["url"] for one in client.read_block_documents_by_type("webhook"))


def test_doing_it_again_changes_only_what_differs_and_keeps_a_pause(client: SyncPrefectClient, story: Story) -> None:
    urls = [receiver.url for receiver in story.receivers]
    assert sorted(story.first.created) == sorted([FAILED, LATE])
    assert ours(client) == [(LATE, True, 2), (FAILED, True, 2)]
    before = {one.id for one in client.read_automations()}
    client.pause_automation(client.read_automations_by_name(LATE)[0].id)

    again = ensure_automations(client, [*urls, urls[0]], late_after=LATE_AFTER)
    assert again == Automated(unchanged=[FAILED, LATE])
    fewer = ensure_automations(client, urls[:1], late_after=LATE_AFTER)
    assert fewer == Automated(updated=[FAILED, LATE])
    assert ours(client) == [(LATE, False, 1), (FAILED, True, 1)]
    assert blocks(client) == urls[:1]
    later = ensure_automations(client, urls[:1])
    assert later == Automated(updated=[LATE], unchanged=[FAILED])
    assert ensure_automations(client, urls[:1]) == Automated(unchanged=[FAILED, LATE])
    assert {one.id for one in client.read_automations()} == before


def test_without_addresses_nothing_is_left(client: SyncPrefectClient, story: Story) -> None:
    ensure_automations(client, [story.receivers[0].url])
    assert ensure_automations(client, []) == Automated(removed=[LATE, FAILED])
    assert ours(client) == []
    assert blocks(client) == []
    assert ensure_automations(client, []) == Automated()


@pytest.mark.parametrize("url", ["hooks.example/token", "ftp://hooks.example/", "http://", "http://[/", "http://h/a b"])
def test_what_is_no_address_is_refused_and_not_shown(client: SyncPrefectClient, url: str) -> None:
    before = ours(client), blocks(client)
    with pytest.raises(ConfigurationError, match="address 2 for notifications is none") as refused:
        ensure_automations(client, ["https://hooks.example/good", url])
    assert url not in str(refused.value)
    assert (ours(client), blocks(client)) == before


def beat(client: SyncPrefectClient, run: UUID, tag: str) -> None:
    """A sign of life, as a run's own process gives it."""
    event = {
        "id": str(uuid4()),
        "occurred": datetime.now(UTC).isoformat(),
        "event": "prefect.flow-run.heartbeat",
        "resource": {"prefect.resource.id": f"prefect.flow-run.{run}"},
        "related": [{"prefect.resource.id": f"prefect.tag.{tag}", "prefect.resource.role": "tag"}],
    }
    client.request("POST", "/events", json=[event])


def test_a_run_that_falls_silent_is_ended_and_no_other(client: SyncPrefectClient) -> None:
    assert ensure_silent_ends(client, wanted=True, silent_after=LATE_AFTER).created == [SILENT]
    assert ensure_silent_ends(client, wanted=True, silent_after=LATE_AFTER).unchanged == [SILENT]
    runs: dict[str, UUID] = {}
    for name, tag in {"silent": "tidegate", "speaks": "tidegate", "foreign": "other"}.items():
        runs[name] = client.create_flow_run_from_deployment(deployment(client, name, [tag]), name=name).id
        client.set_flow_run_state(runs[name], Running(), force=True)
        beat(client, runs[name], tag)

    def ended() -> bool:
        beat(client, runs["speaks"], "tidegate")
        time.sleep(1)
        return _state(client, runs["silent"]) == "Crashed"

    eventually(ended, 60, "the end of a silent run")
    assert (_state(client, runs["speaks"]), _state(client, runs["foreign"])) == ("Running", "Running")
    state = client.read_flow_run(runs["silent"]).state
    assert state is not None
    assert state.message == "It has given no sign of life for 10 seconds; a new run starts from the beginning."
    assert ensure_silent_ends(client, wanted=False).removed == [SILENT]
    assert client.read_automations_by_name(SILENT) == []
