"""`tidegate log`: what it shows, as a table and as JSON, and its exit codes."""

import json
import os
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.unit.cli.run import CommandLine
from tests.unit.serving.log.rows import NOW, log_in, row

from tidegate.bars.bars import iso
from tidegate.serving.log.record import Row


@pytest.fixture
def tidegate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    for name in list(os.environ):
        if name.startswith("TIDEGATE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TIDEGATE_ROOT", str(tmp_path))
    return CommandLine(monkeypatch, capsys)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three rows, the last two for one bar."""
    folder = tmp_path / "runs" / "predictions"
    log = log_in(folder)
    log.append([row(0, bar_closed_at=NOW - 900), row(1), row(2, strategy="other", probability=None), row(3)])
    log.close()
    return folder


def ids(text: str) -> list[str]:
    return [each.request_id for each in msgspec.convert(json.loads(text), list[Row])]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), ["0", "1", "2", "3"]),
        (("--strategy", "other"), ["2"]),
        (("--since", iso(NOW + 1), "--until", iso(NOW + 3)), ["1", "2"]),
        (("--canonical",), ["0", "1", "2"]),
        (("--limit", "2"), ["2", "3"]),
        (("--strategy", "none"), []),
    ],
)
def test_show_as_json(tidegate: CommandLine, folder: Path, words: tuple[str, ...], expected: list[str]) -> None:
    assert folder.exists()
    told = tidegate("log", "show", "--json", *words)
    assert (told.code, ids(told.out)) == (0, expected)


def test_show_as_a_table(tidegate: CommandLine, folder: Path) -> None:
    assert folder.exists()
    told = tidegate("log", "show", "--limit", "1")
    assert told.code == 0
    assert re.search(r"2025-11-24 16:00:00 +v3 +0\.6180 +1 +demo +BTC/USDT +answered", told.out)
    assert "the newest 1 of 4 rows" in told.out
    assert "no rows" in tidegate("log", "show", "--strategy", "none").out


def test_verify(tidegate: CommandLine, folder: Path) -> None:
    told = tidegate("log", "verify")
    assert told.code == 0
    assert "whole, 4 rows in 1 files (0 open) of 1 instances" in told.out
    found: dict[str, Any] = json.loads(tidegate("log", "verify", "--json").out)
    assert found == {
        "folder": str(folder), "instances": 1, "files": 1, "open_files": 0, "rows": 4, "damages": [],
    }  # fmt: skip


@pytest.mark.parametrize("words", [("show",), ("verify",), ("show", "--json"), ("verify", "--json")])
def test_damage_ends_with_3_and_names_file_and_offset(
    tidegate: CommandLine, folder: Path, words: tuple[str, ...]
) -> None:
    (path,) = folder.rglob("*.log")
    path.chmod(0o644)
    content = path.read_bytes()
    path.write_bytes(content.replace(b'"request_id":"2"', b'"request_id":"X"'))
    told = tidegate("log", *words)
    assert told.code == 3
    assert f"log_damaged: {path} at byte " in told.err
    if words == ("show", "--json"):
        assert ids(told.out) == ["0", "1", "3"]
    if words == ("verify", "--json"):
        assert json.loads(told.out)["damages"][0]["path"] == str(path)


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("show",), 2, "there is no prediction log"),
        (("verify",), 2, "there is no prediction log"),
        (("show", "--since", "yesterday"), 3, "cannot be read"),
    ],
)
def test_refusals(tidegate: CommandLine, words: tuple[str, ...], code: int, text: str) -> None:
    told = tidegate("log", *words)
    assert told.code == code
    assert text in told.err
