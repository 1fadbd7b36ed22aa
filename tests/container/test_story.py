"""The service in its container, from the first start to the last: promotion and rollback under load, MLflow gone, restart, stop."""

import http.client
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing
from pathlib import Path
from typing import Final

import pytest
from tests.container.container import PROJECT, STATE, USER, Container, started
from tests.container.engine import Engine, derive
from tests.container.installation import Installation
from tests.container.load import Client, load
from tests.servers import free_port, mlflow_server

from tidegate.model.bundle import ONNX
from tidegate.serving.log.reader import read

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(600)]

POLL_S: Final = 0.5
DRAIN_S: Final = 10.0
CLIENTS: Final = 4


class Stage:
    """What the acts of the story share: a registry that can be stopped, an installation, a volume."""

    def __init__(self, engine: Engine, image: str, folder: Path) -> None:
        self.engine, self.image, self.folder = engine, image, folder
        self.volume = f"tidegate-test-{uuid.uuid4().hex[:12]}"
        self._servers = ExitStack()
        self.installation = Installation(folder, self._servers.enter_context(mlflow_server(folder / "mlflow")))
        self.key = self.installation.write_project(
            USER, registry_uri=self.installation.mlflow, poll_s=POLL_S, drain_s=DRAIN_S, expected_rps=200
        )

    def client(self, port: int, lookback: int) -> closing[Client]:
        return closing(Client(self.installation, port, self.key, lookback))

    def stop_mlflow(self) -> None:
        self._servers.close()

    def close(self) -> None:
        self.stop_mlflow()
        self.engine.run("volume", "rm", "--force", self.volume)

    def first(self, port: int) -> AbstractContextManager[Container]:
        """The host's network, and the whole project mounted."""
        mount = f"--volume={self.installation.project}:{PROJECT}:ro"
        options = ["--network=host", f"--env=TIDEGATE_SERVING__PORT={port}", mount]
        return started(self.engine, self.image, f"{self.volume}-first", self.volume, options)

    def second(self, port: int) -> AbstractContextManager[Container]:
        """A bridge and a published port, and an image of one's own with the strategy's own feature in it."""
        project, image = self.installation.project, f"{self.image}-own"
        derive(self.engine, self.image, image, project / "own_shares.py", PROJECT)
        mounts = [f"--volume={project / name}:{PROJECT}/{name}:ro" for name in ("configs", "secrets")]
        options = [f"--publish=127.0.0.1:{port}:8080", *mounts]
        return started(self.engine, image, f"{self.volume}-second", self.volume, options)


@pytest.fixture
def stage(engine: Engine, image: str) -> Iterator[Stage]:
    with tempfile.TemporaryDirectory(prefix="tidegate-story-") as folder:
        Path(folder).chmod(0o755)  # the container's user has to reach what is mounted
        made = Stage(engine, image, Path(folder))
        try:
            yield made
        finally:
            made.close()


def test_the_container_serves_through_promotion_rollback_and_a_dead_registry(stage: Stage) -> None:
    told: dict[str, object] = {}  # shown by `pytest -rP`
    installation, port = stage.installation, free_port()
    first, first_manifest = installation.register(2)
    second, second_manifest = installation.register(3)
    assert first_manifest.files[ONNX] != second_manifest.files[ONNX]
    installation.promote(first, first_manifest)
    lookback = first_manifest.lookback

    with stage.first(port) as container:
        told["healthy_s"] = round(container.wait_healthy(), 2)
        with stage.client(port, lookback) as client:
            wait_ready(container, client)
        check_locked_down(container)
        with load(installation, port, stage.key, lookback, CLIENTS) as answers:
            answers.wait(lambda: len(answers.acknowledged) > 50, "first answers")
            assert answers.versions == {first}
            installation.promote(second, second_manifest)
            answers.wait(lambda: answers.newest == second, "the second version")
            installation.roll_back(second)
            answers.wait(lambda: answers.newest == first, "the first version again")
            stage.stop_mlflow()
            without = len(answers.acknowledged)
            time.sleep(4 * POLL_S)
            answers.wait(lambda: len(answers.acknowledged) > without + 50, "answers without a registry")
        assert answers.failed == []
        assert answers.versions == {first, second}
        told["answers"] = len(answers.acknowledged)
        told["rss_mb"] = resident_mb(container)
        code, seconds = container.stop()
        assert code == 0, container.logs()
        assert seconds < DRAIN_S
        told["stop_s"] = round(seconds, 2)
        logged = {
            row.request_id: row.version
            for row in read(container.copy_out(f"{STATE}/log", stage.folder / "log"))
            if row.role == "production"
        }
        assert {name: logged.get(name) for name in answers.acknowledged} == answers.acknowledged

    # Of the first container only the volume is left, and the registry is still down.
    with stage.second(port) as container:
        with stage.client(port, lookback) as client:
            told["ready_from_cache_s"] = round(wait_ready(container, client), 2)
            answer = client.ask("after-the-restart", only_new=False)
        assert answer["answers"][0]["version"] == first, "the barred version must not come back from the cache"
        container.wait_healthy()
    print(told)  # noqa: T201


def wait_ready(container: Container, client: Client) -> float:
    """Wait for /readyz; returns the seconds since the container's start."""
    last: object = None
    while time.monotonic() < container.started_at + 60:
        try:
            status, last = client.get("/readyz")
            if status == 200:
                return time.monotonic() - container.started_at
        except (OSError, http.client.HTTPException) as error:
            last = error
            client.close()
        time.sleep(0.05)
    raise AssertionError(f"not ready: {last}\n{container.logs()}")


def check_locked_down(container: Container) -> None:
    """The process is nobody in particular, can write to its two places only, and has no rights to lose."""
    found = container.python(
        "import os, pathlib\n"
        "def writable(path):\n"
        "    try: open(path + '/probe', 'w').close(); os.remove(path + '/probe'); return True\n"
        "    except OSError: return False\n"
        "status = dict(line.split(':\\t') for line in pathlib.Path('/proc/1/status').read_text().splitlines() if ':\\t' in line)\n"
        "print(status['Uid'].split()[0], int(status['CapEff'], 16), status['NoNewPrivs'].strip(),\n"
        "    [path for path in ('/', '/etc/tidegate', '/opt/tidegate', '/usr', '/srv', '/srv/tidegate', '/srv/tidegate/cache', '/tmp') if writable(path)])"
    )
    assert found == f"{USER} 0 1 ['/srv/tidegate', '/srv/tidegate/cache', '/tmp']"
    assert container.inspect()["HostConfig"]["ReadonlyRootfs"] is True


def resident_mb(container: Container) -> float:
    """Resident memory of the service's process, 1e6 bytes."""
    found = container.python("print(next(l for l in open('/proc/1/status') if l.startswith('VmRSS')).split()[1])")
    return round(int(found) * 1024 / 1e6, 1)
