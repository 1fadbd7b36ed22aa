"""`tidegate up` with real servers: the schedule runs, a kill loses nothing, stopping leaves nothing."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.servers import free_port

import flows
from tidegate.services.guard import descendants
from tidegate.services.probe import is_free, post_json
from tidegate.services.process import is_guard
from tidegate.services.status import Status, status
from tidegate.services.worker import flow_environment
from tidegate.settings.settings import Mlflow, Paths, Prefect, Settings

pytestmark = [
    pytest.mark.servers,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc"),
]

FLOW = '''
"""A retraining that only leaves a mark; that of beta does not end."""

import os
import time
from pathlib import Path

from prefect import flow

import flows


@flow(name="retrain", flow_run_name="retrain-{strategy}")
def retrain(strategy: str) -> None:
    """Write what the run was given."""
    Path(f"ran-{strategy}").write_text(f"{flows.__file__} {os.environ['TIDEGATE_MLFLOW__TRACKING_URI']}")
    if strategy == "beta":
        time.sleep(600)
'''
OTHERS = '''
"""{0}, which does nothing."""

from prefect import flow


@flow(name="{0}")
def {0}(strategy: str, {1}: str) -> None:
    """Nothing."""
'''
UP = """
import json, sys, threading
from dataclasses import asdict
from pathlib import Path
from tidegate.errors import TidegateError
from tidegate.services.up import up
from tidegate.settings.loading import load_settings
root = Path(sys.argv[1])
try:
    up(load_settings(root), root, sys.argv[2:], threading.Event(), notify=lambda n: print(json.dumps(asdict(n)), flush=True))
