"""What serving processes write about themselves, read from a real MLflow database."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.integration.pipeline.small_market import give_mlflow
from tests.unit.cli.run import CommandLine

from tidegate.registry.instances import EXPERIMENT, Instances
from tidegate.registry.tracking.connection import Connection
from tidegate.settings.settings import Paths, Settings

pytestmark = [pytest.mark.servers, pytest.mark.slow]

NOW = 1_790_000_000_000


class Written:
    """Writes entries as a serving process does."""

    def __init__(self, folder: Path) -> None:
        give_mlflow(folder)
        self.settings = Settings(paths=Paths(mlruns=folder / "mlruns"))
        self.client = Connection(self.settings).client

    def write(self, name: str, tag: str | None, *, signed_off: bool = False, **changes: Any) -> None:  # noqa: ANN401
        found = self.client.get_experiment_by_name(EXPERIMENT)
        experiment = self.client.create_experiment(EXPERIMENT) if found is None else found.experiment_id
        run = self.client.create_run(experiment, run_name=name)
        content: dict[str, Any] = {
            "instance": name,
            "address": f"http://{name}:8080",
            "ready": True,
            "models": [{"strategy": "eurusd", "version": 3, "bundle_digest": "a" * 64, "role": "production"}],
            "heartbeat_at": NOW,
            "started_at": NOW - 1000,
        }
        self.client.set_tag(run.info.run_id, "instance", json.dumps(content | changes) if tag is None else tag)
        if signed_off:
            self.client.set_terminated(run.info.run_id)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    return Written(tmp_path_factory.mktemp("instances"))


def test_instances_are_read_with_what_they_hold_and_whether_they_live(written: Written) -> None:
    instances = Instances(written.settings)
    assert instances.all(NOW) == [], "nothing was written yet"
    written.write("b", None)
    written.write("a", None, heartbeat_at=NOW - 60_000, ready=False, later="unknown keys are passed over")
    written.write("dead", None, heartbeat_at=NOW - 60_001)
    written.write("ahead", None, heartbeat_at=NOW + 60_001)
    written.write("twice", None, heartbeat_at=NOW - 5000, address="http://old")
    written.write("twice", None, heartbeat_at=NOW - 1000, address="http://new")
    written.write("signed off", None, signed_off=True, ready=False)
    written.write("garbage", "not JSON")
    written.write("stranger", None, instance="b")
    found = {each.instance: each for each in instances.all(NOW)}
    assert list(found) == ["a", "ahead", "b", "dead", "garbage", "signed off", "stranger", "twice"]
    assert [name for name, each in found.items() if each.alive] == ["a", "b", "twice"]
    assert [name for name, each in found.items() if each.ready and each.alive] == ["b", "twice"]
    assert found["twice"].address == "http://new"
    held = found["b"].version("eurusd")
    assert held is not None
    assert (held.version, held.bundle_digest) == (3, "a" * 64)
    assert found["b"].version("eurusd", "shadow") is None
    assert {name for name, each in found.items() if each.fault} == {"garbage", "stranger"}
    assert found["stranger"].models == (), "an entry that names another instance says nothing about either"


def test_the_command_shows_them(
    written: Written, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TIDEGATE_MLFLOW__TRACKING_URI", written.settings.tracking_uri)
    tidegate = CommandLine(monkeypatch, capsys)
    written.write("shown", None)
    told = json.loads(tidegate("instances", "--json").out)
    (shown,) = [each for each in told if each["instance"] == "shown"]
    assert (shown["alive"], shown["heartbeat_at"]) == (False, NOW)
    assert shown["models"][0] == {
        "strategy": "eurusd",
        "version": 3,
        "bundle_digest": "a" * 64,
        "role": "production",
    }
    table = tidegate("instances").out
    assert "silent" in table
    assert "shown" in table
