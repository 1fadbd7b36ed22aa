"""What a job is called and which month it counts for, by its times."""

from pathlib import Path

import pytest
from tests.integration.pipeline.small_market import CONTENT, strategy

from tidegate.bars.bars import parse_time
from tidegate.errors import ConfigurationError
from tidegate.pipeline.data import gather
from tidegate.pipeline.job import STAGES, Job, Stopwatch, make_job
from tidegate.settings.settings import Paths, Settings
from tidegate.strategy.strategy import Strategy

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


REAL = Strategy.model_validate(
    CONTENT | {"name": "mine", "kind": "real", "symbols": ["BTC/USDT"], "source": {"type": "file", "path": "bars.csv"}}
)


def test_time_in_the_future_of_a_real_market_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="mine: the time to look from is in the future, expected at most now"):
        make_job(REAL, SETTINGS, Path(), as_of="2999-01-01T00:00:00Z")


def test_time_that_has_come_is_taken_as_given() -> None:
    assert make_job(REAL, SETTINGS, Path(), as_of="2020-01-01").as_of_ms == parse_time("2020-01-01")
    now = make_job(REAL, SETTINGS, Path())
    assert now.as_of_ms == now.now_ms


@pytest.mark.parametrize("clock", ["2025-06-14T00:00:00Z", "2025-06-15T00:00:00Z", "2031-01-01T00:00:00Z"])
def test_simulated_market_is_the_same_whatever_the_clock_says(
    clock: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidegate.pipeline.job.time.time_ns", lambda: parse_time(clock) * 1_000_000)
    paths = Paths(data=tmp_path / "data", runs=tmp_path / "runs")
    job = make_job(strategy(), Settings(paths=paths), tmp_path, as_of="2025-06-15T00:00:00Z")
    assert job.as_of_ms == parse_time("2025-06-15T00:00:00Z")
    assert job.folder.name == f"2025-06-{clock.replace('-', '').replace(':', '').rstrip('Z')}-000", (
        "one a run, by the clock"
    )
    gathered = gather(job)
    (record,) = gathered.symbols
    assert record.last_at == job.as_of_ms
    assert {finding["rule"] for finding in record.validation["findings"]} == {"jumps"}
    assert len(gathered.bars[0]) == 160 * 96


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
