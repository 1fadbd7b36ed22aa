"""Writing the prediction log: what is kept, when files change, and what a failing disk leaves."""

import errno
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.serving.log.rows import NOW, PLAIN, SEGMENT, FailingSync, log_in, names, row, rows, settled

from tidegate.errors import ConfigurationError, LogUnavailable, ServiceError
from tidegate.serving.log.reader import read, verify
from tidegate.serving.log.segment import Segment

OWN = "a%3A8080"
DAY_MS = 86_400_000


def test_rows_come_back_bit_for_bit_and_in_order(tmp_path: Path) -> None:
    log = log_in(tmp_path)
    log.append(rows(1, 2))
    log.append(rows(3))
    assert log.commit() == 3
    assert log.commit() == 0
    odd = row(4, symbol="nul \0 line\nfeed \u2028 é", features=None, probability=None, version=None, bar_closed_at=None)
    log.append([odd])
    assert log.commit() == 1
    assert list(read(tmp_path)) == [*rows(1, 2, 3), odd], "an open file can be read"
    log.close()
    log.close()
    assert list(read(tmp_path)) == [*rows(1, 2, 3), odd]
    assert names(tmp_path) == ["000000000001.log"]


def test_nothing_is_kept_before_its_commit(tmp_path: Path) -> None:
    log = log_in(tmp_path)
    log.append(rows(1))
    assert list(read(tmp_path)) == []
    log.close()
    assert list(read(tmp_path)) == rows(1), "closing commits what is left"


def test_the_space_of_an_open_file_is_there_beforehand(tmp_path: Path) -> None:
    log = log_in(tmp_path)
    (path,) = tmp_path.rglob("*.open")
    status = path.stat()
    assert status.st_size == SEGMENT
    assert status.st_blocks * 512 >= SEGMENT, "no sparse file"
    log.append(rows(1))
    log.commit()
    assert path.stat().st_size == SEGMENT
    log.close()


