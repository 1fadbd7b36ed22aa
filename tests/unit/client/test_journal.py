"""Decisions reach the file in their order, and no decision waits for it."""

import json
import os
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


def test_a_file_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as told:
        Journal(tmp_path / "nothing" / "decisions.jsonl")
    assert told.value.setting == "decisions.file"


def test_a_disk_that_does_not_keep_up_costs_lines_and_never_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "_MOST_WAITING", 3)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    journal = Journal(pipe)
    for _ in range(2000):  # far more than a pipe takes that nobody reads
        journal.write(decision(detail="x" * 500))
    assert journal.dropped > 0
    got = b""
    while b"last" not in got:
        try:
            got += os.read(reader, 65_536)
        except BlockingIOError:
            journal.write(decision(detail="last"))
    journal.write(decision())
    os.set_blocking(reader, True)
    while journal._waiting.unfinished_tasks:
        os.read(reader, 65_536)
    journal.close()
    os.close(reader)
