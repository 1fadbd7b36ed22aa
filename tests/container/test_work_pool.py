"""Flow runs as containers of a real engine: deployed by `flows.deploy`, started by Prefect's docker worker from the pipeline's image, which holds the code."""

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError

import pytest
import yaml
from tests.container.container import USER
from tests.container.engine import ROOT, Engine, base_image, build_pipeline
from tests.container.stack import until
from tests.integration.pipeline.small_market import strategy
from tests.servers import free_port
from tests.unavailable import unavailable

from tidegate.services import prefect_server, worker
from tidegate.services.process import Service, start, wait_ready
from tidegate.settings.loading import load_settings
from tidegate.settings.settings import Settings

pytestmark = [
    pytest.mark.servers,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    # A long form: an image of 2 GB is built first.
    pytest.mark.skipif("TIDEGATE_TEST_STACK" not in os.environ, reason="containers of flows run in `make test-stack`"),
]

LOGIN: Final = "prefect:a-word-of-the-test"
NAME: Final = "simulated-small"


@dataclass
class Place:
    """A project on the host, its Prefect server, and the engine.

    Attributes:
        engine: that runs containers.
        root: the project's folder; the containers see only its `configs`.
        state: what the containers see as /srv/tidegate.
        settings: of the host.
        environment: of everything that is started on the host.
        image: the pipeline's.
    """

    engine: Engine
    root: Path
    state: Path
    settings: Settings
    environment: dict[str, str]
    image: str

    def api(self, path: str, body: object = None, method: str | None = None) -> Any:  # noqa: ANN401
        request = urllib.request.Request(
            f"{prefect_server.api_url(self.settings)}{path}",
            None if body is None else json.dumps(body).encode(),
            {
                "Content-Type": "application/json",
                "Authorization": f"Basic {base64.b64encode(LOGIN.encode()).decode()}",
            },
            method=method,
        )
        deadline = time.monotonic() + 120
        while True:
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    return json.loads(answer.read() or b"null")
            except HTTPError as error:
                # Prefect waits for the lock of SQLite; its own client tries again too.
                if error.code != 503 or time.monotonic() > deadline:
                    raise
                time.sleep(0.5)

    def deployment(self, flow: str) -> dict[str, Any]:
        found: dict[str, Any] = self.api(f"/deployments/name/{flow}/{NAME}")
        return found

    def run(self, flow: str, **parameters: object) -> str:
        """Start a run, and give its id."""
        path = f"/deployments/{self.deployment(flow)['id']}/create_flow_run"
        made = self.api(path, {"parameters": {"strategy": NAME, **parameters}, "state": {"type": "SCHEDULED"}})
        return str(made["id"])

    def state_of(self, run: str) -> str:
        return str(self.api(f"/flow_runs/{run}")["state_type"])

    def containers(self, run: str) -> list[str]:
        return self.engine.run("ps", "--all", "--quiet", f"--filter=label=io.prefect.flow-run-id={run}").split()

    def told(self, run: str) -> str:
        """For failures: what the containers and the worker wrote."""
        log = (self.root / "worker.log").read_text(errors="replace")[-3000:]
        return "\n".join([*(self.engine.logs(one)[-3000:] for one in self.containers(run)), log])

    def ended(self, run: str, wanted: str, timeout_s: float = 240) -> None:
        ends = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
        until(lambda: self.state_of(run) in ends, f"the end of run {run}", timeout_s, lambda: self.told(run))
        assert self.state_of(run) == wanted, self.told(run)


@contextmanager
def running(service: Service) -> Iterator[None]:
    process = start(service)
    try:
        wait_ready([process], 300)
        yield
    finally:
        process.stop()


def lay_out(folder: Path) -> tuple[Path, Path]:
    """The project, with code of its own only where `flows.deploy` looks at it; the containers' state; the secrets."""
    root, state, secrets = folder / "project", folder / "state", folder / "secrets"
    strategies = root / "configs" / "strategies"
    strategies.mkdir(parents=True)
    written = strategy().model_dump(mode="json", exclude_unset=True)
    (strategies / f"{NAME}.yaml").write_text(yaml.safe_dump(written))
    (root / "configs" / "base.yaml").write_text("environment: development\n")
    shutil.copytree(ROOT / "flows", root / "flows", ignore=shutil.ignore_patterns("__pycache__"))
    for made in (state, secrets):
        made.mkdir()
    (secrets / "prefect-login").write_text(LOGIN + "\n")
    for made in (state, secrets, secrets / "prefect-login"):
        os.chown(made, USER, USER)
    (secrets / "prefect-login").chmod(0o400)
    folder.chmod(0o755)
    return root, state