except TidegateError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
"""
EVERY = """
import json, sys
from dataclasses import asdict
from datetime import datetime, timedelta, timezone
from pathlib import Path
from prefect.client.schemas.schedules import IntervalSchedule
from flows.deploy import RETRAIN, deploy
schedule = IntervalSchedule(
    interval=timedelta(seconds=int(sys.argv[2])), anchor_date=datetime(2026, 1, 1, tzinfo=timezone.utc), timezone="UTC"
)
print(json.dumps(asdict(deploy(Path(sys.argv[1]), sys.argv[3:], schedule, plans=[RETRAIN]))))
"""


def free_ports(count: int) -> list[int]:
    return [free_port() for _ in range(count)]


def eventually(condition: Callable[[], Any], limit_s: float, what: str) -> Any:  # noqa: ANN401
    deadline = time.monotonic() + limit_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} did not happen within {limit_s} s"
        time.sleep(0.2)
    return found


def answered(request: urllib.request.Request) -> "tuple[bytes] | None":
    """The answer; none yet while Prefect waits for the lock of SQLite, which its own client tries again too."""
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return (response.read(),)
    except urllib.error.HTTPError as error:
        if error.code != 503:
            raise
        return None


@dataclass
class Project:
    root: Path
    settings: Settings
    environment: dict[str, str]
    caller: "subprocess.Popen[str] | None" = None

    @property
    def mlflow(self) -> str:
        return f"http://127.0.0.1:{self.settings.mlflow.port}"

    @property
    def prefect(self) -> str:
        return f"http://127.0.0.1:{self.settings.prefect.port}"

    def close(self) -> None:
        if self.caller is not None:
            if self.caller.poll() is None:
                self.caller.terminate()
            self.caller.communicate(timeout=60)

    def start(self, *strategies: str) -> "subprocess.Popen[str]":
        self.close()
        self.caller = subprocess.Popen(
            [sys.executable, "-c", UP, str(self.root), *strategies],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        return self.caller

    def up(self, *strategies: str) -> list[dict[str, str]]:
        caller = self.start(*strategies)
        assert caller.stdout is not None
        assert caller.stderr is not None
        notices: list[dict[str, str]] = []
        for line in caller.stdout:
            notices.append(json.loads(line))
            if (notices[-1]["service"], notices[-1]["event"]) == ("up", "ready"):
                return notices
        raise AssertionError(f"up ended: {caller.stderr.read()}")

    def api(self, path: str, body: object = None, method: str = "GET") -> Any:  # noqa: ANN401
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"{self.prefect}/api{path}", data=data, headers={"Content-Type": "application/json"}, method=method
        )
        text = eventually(lambda: answered(request), 60, f"an answer to {method} {path}")[0]
        return json.loads(text) if text else None

    def deploy_every(self, seconds: int, *strategies: str) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-c", EVERY, str(self.root), str(seconds), *strategies],
            env=flow_environment(self.settings, self.root, self.environment),
            cwd=self.root,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer

    def deployment(self, name: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.api(f"/deployments/name/retrain/{name}")
        return answer

    def set_paused(self, name: str, *, paused: bool) -> None:
        self.api(f"/deployments/{self.deployment(name)['id']}", {"paused": paused}, "PATCH")

    @contextmanager
    def paused_pool(self) -> Iterator[None]:
        """No run starts; a test that fails in here must not keep the runs of the others from starting."""
        self.api("/work_pools/tidegate", {"is_paused": True}, "PATCH")
        try:
            yield
        finally:
            self.api("/work_pools/tidegate", {"is_paused": False}, "PATCH")

    def runs(self, name: str) -> list[dict[str, Any]]:
        chosen = {"deployments": {"name": {"any_": [name]}}, "sort": "EXPECTED_START_TIME_ASC", "limit": 200}
        answer: list[dict[str, Any]] = self.api("/flow_runs/filter", chosen, "POST")
        return answer


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    root = tmp_path_factory.mktemp("project")
    (root / "flows").mkdir()
    for name in ("__init__.py", "automations.py", "catching_up.py", "deploy.py", "work_pools.py"):
        shutil.copy(Path(str(flows.__file__)).parent / name, root / "flows" / name)
    (root / "flows" / "retrain.py").write_text(FLOW)
    for name, parameter in (("ingest", "as_of"), ("monitor", "period"), ("propose", "month"), ("rollback", "reason")):
        (root / "flows" / f"{name}.py").write_text(OTHERS.format(name, parameter))
    mlflow_port, prefect_port = free_ports(2)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "TIDEGATE_"))}
    environment |= {
        "TIDEGATE_MLFLOW__PORT": str(mlflow_port),
        "TIDEGATE_PREFECT__PORT": str(prefect_port),
        "TIDEGATE_WATCH__PORT": "0",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PREFECT_RUNNER_POLL_FREQUENCY": "1",
        # The quick look at new deployments misses one when a pass takes over a second; the full one comes every minute.
        "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "5",
        # A proxy that refuses everything: loopback must not go through it.
        "http_proxy": "http://127.0.0.1:9",
    }
    paths = Paths(data=root / "data", runs=root / "runs", mlruns=root / "mlruns", cache=root / ".cache")
    settings = Settings(paths=paths, mlflow=Mlflow(port=mlflow_port), prefect=Prefect(port=prefect_port))
    made = Project(root, settings, environment)
    yield made
    made.close()


@pytest.fixture(scope="module")
def first(project: Project) -> list[dict[str, str]]:
    return project.up("alpha", "beta")


def groups(found: Status) -> list[int]:
    pids = [one.pid for one in found.services if one.pid is not None]
    assert len(pids) == 4
    return pids


def whole_family(project: Project) -> list[int]:
    guards = groups(status(project.settings))
    return guards + [member for pid in guards for member in descendants(pid)]


def page(url: str, host: str | None = None) -> tuple[int, str]:
    request = urllib.request.Request(url, headers={"Host": host} if host else {})
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, response.headers["Content-Type"]
    except urllib.error.HTTPError as error:
        return error.code, ""


def test_both_interfaces_answer_at_the_told_addresses(project: Project, first: list[dict[str, str]]) -> None:
    told = {notice["service"]: notice["address"] for notice in first if notice["event"] == "ready"}
    assert (told["mlflow"], told["prefect"]) == (project.mlflow, project.prefect)
    for address in (project.mlflow, project.prefect):
        code, kind = page(address + "/")
        assert (code, kind.split(";")[0]) == (200, "text/html")
    assert status(project.settings).healthy
    assert (project.root / "data" / "prefect" / "prefect.db").exists()


def test_mlflow_refuses_a_foreign_host_name(project: Project, first: list[dict[str, str]]) -> None:
    del first
    url = f"{project.mlflow}/api/2.0/mlflow/experiments/get?experiment_id=0"
    port = project.settings.mlflow.port
    assert page(url)[0] == page(url, f"localhost:{port}")[0] == 200
    assert page(url, f"rebound.example:{port}")[0] == 403


def test_a_second_up_is_refused(project: Project, first: list[dict[str, str]]) -> None:
    del first
    again = subprocess.run(
        [sys.executable, "-c", UP, str(project.root), "alpha"],
        env=project.environment,
        check=False,
        capture_output=True,
        text=True,
    )
    assert project.caller is not None
    assert again.returncode == 7
    assert f"runs already in this project, as process {project.caller.pid}" in again.stderr
    assert not again.stdout


def test_each_strategy_has_one_monthly_deployment(project: Project, first: list[dict[str, str]]) -> None:
    assert [one["detail"] for one in first if one["service"] == "deploy" and one["event"] == "ready"] == [
        "14 created, 0 updated, 0 unchanged"
    ]
    for name in ("alpha", "beta"):
        found = project.deployment(name)
        (schedule,) = found["schedules"]
        assert (schedule["schedule"]["cron"], schedule["schedule"]["timezone"]) == ("17 3 1 * *", "UTC")
        assert schedule["active"]
        assert found["parameters"] == {"strategy": name}
        assert found["global_concurrency_limit"]["limit"] == 1
        assert found["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"
        assert found["work_pool_name"] == "tidegate"
        assert (found["work_pool_name"], found["work_queue_name"]) == ("tidegate", "training")
    # Trainings wait for each other, and nothing waits for a training.
    pool = project.api("/work_pools/tidegate")
    assert (pool["type"], pool["concurrency_limit"]) == ("process", None)
    assert project.api("/work_pools/tidegate/queues/training")["concurrency_limit"] == 1


def test_each_strategy_is_monitored_on_schedule_and_can_be_rolled_back(
    project: Project, first: list[dict[str, str]]
) -> None:
    del first
    for name, cron, period in (
        ("alpha", "20 0 * * *", "daily"),
        ("alpha-weekly", "40 0 * * 1", "weekly"),
        ("alpha-monthly", "0 1 1 * *", "monthly"),
    ):
        found = project.api(f"/deployments/name/monitor/{name}")
        assert [(one["schedule"]["cron"], one["schedule"]["timezone"]) for one in found["schedules"]] == [(cron, "UTC")]
        assert found["parameters"] == {"strategy": "alpha", "period": period}
        assert found["global_concurrency_limit"]["limit"] == 1
        assert found["work_queue_name"] == "default"
    bars = project.api("/deployments/name/ingest/alpha")
    assert [one["schedule"]["cron"] for one in bars["schedules"]] == ["5 0 * * *"]
    proposal = project.api("/deployments/name/propose/alpha")
    assert [one["schedule"]["cron"] for one in proposal["schedules"]] == ["0 6 2 * *"]
    found = project.api("/deployments/name/rollback/alpha")
    assert (found["schedules"], found["parameters"]) == ([], {"strategy": "alpha"})


@pytest.fixture(scope="module")
def soon(project: Project, first: list[dict[str, str]]) -> list[dict[str, Any]]:
    """Runs that have ended of a strategy that was due every few seconds and is paused by now."""
    del first
    assert project.deploy_every(10, "soon")["created"] == ["retrain/soon"]
    done = eventually(
        lambda: [run for run in project.runs("soon") if run["state_type"] in {"COMPLETED", "FAILED", "CRASHED"}],
        120,
        "a scheduled run",
    )
    project.set_paused("soon", paused=True)
    assert isinstance(done, list)
    return done


def test_a_scheduled_run_appears_and_completes(project: Project, soon: list[dict[str, Any]]) -> None:
    """Guards against SQLAlchemy 2.1, with which Prefect's scheduler fails on each pass and creates nothing."""
    assert soon[0]["state_type"] == "COMPLETED"
    assert soon[0]["auto_scheduled"] is True
    assert soon[0]["created_by"]["type"] == "SCHEDULE"
    expected = f"{project.root / 'flows' / '__init__.py'} {project.mlflow}"
    assert (project.root / "ran-soon").read_text() == expected


