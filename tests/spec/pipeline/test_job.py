"""What a job is called and which month it counts for, by its times."""

from pathlib import Path

import pytest
from tests.integration.pipeline.small_market import strategy

from tidegate.bars.bars import parse_time
from tidegate.pipeline.job import STAGES, Job, Stopwatch, make_job
from tidegate.settings.settings import Paths, Settings

SETTINGS = Settings(paths=Paths(runs=Path("runs")))


@pytest.mark.parametrize(
    ("as_of", "key"),
    [
        ("2025-06-01T00:00:00Z", "simulated-small/2025-06"),
        ("2025-06-30T23:59:59Z", "simulated-small/2025-06"),
        ("2025-07-01T00:00:00Z", "simulated-small/2025-07"),
        ("2025-07-01T01:00:00+02:00", "simulated-small/2025-06"),
        ("2024-12-31T23:59:59Z", "simulated-small/2024-12"),
    ],
)
def test_month_is_that_of_the_newest_bar_looked_at(as_of: str, key: str) -> None:
    job = Job(strategy(), SETTINGS, Path(), parse_time(as_of), parse_time("2025-08-09T10:11:12.345Z"), "test")

    assert job.key == key
    assert job.folder == Path("runs/simulated-small") / f"{key.partition('/')[2]}-20250809T101112-345"


def test_time_in_the_future_is_now() -> None:
    job = make_job(strategy(), SETTINGS, Path(), as_of="2999-01-01T00:00:00Z")

    assert job.as_of_ms == job.now_ms


def test_stage_that_runs_twice_or_fails_is_timed_in_all() -> None:
    watch = Stopwatch()
    for _ in range(2):
        with pytest.raises(ValueError, match="broken"), watch.stage("bars"):
            raise ValueError("broken")

    assert list(watch.seconds) == ["bars"]
    assert watch.seconds["bars"] > 0


def test_shares_of_the_stages_are_in_the_order_of_a_run() -> None:
    assert list(STAGES) == [
        "bars",
        "features and labels",
        "train and test",
        "checks",
        "gates",
        "record",
        "promotion",
        "report",
    ]
