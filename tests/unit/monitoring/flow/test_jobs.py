"""Jobs of monitoring runs."""

from pathlib import Path

import pytest
from tests.integration.pipeline.small_market import strategy

from tidegate.bars.interval import DAY_MS
from tidegate.errors import ConfigurationError
from tidegate.pipeline.monitor_job import monitor_jobs
from tidegate.settings.settings import Settings


def test_a_run_without_a_time_looks_from_the_end_of_the_newest_day() -> None:
    (job,) = monitor_jobs(strategy(), Settings(), Path())

    assert job.as_of % DAY_MS == 0
    assert 0 <= job.job.now_ms - job.as_of < 2 * DAY_MS
    assert job.period == "daily"


def test_a_strategy_of_separate_models_has_a_run_each_with_a_folder_of_its_own() -> None:
    chosen = strategy(symbols=["SIM/USD", "SIM2/USD"], combine="separate")

    jobs = monitor_jobs(chosen, Settings(), Path(), as_of="2025-06-15", period="weekly")

    assert [job.subject for job in jobs] == ["weekly/2025-06-15T00:00:00Z"] * 2
    assert len({job.folder for job in jobs}) == 2
    assert all("monitoring" in job.folder.parts for job in jobs)


def test_an_unknown_period_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="period"):
        monitor_jobs(strategy(), Settings(), Path(), period="hourly")
