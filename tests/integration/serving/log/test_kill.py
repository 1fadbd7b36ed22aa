"""SIGKILL: every acknowledged row is found, and nothing but whole rows."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.serving.log import busy_writer, kill_points
from tests.unit.serving.log.rows import log_in, row, settled

from tidegate.serving.log.reader import read, verify

ROOT = Path(__file__).parents[4]
MEMORY = Path("/dev/shm")
KILLS = 32


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder in memory where there is one: what a kill leaves does not depend on the disk, only the time does."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as name:
        yield Path(name)


def lines_of(module: str, *arguments: str) -> list[Any]:
    """Run a program of this folder; the JSON of each line it prints."""
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_kill_at_any_step_loses_no_acknowledged_row(folder: Path) -> None:
    outcomes = lines_of(kill_points.__name__, str(folder))
    assert len({each["name"] for each in outcomes}) >= 50
    for each in outcomes:
        name, log_folder, told = each["name"], Path(each["folder"]) / "log", each["told"]
        assert each["killed"], name
        assert not each["done"], f"{name}: the kill came before completion"
        assert told == list(range(len(told)))
        for _ in ("as the kill left it", "as the next start leaves it"):
            found = list(read(log_folder))
            assert len(found) - len(told) in {0, 1}, name
            assert found == [row(number) for number in range(len(found))], name
            assert verify(log_folder).damages == (), name
            log = log_in(log_folder, segment_bytes=kill_points.SEGMENT)
            settled(log)
            log.close()
        assert list(log_folder.rglob("*.tmp")) + list(log_folder.rglob("*.open")) == [], name


def test_killed_many_times_under_load_it_loses_no_acknowledged_row(folder: Path) -> None:
    told = lines_of(busy_writer.__name__, str(folder), str(KILLS))
    assert len(told) == KILLS
    assert all(told), "each writer was killed after it had acknowledged something"
    acknowledged = {str(number) for ids in told for number in ids}
    rows = list(read(folder))
    assert verify(folder).damages == ()
    ids = [each.request_id for each in rows if each.role == "production"]
    assert len(ids) == len(set(ids))
    assert acknowledged <= set(ids)
    most = KILLS * 4 * 3
    assert len(ids) - len(acknowledged) <= most, "more than the four clients can have had on their way"
    assert all(each == row(int(each.request_id), features=each.features) for each in rows if each.role == "production")
