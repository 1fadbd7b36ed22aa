"""The watch with real processes: it goes back by itself, once; a second fault halts; an alias moved by hand is noticed."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.e2e.serving_process import Serving
from tests.servers import free_port, mlflow_server
from tests.unit.model.small_model import SYMBOL, small_bundle, small_dataset

from tidegate.registry.events import Event, EventLedger, Kind
from tidegate.registry.opening import open_promoter
from tidegate.registry.promotion import PRODUCTION, Promoter
from tidegate.registry.tracking import Tracking
from tidegate.rollback.incidents import incidents
from tidegate.settings.settings import Mlflow, Paths, Settings
from tidegate.watch.history import History

pytestmark = [pytest.mark.slow, pytest.mark.servers]

FAR_MS = 10**14
SERVED, UNSERVED = "served", "unserved"
STRATEGY = """\
version: 1
name: {name}
kind: real
symbols: [{symbol}]
interval: 5m
source: {{type: file, path: bars.csv}}
rollback: {{crashes: 2, cooldown_minutes: 0, watch_minutes: 1}}
"""
Found = TypeVar("Found")


@dataclass
class Story:
    """An installation with MLflow, two serving processes and a watch."""

    folder: Path
    settings: Settings
    promoter: Promoter
    serving: dict[str, Serving]
    address: str = ""

    def rows(self, strategy: str, kind: Kind) -> list[Event]:
        return self.events.rows(strategy, kinds=(kind,))

    @property
    def events(self) -> EventLedger:
        return EventLedger(self.promoter.ledger.database)

    def acts(self, strategy: str, since: int = 0) -> list[tuple[str, int | None, str]]:
        rows = [row for row in self.promoter.history(strategy) if row.state != "intent" and row.id > since]
        return [(row.action, row.to_version, row.actor) for row in rows]

    def metrics(self) -> dict[str, float]:
        with urllib.request.urlopen(f"{self.address}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        return {
            f"{sample.name} {' '.join(sample.labels.values())}".strip(): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def crash(self, instance: str) -> None:
        """Kill the process, as the out-of-memory killer does, and start it again, as a supervisor does."""
        serving = self.serving[instance]
        serving.process.send_signal(signal.SIGKILL)
        serving.process.wait(10)
        serving.start()
        name = f"tidegate_watch_looks_total {instance} whole"
        seen = self.metrics()[name]
        eventually("the watch sees it", lambda: self.metrics()[name] > seen + 1)

    def promote(self, strategy: str) -> int:
        tracking = self.promoter.versions
        assert isinstance(tracking, Tracking)
        bundle = self.folder / "bundles" / f"{strategy}-{time.time_ns()}"
        small_bundle(bundle, strategy=strategy, expires_at=FAR_MS, seed=time.time_ns() % 1_000_000)
        with tracking.start_run(strategy, "test") as run:
            version = tracking.register(bundle, run, small_dataset().features.names, description="test")
        self.promoter.promote(
            strategy,
            version,
            None,
            actor="test",
            reason="test",
            champion=self.promoter.current(strategy),
            override=True,
        )
        return version


def eventually(what: str, condition: Callable[[], Found], limit_s: float = 60.0) -> Found:
    deadline = time.monotonic() + limit_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} did not happen within {limit_s} s"
        time.sleep(0.05)
    return found


@contextlib.contextmanager
def watching(folder: Path, mlflow: str) -> Iterator[str]:
    """`tidegate watch` as a process; yields the address that it told."""
    environment = os.environ | {
        "TIDEGATE_ROOT": str(folder),
        "TIDEGATE_MLFLOW__TRACKING_URI": mlflow,
        "TIDEGATE_WATCH__PORT": "0",
        "TIDEGATE_WATCH__POLL_S": "0.25",
        "TIDEGATE_WATCH__REGISTRY_POLL_S": "1",
        "COLUMNS": "200",
    }
    output = folder / "watch.log"
    with output.open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tidegate.cli.main", "watch"], env=environment, stdout=log, stderr=log, text=True
        )
        try:

            def told() -> re.Match[str] | None:
                assert process.poll() is None, output.read_text()
                return re.search(r"metrics at (http://\S+)/metrics", output.read_text())

            found = eventually("the watch's address", told)
            assert found is not None
            yield found[1]
        finally:
            if process.poll() is None:
                process.terminate()
            assert process.wait(60) == 0, output.read_text()


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("watched")
    strategies = folder / "configs" / "strategies"
    strategies.mkdir(parents=True)
    for name in (SERVED, UNSERVED):
        (strategies / f"{name}.yaml").write_text(STRATEGY.format(name=name, symbol=SYMBOL))
    with mlflow_server(folder / "mlflow") as mlflow, contextlib.ExitStack() as stack:
        paths = Paths(data=folder / "data", runs=folder / "runs", mlruns=folder / "mlruns", strategies=strategies)
        settings = Settings(paths=paths, mlflow=Mlflow(tracking_uri=mlflow))
        made = Story(folder, settings, open_promoter(settings), {})
        made.promote(SERVED)
        for instance in ("one", "two"):
            made.serving[instance] = Serving(
                folder, mlflow, free_port(), SERVED, instance, clock="system", poll_s=0.5, shadow="false"
            )
        with ThreadPoolExecutor(3) as starts:  # each start takes seconds, most of them for imports
            ready = [starts.submit(stack.enter_context, serving) for serving in made.serving.values()]
            made.address = starts.submit(stack.enter_context, watching(folder, mlflow)).result()
            for one in ready:
                one.result()
        eventually("both are seen with v1", lambda: on(made, 1) == {"one", "two"})
        yield made


def on(story: Story, version: int) -> set[str]:
    found = story.metrics()
    return {name for name in story.serving if found.get(f"tidegate_instance_version {name} {SERVED}") == version}


def test_a_version_that_crashes_is_left_once_and_its_successor_halts(story: Story) -> None:
    assert story.promote(SERVED) == 2
    eventually("both follow to v2", lambda: on(story, 2) == {"one", "two"})
    last = story.promoter.history(SERVED)[-1].id

    began = time.time()
    for _ in range(2):
        story.crash("one")
    eventually("the rollback", lambda: "rollback" in [act for act, *_ in story.acts(SERVED, last)])
    (opened,) = eventually("the incident", lambda: incidents(story.events, SERVED))
    tell("crashes", story, last, began)
    assert story.acts(SERVED, last) == [("rollback", 1, "tidegate watch"), ("bar", 2, "tidegate watch")]
    assert (opened.act, opened.automatic, opened.is_open) == ("rollback", True, True)
    assert opened.content["rule"] == "crashes"
    eventually("both are seen with v1", lambda: on(story, 1) == {"one", "two"})
    eventually(
        "the metrics of it",
        lambda: (
            {
                f"tidegate_production_version {SERVED}": 1.0,
                f"tidegate_ledger_acts rollback {SERVED}": 1.0,
                f"tidegate_open_incidents {SERVED}": 1.0,
            }.items()
            <= story.metrics().items()
        ),
    )

    # The version gone back to is bad as well: no second rollback, but flat.
    before = story.promoter.history(SERVED)[-1].id
    began = time.time()
    for _ in range(2):
        story.crash("two")
    eventually("the halt", lambda: story.promoter.ledger.state(SERVED).halt)
    eventually("the second incident", lambda: len(incidents(story.events, SERVED)) == 2)
    tell("crashes again", story, before, began)
    assert [act for act, *_ in story.acts(SERVED, last)] == ["rollback", "bar", "halt", "bar"]
    assert story.metrics()["tidegate_watch_looks_total one whole"] > 10


def tell(what: str, story: Story, since: int, began: float) -> None:
    """Print how long it took from the fault to the decision, and from there to the last instance."""
    (row,) = [row for row in story.promoter.history(SERVED) if row.id > since and row.action in {"rollback", "halt"}][
        -1:
    ]
    verified = [one for one in story.rows(SERVED, "verification") if one.created_at >= row.created_at]
    decided = story.rows(SERVED, "decision")[-1]
    print(  # noqa: T201
        f"\n{what}: {decided.created_at / 1000 - began:.2f} s from the first kill to the decision, "
        f"{(verified[-1].created_at - decided.created_at) / 1000:.2f} s from there until every instance was verified: "
        f"{verified[-1].content['verdict']}"
    )
    assert verified[-1].content["verdict"] == "verified"
    assert verified[-1].created_at - decided.created_at < 300_000


def test_an_alias_moved_by_hand_is_recorded_and_told(story: Story) -> None:
    first, second = story.promote(UNSERVED), story.promote(UNSERVED)
    eventually("it is known", lambda: story.metrics().get(f"tidegate_production_version {UNSERVED}") == second)
    last, began = story.promoter.history(UNSERVED)[-1].id, time.monotonic()
    story.promoter.versions.set_alias(UNSERVED, PRODUCTION, first)
    eventually("the row", lambda: story.acts(UNSERVED, last))
    print(f"\nan alias moved by hand was in the ledger after {time.monotonic() - began:.2f} s")  # noqa: T201
    assert story.acts(UNSERVED, last) == [("external", first, "tidegate repair")]
    eventually("the metric", lambda: story.metrics().get(f"tidegate_production_version {UNSERVED}") == first)

    def titles() -> list[Any]:
        return [row.content["title"] for row in story.rows(UNSERVED, "notification") if "title" in row.content]

    assert eventually("people are told", titles) == [f"{UNSERVED}: production was changed in MLflow"]


def test_a_second_watch_is_refused(story: Story) -> None:
    environment = os.environ | {
        "TIDEGATE_ROOT": str(story.folder),
        "TIDEGATE_MLFLOW__TRACKING_URI": str(story.settings.mlflow.tracking_uri),
    }
    again = subprocess.run(
        [sys.executable, "-m", "tidegate.cli.main", "watch"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert again.returncode == 7
    assert "tidegate watch runs already in this project" in again.stderr


def test_the_minutes_are_on_disk_after_a_stop_and_the_next_watch_knows_them(story: Story) -> None:
    found = History(story.folder / "runs" / "watch" / "minutes.jsonl").load(0)
    assert {(one.strategy, one.minute.version) for one in found} >= {(SERVED, 1), (SERVED, 2)}
    starts = {one.minute.started_at for one in found if one.minute.instance == "one"}
    assert len(starts) >= 3
