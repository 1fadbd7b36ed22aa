"""A disk that is full, and files that may not grow: rows are refused, none is half there, and service goes on when there is room."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unavailable import unavailable
from tests.unit.serving.log.rows import SEGMENT, log_in, rows, settled

from tidegate.errors import LogUnavailable
from tidegate.serving.log.reader import read, verify

ROOT = Path(__file__).parents[4]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own of half a megabyte."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        unavailable(f"no small file system can be mounted here: {done.stderr}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_refuses_rows_and_loses_none(small_disk: Path) -> None:
    log = log_in(small_disk)
    kept: list[int] = []

    def fill() -> None:
        for number in range(5000):
            log.append(rows(number))
            log.commit()
            kept.append(number)

    with pytest.raises(LogUnavailable, match="No space left"):
        fill()
    settled(log)
    assert len(kept) > 300
    assert list(read(small_disk)) == rows(*kept)
    assert verify(small_disk).damages == ()
    for _ in range(3):
        log.append(rows(9000))
        with pytest.raises(LogUnavailable):
            log.commit()
    assert list(read(small_disk)) == rows(*kept), "nothing of what was refused"
    min(small_disk.rglob("*.log")).unlink()
    kept = [each for each in kept if each >= int(next(iter(read(small_disk))).request_id)]
    log.append(rows(10_000))
    assert log.commit() == 1, "an operator made room"
    log.close()
    assert list(read(small_disk)) == rows(*kept, 10_000)


def test_a_disk_that_fills_while_a_file_is_made_ahead_leaves_nothing_half_made(small_disk: Path) -> None:
    log = log_in(small_disk)
    (small_disk / "other").write_bytes(bytes(512 * 1024 - SEGMENT - 40 * 1024))
    for number in range(100):
        log.append(rows(number))
        log.commit()
        settled(log)
        if log._current is not None and log._current.totals.end * 2 > SEGMENT:
            break
    settled(log)
    assert [path.suffix for path in small_disk.rglob("0*")] == [".open"]
    (small_disk / "other").unlink()
    for later in range(number + 1, 300):
        log.append(rows(later))
        log.commit()
    log.close()
    assert list(read(small_disk)) == rows(*range(300))


LIMITED = """
import resource, sys
from pathlib import Path
from tests.unit.serving.log.rows import log_in, rows
from tidegate.errors import LogUnavailable
log = log_in(Path(sys.argv[1]))
log.append(rows(1)); log.commit()
resource.setrlimit(resource.RLIMIT_FSIZE, (600, resource.RLIM_INFINITY))
log.append(rows(2))
try:
    log.commit()
except LogUnavailable as error:
    assert "File too large" in str(error), error
else:
    raise AssertionError("the write past the limit went through")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
log.append(rows(3)); log.commit(); log.close()
"""


def test_a_write_that_the_system_refuses_is_not_seen(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path)], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert list(read(tmp_path)) == rows(1, 3)
    assert verify(tmp_path).damages == ()