def test_deploying_again_changes_nothing_and_keeps_a_pause(project: Project, soon: list[dict[str, Any]]) -> None:
    assert soon
    before = project.deployment("soon")
    assert before["paused"] is True
    answer = project.deploy_every(10, "soon")
    assert (answer["created"], answer["updated"], answer["unchanged"]) == ([], [], ["retrain/soon"])
    assert answer["without_strategy"] == ["alpha", "beta"]
    after = project.deployment("soon")
    assert after["updated"] == before["updated"]
    answer = project.deploy_every(3600, "soon")
    assert answer["updated"] == ["retrain/soon"]
    changed = project.deployment("soon")
    assert changed["paused"] is True
    assert [one["schedule"]["interval"] for one in changed["schedules"]] == [3600]


def missed_runs_are_skipped(project: Project) -> None:
    project.deploy_every(2, "late")
    late = project.deployment("late")
    cut_off = project.api(f"/deployments/{late['id']}/create_flow_run", {}, "POST")["id"]
    for state in ("PENDING", "RUNNING"):
        answer = project.api(f"/flow_runs/{cut_off}/set_state", {"state": {"type": state}}, "POST")
        assert answer["status"] == "ACCEPT"
    assert project.deployment("late")["global_concurrency_limit"]["active_slots"] == 1

    def missed() -> list[dict[str, Any]]:
        return [one for one in project.runs("late") if one["auto_scheduled"] and one["estimated_start_time_delta"] > 0]

    eventually(lambda: len(missed()) >= 3, 60, "three missed runs")
    project.set_paused("late", paused=True)  # so that no more are added
    before = missed()
    answer = project.deploy_every(2, "late")
    states = {one["id"]: one["state_type"] for one in project.runs("late")}
    assert answer["skipped_runs"] >= 2
    assert answer["crashed_runs"] == 1
    waiting = [one["id"] for one in before if states[one["id"]] == "SCHEDULED"]
    assert waiting == [before[-1]["id"]]
    assert {states[one["id"]] for one in before[:-1]} == {"CANCELLED"}
    assert states[cut_off] == "CRASHED"
    assert project.deployment("late")["global_concurrency_limit"]["active_slots"] == 0


