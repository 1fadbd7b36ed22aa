"""Never two retrainings for a month, and never none: whose month it is the schedule's time zone says."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from flows.catching_up import Rule
from tidegate.registry.retrains import RetrainLedger
from tidegate.settings.settings import Paths, Prefect, Settings

NAME = "any"


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def finished(settings: Settings, at: datetime) -> None:
    """A retraining that finished at a time."""
    ledger = RetrainLedger.from_settings(settings)
    at_ms = int(at.timestamp() * 1000)
    ledger.database.clock = lambda: at_ms
    with ledger.retrain_lock(NAME, f"{at:%Y-%m}") as lock:
        lock.record("finished", as_of=at_ms, run_id="run", version=1)


@pytest.mark.parametrize(
    ("zone", "done", "due", "at", "catches_up"),
    [
        ("UTC", "2026-11-02T12:00", "2026-11-01T03:17", "2026-11-03T00:00", False),
        ("UTC", "2026-10-31T23:59", "2026-11-01T03:17", "2026-11-03T00:00", True),
        ("UTC", "2026-11-01T00:00", "2026-11-01T03:17", "2026-11-03T00:00", False),
        ("Europe/Berlin", "2026-10-31T22:59", "2026-11-01T02:17", "2026-11-03T00:00", True),
        ("Europe/Berlin", "2026-10-31T23:00", "2026-11-01T02:17", "2026-11-03T00:00", False),
        # 03:17 on the first of December in Auckland is still November in UTC.
        ("Pacific/Auckland", "2026-11-05T00:00", "2026-11-30T14:17", "2026-11-30T20:00", True),
        ("Pacific/Auckland", "2026-10-31T20:00", "2026-10-31T14:17", "2026-11-02T00:00", False),
        ("America/New_York", "2026-11-01T03:59", "2026-11-01T08:17", "2026-11-03T00:00", True),
    ],
)
def test_the_month_is_that_of_the_run_that_was_missed(
    tmp_path: Path, zone: str, done: str, due: str, at: str, catches_up: bool
) -> None:
    paths = Paths(data=tmp_path / "data", runs=tmp_path / "runs", strategies=tmp_path)
    settings = Settings(paths=paths, prefect=Prefect(catch_up_days=7, time_zone=zone))
    finished(settings, moment(done))
    assert (Rule(settings)(NAME, moment(due), moment(at)) is None) == catches_up
