"""The models of a strategy do not wait for each other, whatever goes wrong with one."""

import dataclasses
from pathlib import Path

import pytest
from tests import monitoring_records

from tidegate.bars.interval import DAY_MS
from tidegate.errors import SourceError
from tidegate.pipeline.job import Job
from tidegate.pipeline.monitor import each_model
from tidegate.pipeline.monitor_job import MonitorJob, monitor_job
from tidegate.registry.events import EventLedger
from tidegate.settings.settings import Paths, Settings

AS_OF = 20_000 * DAY_MS


class Told:
    def __init__(self) -> None:
        self.bodies: dict[str, str] = {}

    def send(self, severity: str, title: str, body: str, *, strategy: str, subject: str) -> None:
        assert severity == "critical"
        assert title
        assert subject
        self.bodies[strategy] = body


@pytest.mark.parametrize("error", [SourceError("no bars"), ZeroDivisionError("a fault of ours"), OSError("disk full")])
def test_one_that_fails_keeps_no_other_from_being_looked_at_and_is_told(tmp_path: Path, error: Exception) -> None:
    settings = Settings(paths=Paths(data=tmp_path / "data", runs=tmp_path / "runs", mlruns=tmp_path / "mlruns"))
    told, jobs = Told(), []
    for name in ("first", "second", "third"):
        strategy = monitoring_records.healthy().strategy.model_copy(update={"name": name})
        job = monitor_job(Job(strategy, settings, tmp_path, AS_OF, AS_OF, "test"))
        jobs.append(dataclasses.replace(job, notifies=told))

    def run(job: MonitorJob) -> str:
        if job.strategy.name != "second":
            raise error
        return job.strategy.name

    assert each_model(jobs, run) == (["second"], [error, error])
    assert {name: str(error) in body for name, body in told.bodies.items()} == {"first": True, "third": True}
    assert "Nothing was done about production." in told.bodies["third"]
    alarms = EventLedger.from_settings(settings).rows(kinds={"alarm"})
    assert [(each.strategy, each.content["kind"]) for each in alarms] == [
        ("first", type(error).__name__),
        ("third", type(error).__name__),
    ]