def test_a_closed_file_is_short_and_read_only(tmp_path: Path) -> None:
    log = log_in(tmp_path)
    log.append(rows(1))
    log.commit()
    log.close()
    (path,) = tmp_path.rglob("*.log")
    content = path.read_bytes()
    assert b"\0" not in content
    assert content.endswith(b"\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o444


def test_files_follow_each_other_and_lose_nothing(tmp_path: Path) -> None:
    log = log_in(tmp_path)
    for number in range(600):
        log.append(rows(number))
        log.commit()
    log.close()
    found = names(tmp_path)
    assert len(found) > 4
    assert found == [f"{number + 1:012}.log" for number in range(len(found))]
    assert list(read(tmp_path)) == rows(*range(600))
    assert all(path.stat().st_size <= SEGMENT for path in tmp_path.rglob("*.log"))


def test_the_next_file_is_made_ahead_and_is_not_waited_for(tmp_path: Path) -> None:
    log = log_in(tmp_path)
    made: list[bool] = []
    make = log._make

    def counted(size: int, pause: Callable[[], bool] | None = None) -> Segment:
        made.append(pause is not None)
        return make(size, pause)

    log._make = counted  # type: ignore[method-assign]
    for number in range(250):
        log.append(rows(number))
        log.commit()
        settled(log)
    log.close()
    assert made
    assert all(made), "a file was made while a request waited"


def test_an_unused_file_does_not_stay(tmp_path: Path) -> None:
    for _ in range(3):
        log_in(tmp_path).close()
    assert names(tmp_path) == []


def test_a_process_never_appends_to_an_earlier_ones_file(tmp_path: Path) -> None:
    for number in range(3):
        log = log_in(tmp_path)
        log.append(rows(number))
        log.commit()
        log.close()
    assert names(tmp_path) == [f"{number:012}.log" for number in (1, 2, 3)]


def test_more_rows_than_a_file_takes_are_spread_over_several(tmp_path: Path) -> None:
    log = log_in(tmp_path)
    for number in range(300):
        log.append(rows(number))
    assert log.commit() == 300
    log.close()
    assert len(names(tmp_path)) > 2
    assert list(read(tmp_path)) == rows(*range(300))


def test_rows_of_one_request_that_no_file_takes_are_refused(tmp_path: Path) -> None:
    log = log_in(tmp_path)
    with pytest.raises(LogUnavailable, match=r"expected at most .*\(serving.log_segment_mb\)"):
        log.append(rows(*range(300)))
    log.append(rows(1))
    assert log.commit() == 1
    log.close()


@pytest.mark.parametrize(
    "change",
    [
        {"features": [1.0, float("nan")]},
        {"features": [float("inf"), float("-inf")]},
        {"probability": float("nan")},
        {"out_of_distribution": float("inf")},
        {"probability": np.float32(0.5)},
        {"version": object()},
        {"symbol": "\ud800"},
        {"symbol": "x" * (1 << 20)},
    ],
    ids=["nan", "infinities", "nan probability", "infinite share", "float32", "object", "surrogate", "a long symbol"],
)
def test_a_row_that_could_not_be_read_back_is_refused_whole(tmp_path: Path, change: dict[str, Any]) -> None:
    log = log_in(tmp_path, segment_bytes=4 << 20)
    with pytest.raises(LogUnavailable, match="row cannot be logged"):
        log.append([row(1), row(2, **change)])
    assert log.commit() == 0
    log.close()
    assert list(read(tmp_path)) == []


def test_finite_features_whose_sum_is_not_are_fine(tmp_path: Path) -> None:
    log = log_in(tmp_path)
    huge = row(1, features=[1.7e308, 1.7e308])
    log.append([huge])
    log.commit()
    log.close()
    assert list(read(tmp_path)) == [huge]


def test_a_closed_log_takes_nothing(tmp_path: Path) -> None:
    log = log_in(tmp_path)
    log.close()
    with pytest.raises(LogUnavailable, match="closed"):
        log.append(rows(1))


def test_two_processes_cannot_have_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidegate.serving.log.folder._PAUSE_S", 0.001)
    log = log_in(tmp_path)
    with pytest.raises(ServiceError, match=r"another process writes .*serving\.instance"):
        log_in(tmp_path)
    other = log_in(tmp_path, "b:8080")
    log.close()
    log_in(tmp_path).close()
    other.close()


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "x" * 201])
def test_a_name_that_cannot_be_a_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"serving\.instance"):
        log_in(tmp_path, name)


def test_a_name_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    log = log_in(tmp_path / "log", "x/../../y")
    log.append(rows(1))
    log.close()
    assert [path.name for path in tmp_path.iterdir()] == ["log"]
    assert list(read(tmp_path / "log")) == rows(1)


# ---- a failing disk


def test_each_commit_is_synced_once_before_it_returns_and_on_its_own_file(tmp_path: Path) -> None:
    opened: list[str] = []
    sync = FailingSync(os.fdatasync)

    def datasync(descriptor: int) -> None:
        opened.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        content = os.pread(descriptor, SEGMENT, 0)
        assert f'"request_id":"{len(opened)}"'.encode() in content, "synced after the write"
        sync(descriptor)

    log = log_in(tmp_path, datasync=datasync)
    for number in (1, 2, 3):
        log.append(rows(number))
        log.commit()
        assert len(opened) == number
    assert set(opened) == {"000000000001.open"}
    log.close()


def test_without_sync_only_the_sync_is_left_out(tmp_path: Path) -> None:
    sync = FailingSync(os.fdatasync)
    log = log_in(tmp_path, sync=False, datasync=sync)
    log.append(rows(1))
    assert log.commit() == 1
    assert list(read(tmp_path)) == rows(1)
    log.close()
    assert sync.called == []


