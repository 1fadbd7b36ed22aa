"""What the process, its log and its bots show to Prometheus, and that names do not pile up there."""

from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families as families

from tidegate import __version__
from tidegate.serving.bots import Bots
from tidegate.serving.messages import Heartbeat
from tidegate.serving.metrics import Metrics
from tidegate.serving.problems import Problem

HOUR_MS = 3_600_000


def beat(bot: str = "one", **changes: Any) -> Heartbeat:  # noqa: ANN401  fields of many types
    fields: dict[str, Any] = {"bot": bot, "strategy": "eurusd", "last_version": 3, "last_bundle_digest": None}
    fields |= {"breaker": "closed", "decisions": {"model": 5}, "dry_run": False, "sent_at": 1}
    return Heartbeat(**fields | changes)


def shown(metrics: Metrics) -> dict[str, float]:
    """Every sample: its name with the values of its labels, and its value."""
    return {
        " ".join((sample.name, *sample.labels.values())): sample.value
        for family in families(generate_latest(metrics.registry).decode())
        for sample in family.samples
    }


@pytest.mark.parametrize(
    "name",
    [
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_max_fds",
        "process_start_time_seconds",
    ],
)
def test_the_process_tells_what_it_takes(name: str) -> None:
    assert shown(Metrics())[name] > 0


def test_the_version_of_tidegate_is_shown() -> None:
    assert shown(Metrics())[f"tidegate_build_info {__version__}"] == 1


def test_the_room_of_the_log_is_shown(tmp_path: Path) -> None:
    metrics = Metrics()
    metrics.watch_log_folder(tmp_path, 123)
    found = shown(metrics)
    assert found["tidegate_log_max_bytes"] == 123
    assert 0 < found["tidegate_log_disk_free_bytes"] < found["tidegate_log_disk_bytes"]


def test_a_disk_that_cannot_be_looked_at_is_no_empty_one_and_spoils_no_scrape(tmp_path: Path) -> None:
    metrics = Metrics()
    metrics.watch_log_folder(tmp_path / "missing", 123)
    found = shown(metrics)
    assert found["tidegate_log_max_bytes"] == 123
    assert "tidegate_log_disk_free_bytes" not in found
    assert "tidegate_log_disk_bytes" not in found


@pytest.mark.parametrize(("breaker", "number"), [("closed", 0), ("half_open", 1), ("open", 2)])
def test_a_breaker_is_a_number(breaker: str, number: int) -> None:
    metrics = Metrics()
    Bots(1, metrics).take(beat(breaker=breaker), "key", 7000)
    found = shown(metrics)
    assert found["tidegate_bot_breaker one eurusd"] == number
    assert found["tidegate_bot_seen_timestamp_seconds one eurusd"] == 7
    assert found["tidegate_bot_version one eurusd"] == 3


def test_only_the_sources_of_the_newest_heartbeat_are_shown() -> None:
    metrics = Metrics()
    bots = Bots(1, metrics)
    bots.take(beat(decisions={"model": 5, "fallback": 1}), "key", 0)
    bots.take(beat(decisions={"model": 6, "flat": 2}), "key", 1)
    found = {name: value for name, value in shown(metrics).items() if name.startswith("tidegate_bot_decisions")}
    assert found == {"tidegate_bot_decisions one model eurusd": 6, "tidegate_bot_decisions one flat eurusd": 2}


def test_bots_that_come_and_go_leave_nothing_behind() -> None:
    metrics = Metrics()
    bots = Bots(2, metrics)
    for number in range(10):
        bots.take(beat(f"bot-{number}", decisions={f"source-{number}": 1}), "key", number * HOUR_MS)
    names = [name for name in shown(metrics) if name.startswith("tidegate_bot_")]
    assert len(names) == 2 * 4
    assert all("-8" in name or "-9" in name for name in names)


def test_a_silent_bot_takes_no_name_from_another_keys_bot() -> None:
    metrics = Metrics()
    bots = Bots(2, metrics)
    bots.take(beat(), "silent", 0)
    bots.take(beat(), "alive", HOUR_MS)
    bots.take(beat("two"), "alive", HOUR_MS)
    assert shown(metrics)["tidegate_bot_breaker one eurusd"] == 0


def test_a_bot_too_many_is_refused_and_not_shown() -> None:
    metrics = Metrics()
    bots = Bots(1, metrics)
    bots.take(beat(), "key", 0)
    with pytest.raises(Problem):
        bots.take(beat("two"), "key", 1)
    assert not any(" two" in name for name in shown(metrics))