def test_missed_runs_do_not_all_run_and_cut_off_runs_free_their_place(
    project: Project, first: list[dict[str, str]]
) -> None:
    del first
    with project.paused_pool():
        missed_runs_are_skipped(project)
    eventually((project.root / "ran-late").exists, 90, "the run that catches up")


@dataclass
class Restart:
    killed: int
    family: list[int]
    experiment: str
    run: str
    notices: list[dict[str, str]]


@pytest.fixture(scope="module")
def restart(project: Project, soon: list[dict[str, Any]]) -> Restart:
    """`up` is killed while a flow runs, and started again at once, while its servers may still be stopping."""
    assert soon
    run = project.api(f"/deployments/{project.deployment('beta')['id']}/create_flow_run", {}, "POST")["id"]
    eventually((project.root / "ran-beta").exists, 90, "the run that does not end")
    made = post_json(f"{project.mlflow}/api/2.0/mlflow/experiments/create", {"name": "kept"})
    assert isinstance(made, dict)
    family = whole_family(project)
    assert len(family) >= 10  # four guards, Prefect, MLflow and its child, the worker, the watch and the flow run
    killed = project.caller
    assert killed is not None
    killed.kill()
    killed.wait()
    return Restart(killed.pid, family, made["experiment_id"], run, project.up("alpha", "beta", "soon"))