def test_after_a_failed_sync_the_file_is_given_up_and_its_failed_rows_are_not_seen(tmp_path: Path) -> None:
    sync = FailingSync(os.fdatasync)
    log = log_in(tmp_path, datasync=sync)
    log.append(rows(1))
    log.commit()
    sync.fails = True
    log.append(rows(2))
    busy = threading.Event()
    log._worker.submit(busy.wait, 20)
    with pytest.raises(LogUnavailable, match=r"cannot be written, .*Input/output error"):
        log.commit()
    assert list(read(tmp_path)) == rows(1), "at once, before the worker has closed the file"
    busy.set()
    sync.fails = False
    log.append(rows(3))
    assert log.commit() == 1
    settled(log)
    assert list(read(tmp_path)) == rows(1, 3)
    log.close()
    assert list(read(tmp_path)) == rows(1, 3)
    assert names(tmp_path) == ["000000000001.log", "000000000002.log"]


@pytest.mark.parametrize("written", [0, 1, 100, 700])
def test_a_half_written_commit_is_not_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int) -> None:
    log = log_in(tmp_path)
    log.append(rows(1))
    log.commit()
    pwrite = os.pwrite
    failed: list[bool] = []

    def half(descriptor: int, content: bytes, offset: int) -> int:
        if b'"request_id":"2"' in content and not failed:
            failed.append(True)
            pwrite(descriptor, content[:written], offset)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return pwrite(descriptor, content, offset)

    monkeypatch.setattr(os, "pwrite", half)
    log.append(rows(2))
    with pytest.raises(LogUnavailable, match="No space left"):
        log.commit()
    assert failed
    assert list(read(tmp_path)) == rows(1)
    log.append(rows(3))
    log.commit()
    log.close()
    assert list(read(tmp_path)) == rows(1, 3)
    assert verify(tmp_path).damages == ()


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = log_in(tmp_path)
    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda descriptor, content, offset: pwrite(descriptor, content[:100], offset))
    log.append(rows(1, 2))
    log.commit()
    monkeypatch.undo()
    log.close()
    assert list(read(tmp_path)) == rows(1, 2)


@pytest.mark.parametrize("step", ["fchmod", "rename", "fsync", "ftruncate"])
def test_a_file_that_cannot_be_closed_stays_whole_and_the_next_start_closes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    log = log_in(tmp_path)
    log.append(rows(1))
    log.commit()

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, step, fail)
    log.close()
    monkeypatch.undo()
    assert names(tmp_path) == ["000000000001.open"]
    assert list(read(tmp_path)) == rows(1)
    log_in(tmp_path).close()
    assert names(tmp_path) == ["000000000001.log"]
    assert list(read(tmp_path)) == rows(1)


@pytest.mark.parametrize("step", ["pwrite", "fsync", "rename"])
def test_a_log_that_cannot_make_its_first_file_starts_and_tries_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    real: Callable[..., Any] = getattr(os, step)

    def fail(first: object, *others: object) -> object:
        if step == "fsync" and isinstance(first, int) and Path(f"/proc/self/fd/{first}").readlink().is_dir():
            return real(first, *others)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, step, fail)
    log = log_in(tmp_path)
    for _ in range(2):
        log.append(rows(1))
        with pytest.raises(LogUnavailable, match="Input/output error"):
            log.commit()
    assert names(tmp_path) == [], "nothing half-made is left"
    monkeypatch.undo()
    log.append(rows(2))
    assert log.commit() == 1
    log.close()
    assert list(read(tmp_path)) == rows(2)


# ---- sizes and age


def test_a_full_log_refuses_until_there_is_room(tmp_path: Path) -> None:
    log = log_in(tmp_path, max_bytes=3 * SEGMENT)
    kept: list[int] = []

    def fill() -> None:
        for number in range(2000):
            log.append(rows(number))
            log.commit()
            kept.append(number)

    with pytest.raises(LogUnavailable, match=r"is full, expected .*\(serving.log_max_mb\)"):
        fill()
    settled(log)
    assert len(kept) > 50
    assert log.size_bytes <= 3 * SEGMENT
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.*")) <= 3 * SEGMENT
    assert list(read(tmp_path)) == rows(*kept)
    min(tmp_path.rglob("*.log")).unlink()
    log.append(rows(1))
    assert log.commit() == 1, "an operator made room"
    log.close()


