"""Decisions reach the file in their order, and no decision waits for it."""

import json
import os
import resource
import signal
import threading
import time
from pathlib import Path

import pytest
from tests.unit.client.decisions import decision

from tidegate.client import journal as journal_module
from tidegate.client.decision import Decision
from tidegate.client.journal import Journal
from tidegate.errors import ConfigurationError


def test_lines_are_appended_in_order_and_hold_every_field(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    path.write_text('{"earlier":1}\n')
    journal = Journal(path)
    for number in range(200):
        journal.write(decision(attempts=number))
    journal.flush()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["attempts"] for line in lines[1:]] == list(range(200))
    assert tuple(lines[1]) == Decision.__struct_fields__
    journal.write(decision(attempts=777))
    journal.close()
    assert json.loads(path.read_text().splitlines()[-1])["attempts"] == 777


@pytest.mark.parametrize(
    ("before", "kept"), [("", 0), ('{"earlier":1}\n', 1), ('{"earlier":1}\n{"torn":', 2), ('{"torn":', 1)]
)
def test_half_a_line_of_an_earlier_run_stays_alone(tmp_path: Path, before: str, kept: int) -> None:
    path = tmp_path / "decisions.jsonl"
    path.write_text(before)
    journal = Journal(path)
    for number in range(2):
        journal.write(decision(attempts=number))
    journal.close()
    lines = path.read_text().splitlines()
    assert [json.loads(line)["attempts"] for line in lines[kept:]] == [0, 1]


def test_half_a_line_on_a_full_disk_costs_that_line_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    journal = Journal(path)
    journal.write(decision(attempts=1))
    journal.flush()
    size = path.stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    # A file that must not grow any further is a disk that is full.
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, before[1]))
    try:
        for _ in range(2):
            journal.write(decision(attempts=2))
        journal.flush()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    journal.write(decision(attempts=3))
    journal.close()
    first, half, last = path.read_text().splitlines()
    assert (journal.dropped, len(half)) == (2, 10)
    assert [json.loads(line)["attempts"] for line in (first, last)] == [1, 3]


def test_a_file_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as told:
        Journal(tmp_path / "nothing" / "decisions.jsonl")
    assert told.value.setting == "decisions.file"


def test_a_disk_that_does_not_keep_up_costs_lines_and_never_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(journal_module, "_MOST_WAITING", 3)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    journal = Journal(pipe)
    with caplog.at_level("ERROR"):
        for _ in range(2000):  # far more than a pipe takes that nobody reads
            journal.write(decision(detail="x" * 500))
    assert journal.dropped > 1000
    assert 1 <= len(caplog.records) < 20, "a disk that is slow must not fill the log instead"
    os.set_blocking(reader, True)
    got = bytearray()
    drain = threading.Thread(target=lambda: got.extend(b"".join(iter(lambda: os.read(reader, 65_536), b""))))
    drain.start()
    journal.flush()
    journal.write(decision(detail="last"))
    journal.close()
    drain.join(10)
    os.close(reader)
    lines = [json.loads(line) for line in got.decode().splitlines()]
    assert lines[-1]["detail"] == "last"
    assert len(lines) == 2001 - journal.dropped


def test_a_disk_that_hangs_does_not_keep_the_bot_from_ending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "_CLOSE_S", 0.1)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    journal = Journal(pipe)
    for _ in range(1000):
        journal.write(decision(detail="x" * 500))
    started = time.monotonic()
    journal.close()
    assert time.monotonic() - started < 5
    os.set_blocking(reader, True)
    drain = threading.Thread(target=lambda: [*iter(lambda: os.read(reader, 65_536), b"")])
    drain.start()
    journal._thread.join(10)
    assert not journal._thread.is_alive()
    journal._file.close()
    drain.join(10)
    os.close(reader)
