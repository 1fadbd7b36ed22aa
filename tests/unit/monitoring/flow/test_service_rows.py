"""The checklist's rows about the service, from the watch's minutes and the processes' logs."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tidegate.bars.interval import DAY_MS
from tidegate.monitoring.page.record import ChecklistRow
from tidegate.pipeline.monitor_service import MINUTES_FILE, service_rows
from tidegate.rollback.finding import Minute
from tidegate.settings.operations import Logs
from tidegate.settings.settings import Paths, Settings

AS_OF = 20_000 * DAY_MS
MINUTE_MS = 60_000


def minute(at: int, **changes: Any) -> Minute:  # noqa: ANN401  any field
    start = AS_OF - DAY_MS + at * MINUTE_MS
    fields: dict[str, Any] = {
        "instance": "a", "starts_at": start, "ends_at": start + MINUTE_MS, "reachable": True, "version": 1, "version_since": None,
        "started_at": None, "requests": 10, "errors": 0, "latency_p95_ms": 2.0,
    }  # fmt: skip
    return Minute(**fields | changes)


def settings(folder: Path, minutes: list[Minute], mean_ms: float | None = 1.0, *, strategy: str = "one") -> Settings:
    path = folder / "runs" / MINUTES_FILE
    path.parent.mkdir(parents=True)
    lines = [json.dumps({"strategy": strategy, **asdict(one), "latency_mean_ms": mean_ms}) for one in minutes]
    path.write_text("".join(f"{line}\n" for line in lines) + '{"cut')
    return Settings(paths=Paths(runs=folder / "runs"), logs=Logs(file=folder / "logs" / "{process}.jsonl"))


def rows(made: Settings) -> dict[str, ChecklistRow]:
    return {row.row: row for row in service_rows(made, "one", AS_OF)}


def whole_day(**changes: Any) -> list[Minute]:  # noqa: ANN401
    return [minute(at, **changes) for at in range(1440)]


def spans(length_ms: int) -> list[Minute]:
    starts = range(AS_OF - DAY_MS, AS_OF, length_ms)
    return [minute(0, starts_at=start, ends_at=start + length_ms) for start in starts]


def test_a_whole_good_day_passes(tmp_path: Path) -> None:
    found = rows(settings(tmp_path, whole_day()))

    assert [found[name].verdict for name in ("uptime", "average latency", "error rate")] == ["pass"] * 3
    assert found["no critical errors in logs"].verdict == "not_measured"


@pytest.mark.parametrize(
    ("minutes", "mean_ms", "row", "verdict"),
    [
        ([*whole_day()[1:], minute(0, reachable=False)], 1.0, "uptime", "pass"),  # 1,439 of 1,440 is 99.93 %
        ([*whole_day()[2:], minute(0, reachable=False), minute(1, reachable=False)], 1.0, "uptime", "fail"),
        ([*whole_day(), *whole_day(instance="b", reachable=False)], 1.0, "uptime", "pass"),  # one of two answers
        (whole_day(), 9.99, "average latency", "pass"),
        (whole_day(), 10.0, "average latency", "fail"),
        (whole_day(), None, "average latency", "not_measured"),
        ([*whole_day()[1:], minute(0, requests=1000, errors=150)], 1.0, "error rate", "pass"),  # 150 of 15,390
        ([*whole_day()[1:], minute(0, requests=1000, errors=154)], 1.0, "error rate", "fail"),
        (whole_day(requests=0), None, "error rate", "not_measured"),
        (whole_day()[: 1440 // 2], 1.0, "uptime", "not_measured"),
        (whole_day()[:1438], 1.0, "uptime", "not_measured"),  # what was not seen is more than the budget
        (whole_day()[:1439], 1.0, "uptime", "pass"),
        (
            [*whole_day()[1000:], *(minute(at, reachable=False) for at in range(2))],
            1.0,
            "uptime",
            "fail",
        ),  # for certain
        (spans(62_000), 1.0, "uptime", "pass"),  # a span ends with the first look after a minute
        ([minute(0, ends_at=AS_OF)], 1.0, "uptime", "not_measured"),  # the machine slept
        (whole_day()[: 1440 // 2], 1.0, "error rate", "not_measured"),
    ],
)
def test_bounds(tmp_path: Path, minutes: list[Minute], mean_ms: float | None, row: str, verdict: str) -> None:
    assert rows(settings(tmp_path, minutes, mean_ms))[row].verdict == verdict


def test_minutes_of_another_strategy_or_day_say_nothing(tmp_path: Path) -> None:
    made = settings(tmp_path, whole_day(), strategy="another")

    assert {row.verdict for row in service_rows(made, "one", AS_OF)} == {"not_measured"}
    assert {row.verdict for row in service_rows(made, "another", AS_OF + 2 * DAY_MS)} == {"not_measured"}


@pytest.mark.parametrize(
    ("lines", "verdict"),
    [
        ([{"at": AS_OF - 1, "level": "info"}], "pass"),
        ([{"at": AS_OF - 1, "level": "info"}, {"at": AS_OF - DAY_MS, "level": "error"}], "fail"),
        ([{"at": AS_OF - 1, "level": "critical", "strategy": "one"}], "fail"),
        ([{"at": AS_OF - 1, "level": "info"}, {"at": AS_OF - 1, "level": "error", "strategy": "another"}], "pass"),
        ([{"at": AS_OF - 1, "level": "info"}, {"at": AS_OF, "level": "error"}], "pass"),  # the next day's
        ([{"at": AS_OF, "level": "info"}], "not_measured"),
        ([], "not_measured"),
    ],
)
def test_logs(tmp_path: Path, lines: list[dict[str, object]], verdict: str) -> None:
    made = settings(tmp_path, [])
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "watch-000001.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines) + '{"at')

    assert rows(made)["no critical errors in logs"].verdict == verdict


@pytest.mark.parametrize(
    ("first_at", "number", "level", "verdict"),
    [
        (AS_OF - DAY_MS + 1, 42, "info", "not_measured"),  # the files with the day's first lines are gone
        (AS_OF - DAY_MS + 1, 42, "error", "fail"),
        (AS_OF - DAY_MS, 42, "info", "pass"),
        (AS_OF - DAY_MS + 1, 1, "info", "pass"),  # the process began to log on that day
    ],
)
def test_logs_of_which_a_part_was_deleted_prove_nothing(
    tmp_path: Path, first_at: int, number: int, level: str, verdict: str
) -> None:
    made = settings(tmp_path, [])
    (tmp_path / "logs").mkdir()
    for process, at in (("serving", number), ("watch", 1)):
        lines = [{"at": first_at, "level": "info"}, {"at": AS_OF - 1, "level": level}]
        text = "".join(f"{json.dumps(line)}\n" for line in lines)
        (tmp_path / "logs" / f"{process}-{at:06d}.jsonl").write_text(text)

    row = rows(made)["no critical errors in logs"]

    assert row.verdict == verdict
    assert ("serving-000042.jsonl" in row.reason) is (verdict == "not_measured")


def test_minutes_of_an_earlier_version_of_the_watch_count(tmp_path: Path) -> None:
    made = settings(tmp_path, whole_day())
    path = made.paths.runs / MINUTES_FILE
    path.write_text(path.read_text().replace(', "orderly": false', ""))
    assert "orderly" not in path.read_text()

    assert rows(made)["uptime"].verdict == "pass"