@pytest.fixture(scope="module")
def place(engine: Engine) -> Iterator[Place]:
    if os.geteuid() != 0:
        unavailable("folders that belong to the containers' user need root")
    image = build_pipeline(engine, base_image(engine))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tidegate-pool-")))
        root, state = lay_out(folder)
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        environment = {
            "TIDEGATE_ENVIRONMENT": "development",
            "TIDEGATE_MLFLOW__TRACKING_URI": "http://127.0.0.1:9",
            "PREFECT_API_AUTH_STRING": "{secret:prefect-login}",
        }
        own = {
            "ROOT": str(root),
            "PREFECT__PORT": str(free_port()),
            "WORK_POOL__TYPE": "docker",
            "WORK_POOL__IMAGE": image,
            "WORK_POOL__PULL": "Never",
            "WORK_POOL__NETWORKS": "host",
            "WORK_POOL__VOLUMES": f"{state}:/srv/tidegate,{root}/configs:/etc/tidegate/configs:ro",
            "WORK_POOL__SECRETS": str(folder / "secrets"),
            "WORK_POOL__ENVIRONMENT": json.dumps(environment),
            "WORK_POOL__MEMORY_MB": "2048",
        }
        patch.delenv("TIDEGATE_TEST_STACK")  # no setting: refused by whoever reads settings
        for name, value in own.items():
            patch.setenv(f"TIDEGATE_{name}", value)
        settings = load_settings(root)
        inherited = {**engine.environment, "PREFECT_WORKER_QUERY_SECONDS": "1"}
        server = prefect_server.service(settings, folder, inherited)
        login = {"PREFECT_SERVER_API_AUTH_STRING": LOGIN, "PREFECT_API_AUTH_STRING": LOGIN}
        stack.enter_context(running(replace(server, environment={**server.environment, **login})))
        made = Place(engine, root, state, settings, worker.flow_environment(settings, root, inherited) | login, image)
        yield made
        for one in engine.run("ps", "--all", "--quiet", f"--filter=ancestor={image}").split():
            engine.run("rm", "--force", one)


@pytest.fixture(scope="module")
def deployed(place: Place) -> dict[str, Any]:
    answer = place.root / "answer.json"
    done = subprocess.run(
        [sys.executable, "-m", "flows.deploy", "--root", str(place.root), "--answer", str(answer), "--", NAME],
        cwd=place.root,
        env=place.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, Any] = json.loads(answer.read_text())
    return found


@pytest.fixture(scope="module")
def working(place: Place, deployed: dict[str, Any]) -> Iterator[Place]:
    """With the worker that `tidegate up` would start. It has to log in, so that its readiness is not asked for by `tidegate up`'s own question."""
    del deployed
    service = worker.service(place.settings, place.root, place.root, os.environ)
    ready: Callable[[], bool] = lambda: "started!" in service.log.read_text(errors="replace")  # noqa: E731
    with running(replace(service, environment=place.environment, ready=ready)):
        yield place


@pytest.fixture(scope="module")
def fetched(working: Place) -> str:
    """A run of `ingest` that has ended well."""
    run = working.run("ingest", as_of="2025-03-01T00:00:00Z")
    working.ended(run, "COMPLETED")
    return run


def test_deployments_are_in_a_pool_of_containers_and_pull_nothing(place: Place, deployed: dict[str, Any]) -> None:
    assert f"ingest/{NAME}" in deployed["created"]
    pool = place.api("/work_pools/tidegate-docker")
    assert (pool["type"], pool["concurrency_limit"]) == ("docker", None)
    for flow in ("ingest", "retrain", "monitor", "propose", "rollback"):
        found = place.deployment(flow)
        assert (found["work_pool_name"], found["job_variables"]["image"]) == ("tidegate-docker", place.image)
        (step,) = found["pull_steps"]
        assert step == {"prefect.deployments.steps.set_working_directory": {"directory": "/etc/tidegate"}}
        assert str(place.root) not in json.dumps(found["pull_steps"])


def test_a_flow_runs_in_a_container_and_leaves_its_bars_in_the_volume(working: Place, fetched: str) -> None:
    bars = list((working.state / "data").rglob("*.parquet"))
    assert bars
    assert {path.stat().st_uid for path in bars} == {USER}
    (name,) = working.containers(fetched)
    (found,) = json.loads(working.engine.run("inspect", name))
    assert found["Config"]["Image"] == working.image
    assert found["State"]["ExitCode"] == 0
    assert (found["HostConfig"]["ReadonlyRootfs"], found["HostConfig"]["CapDrop"]) == (True, ["ALL"])
    assert found["HostConfig"]["Memory"] == 2048 * 2**20
    # The code is the image's own: of the project only the settings are mounted.
    assert {one["Destination"] for one in found["Mounts"]} == {
        "/srv/tidegate",
        "/etc/tidegate/configs",
        "/run/secrets",
    }


def test_no_secret_stands_in_prefect_or_in_the_container(working: Place, fetched: str) -> None:
    (name,) = working.containers(fetched)
    word = LOGIN.partition(":")[2]
    assert word not in working.engine.run("inspect", name)
    assert word not in json.dumps([working.deployment("ingest"), working.api("/work_pools/tidegate-docker")])
    # It was needed: nobody is answered without it.
    with pytest.raises(HTTPError, match="401"):
        urllib.request.urlopen(f"{prefect_server.api_url(working.settings)}/work_pools/tidegate-docker", timeout=30)


def test_a_run_whose_container_is_killed_has_crashed_and_the_next_one_runs(working: Place) -> None:
    run = working.run("ingest", as_of="2025-04-01T00:00:00Z")
    until(lambda: bool(working.containers(run)), "a container", 60, lambda: working.told(run))
    working.engine.run("kill", "--signal=KILL", *working.containers(run))
    working.ended(run, "CRASHED")
    again = working.run("ingest", as_of="2025-04-01T00:00:00Z")
    working.ended(again, "COMPLETED")


def test_a_flow_that_fails_in_its_container_has_failed(working: Place) -> None:
    run = working.run("ingest", as_of="no time at all")
    working.ended(run, "FAILED")
