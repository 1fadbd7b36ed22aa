"""Two of what there should be one: two Prefect servers on one database, and two programs that tell them what to run when, one of them killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
from prefect.client.schemas.objects import ConcurrencyLimitStrategy
from prefect.settings import PREFECT_API_URL, temporary_settings
from pydantic import SecretStr
from tests.chaos.servers import PostgreSQL
from tests.chaos.stage import missing
from tests.servers import free_port
from tests.unavailable import unavailable

from flows.automations import FAILED, LATE, TAG
from flows.deploy import PLANS
from tidegate.services import prefect_server
from tidegate.services.process import start, wait_ready
from tidegate.settings.settings import Paths, Prefect, Settings

pytestmark = [pytest.mark.slow, pytest.mark.servers, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
STRATEGIES = ("simulated-demo", "eurusd-sample")
QUICK = {
    "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "1",
    "PREFECT_SERVER_SERVICES_SCHEDULER_RECENT_DEPLOYMENTS_LOOP_SECONDS": "1",
}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """Two servers' addresses, on one PostgreSQL database."""
    if lacking := [one for one in missing() if one == "PostgreSQL"]:
        unavailable(f"this machine has no {lacking[0]}")
    addresses: list[str] = []
    with ExitStack() as stack:
        database = PostgreSQL("prefect")
        stack.callback(database.close)
        for number in (1, 2):
            folder = tmp_path_factory.mktemp(f"server-{number}")
            paths = Paths(data=folder / "data", runs=folder / "runs", mlruns=folder / "mlruns", cache=folder / "cache")
            url = SecretStr(database.url("prefect", "asyncpg"))
            settings = Settings(paths=paths, prefect=Prefect(port=free_port(), database_url=url))
            service = prefect_server.service(settings, folder / "runs", os.environ)
            process = start(replace(service, environment={**service.environment, **QUICK}))
            stack.callback(process.stop)
            wait_ready([process], 240)
            addresses.append(prefect_server.api_url(settings))
        yield addresses


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project whose flows and strategies are this one's."""
    for name in ("flows", "configs"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def deploys(root: Path, address: str, name: str) -> "subprocess.Popen[bytes]":
    own = {
        "PREFECT_API_URL": address,
        "PREFECT_HOME": str(root / "prefect"),
        "PREFECT_LOGGING_LEVEL": "ERROR",
        "TIDEGATE_ROOT": str(root),
        "TIDEGATE_NOTIFY__WEBHOOK_URLS": "http://127.0.0.1:9/told",
    }
    command = [sys.executable, "-m", "flows.deploy", "--root", str(root), "--answer", str(root / name), *STRATEGIES]
    with (root / f"{name}.log").open("wb") as output:
        return subprocess.Popen(command, cwd=ROOT, env={**os.environ, **own}, stdout=output, stderr=output)


def names(client: SyncPrefectClient) -> Counter[str]:
    ours = client.read_deployments(deployment_filter=DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG])))
    assert all(len(one.schedules) <= 1 for one in ours)
    return Counter(f"{one.entrypoint} {one.name}" for one in ours)


def test_two_at_once_and_a_kill_leave_each_deployment_once(servers: list[str], root: Path) -> None:
    first, second = (deploys(root, address, f"answer-{number}") for number, address in enumerate(servers))
    with temporary_settings({PREFECT_API_URL: servers[0]}), get_client(sync_client=True) as client:
        deadline = time.monotonic() + 240
        while len(names(client)) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        killed = first if first.poll() is None else second
        assert killed.poll() is None, "the kill comes before the end"
        killed.send_signal(signal.SIGKILL)
    for process in (first, second):
        process.wait(240)
    again = deploys(root, servers[0], "again")
    assert again.wait(240) == 0, (root / "again.log").read_text()

    with temporary_settings({PREFECT_API_URL: servers[1]}), get_client(sync_client=True) as client:
        assert names(client) == Counter(
            f"{plan.entrypoint} {strategy}{plan.suffix}" for plan in PLANS for strategy in STRATEGIES
        )
        for automation in (FAILED, LATE):
            assert len(client.read_automations_by_name(automation)) == 1
        last = deploys(root, servers[1], "last")
        assert last.wait(240) == 0, (root / "last.log").read_text()
        told = json.loads((root / "last").read_text())
        assert (told["created"], told["updated"]) == ([], [])


def test_two_servers_on_one_database_plan_each_run_once(servers: list[str]) -> None:
    """Each schedule plans each run once.

    Where two programs replace a schedule while a server looks at it, a run of the one that is gone may stay beside the new one's (Prefect
    names a planned run by its schedule). It comes to nothing: a deployment runs once at a time, and the second is cancelled.
    """
    with temporary_settings({PREFECT_API_URL: servers[0]}), get_client(sync_client=True) as client:
        deadline = time.monotonic() + 120
        while len(runs := client.read_flow_runs(limit=200)) < 20:
            assert time.monotonic() < deadline, f"only {len(runs)} runs were planned"
            time.sleep(0.5)
        time.sleep(5)  # both have looked several times by now
        deployments = {one.id: one for one in client.read_deployments()}
        planned: Counter[tuple[object, ...]] = Counter()
        for run in client.read_flow_runs(limit=200):
            assert run.deployment_id is not None
            (schedule,) = deployments[run.deployment_id].schedules
            if str(schedule.id) in (run.idempotency_key or ""):
                planned[run.deployment_id, run.expected_start_time] += 1
    assert len(planned) >= 20
    assert set(planned.values()) == {1}
    for one in deployments.values():
        assert one.concurrency_options is not None
        assert one.concurrency_options.collision_strategy == ConcurrencyLimitStrategy.CANCEL_NEW
        assert one.global_concurrency_limit is not None
        assert one.global_concurrency_limit.limit == 1