def test_a_killed_up_leaves_no_process(restart: Restart) -> None:
    assert f"the last tidegate up (process {restart.killed}) was killed" in {one["detail"] for one in restart.notices}
    assert not any(Path(f"/proc/{pid}").exists() for pid in restart.family)


def test_a_run_cut_off_by_the_kill_does_not_block_the_schedule(project: Project, restart: Restart) -> None:
    assert project.api(f"/flow_runs/{restart.run}")["state"]["type"] in {"CRASHED", "CANCELLED"}
    assert project.deployment("beta")["global_concurrency_limit"]["active_slots"] == 0


def test_the_next_up_works_on_the_same_data(project: Project, restart: Restart) -> None:
    # "soon" had another schedule and is monthly again; that a user has paused it stays.
    assert "6 created, 1 updated, 14 unchanged" in {one["detail"] for one in restart.notices}
    assert project.deployment("soon")["paused"] is True
    assert "COMPLETED" in {run["state_type"] for run in project.runs("soon")}
    with urllib.request.urlopen(
        f"{project.mlflow}/api/2.0/mlflow/experiments/get-by-name?experiment_name=kept"
    ) as kept:
        assert json.load(kept)["experiment"]["experiment_id"] == restart.experiment
    assert status(project.settings).healthy


def test_sigterm_stops_everything_in_reverse_order(project: Project, restart: Restart) -> None:
    assert restart.killed
    assert project.caller is not None
    assert all(is_guard(pid) for pid in groups(status(project.settings)))
    family = whole_family(project)
    project.caller.send_signal(signal.SIGTERM)
    rest = [json.loads(line) for line in project.caller.communicate(timeout=60)[0].splitlines()]
    assert project.caller.returncode == 0
    assert [one["service"] for one in rest if one["event"] == "stopped"] == ["watch", "worker", "prefect", "mlflow"]
    assert not any(Path(f"/proc/{pid}").exists() for pid in family)
    assert is_free(project.settings.mlflow.port)
    assert is_free(project.settings.prefect.port)
    after = status(project.settings)
    assert after.pid is None
    assert not any(one.running for one in after.services)


def test_a_taken_port_is_refused_before_anything_starts(project: Project) -> None:
    project.close()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", project.settings.mlflow.port))
        other.listen()
        caller = project.start("alpha")
        output, errors = caller.communicate(timeout=30)
    assert caller.returncode == 7
    assert f"port {project.settings.mlflow.port} of 127.0.0.1 is taken" in errors
    assert "TIDEGATE_MLFLOW__PORT" in errors
    assert not output


def test_a_server_that_dies_at_its_start_is_told_with_its_log_and_stops_the_rest(project: Project) -> None:
    nowhere = f"postgresql+asyncpg://nobody@127.0.0.1:{free_ports(1)[0]}/prefect"
    project.environment["TIDEGATE_PREFECT__DATABASE_URL"] = nowhere
    caller = project.start("alpha")
    output, errors = caller.communicate(timeout=120)
    notices = [json.loads(line) for line in output.splitlines()]
    assert caller.returncode == 7
    assert "Prefect server ended with exit code" in errors
    assert str(project.root / "runs" / "services" / "prefect.log") in errors
    assert "Connect" in errors
    assert [one["service"] for one in notices if one["event"] == "stopped"] == ["prefect", "mlflow"]
    assert status(project.settings).pid is None