def test_other_instances_count_as_well(tmp_path: Path) -> None:
    other = log_in(tmp_path, "b")
    log = log_in(tmp_path, max_bytes=SEGMENT + 100)
    log.append(rows(1))
    with pytest.raises(LogUnavailable, match="is full"):
        log.commit()
    other.close()
    log.append(rows(1))
    assert log.commit() == 1
    log.close()


def test_closed_files_go_when_they_are_old_enough(tmp_path: Path) -> None:
    for age_days, instance in ((30, "a:8080"), (11, "a:8080"), (9, "a:8080"), (11, "b"), (1, "b")):
        log = log_in(tmp_path, instance)
        log.append([row(-age_days, instance=instance)])
        log.commit()
        settled(log)
        log.close()
        newest = max((tmp_path / instance.replace(":", "%3A")).glob("*.log"))
        modified_s = NOW / 1000 - age_days * 86_400
        os.utime(newest, (modified_s, modified_s))
    log = log_in(tmp_path, keep_days=10)
    settled(log)
    assert [each.received_at - NOW for each in read(tmp_path)] == [-9, -1]
    log.close()
    assert verify(tmp_path).damages == ()


def test_a_full_log_gives_up_what_need_not_be_kept(tmp_path: Path) -> None:
    log = log_in(tmp_path, max_bytes=3 * SEGMENT, keep_days=10)

    def fill() -> None:
        for number in range(2000):
            log.append(rows(number))
            log.commit()

    with pytest.raises(LogUnavailable, match="is full"):
        fill()
    settled(log)
    for path in tmp_path.rglob("*.log"):
        modified_s = NOW / 1000 - 11 * 86_400
        os.utime(path, (modified_s, modified_s))
    log.append(rows(1))
    assert log.commit() == 1
    log.close()


def test_an_open_file_never_goes_for_its_age(tmp_path: Path) -> None:
    log = log_in(tmp_path)
    log.append(rows(1))
    log.commit()
    (path,) = tmp_path.rglob("*.open")
    os.utime(path, (1, 1))
    other = log_in(tmp_path, "b", keep_days=1)
    settled(other)
    assert list(read(tmp_path)) == rows(1)
    other.close()
    log.close()


def test_what_another_killed_instance_left_open_is_closed(tmp_path: Path) -> None:
    left = log_in(tmp_path, "dead")
    left.append([row(1, instance="dead")])
    left.commit()
    os.close(left._lock)  # as the system does for a killed process
    log = log_in(tmp_path)
    settled(log)
    assert [path.name for path in (tmp_path / "dead").glob("0*")] == ["000000000001.log"]
    log.close()
    left._lock = os.open(tmp_path, os.O_RDONLY)
    left.close()


def test_a_living_instances_open_file_is_left_alone(tmp_path: Path) -> None:
    living = log_in(tmp_path, "b")
    living.append([row(1, instance="b")])
    living.commit()
    log = log_in(tmp_path)
    settled(log)
    assert [path.suffix for path in (tmp_path / "b").glob("0*")] == [".open"]
    living.append([row(2, instance="b")])
    assert living.commit() == 1
    living.close()
    log.close()


def test_the_last_line_always_fits(tmp_path: Path) -> None:
    log = log_in(tmp_path)
    segment = log._current
    assert isinstance(segment, Segment)
    segment.totals.rows = segment.totals.commits = 10**15
    segment.totals.received_from = segment.totals.received_until = 10**15
    assert segment.seal(10**15) - segment.totals.end <= 256
    segment.totals.commits = 0
    log.close()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LogUnavailable, match=r"cannot be opened, .*serving\.log_folder"):
        log_in(tmp_path / "file")


def test_the_plain_row_is_one_that_json_could_spoil() -> None:
    assert PLAIN.features is not None
    assert any(value != round(value, 12) for value in PLAIN.features)
