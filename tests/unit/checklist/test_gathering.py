"""Evidence is made by commands that end in time, and what was not made is told as such."""

import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.checklist_places import REPOSITORY, settings_of

from tidegate.checklist import gathering
from tidegate.checklist.gathering import Step, gather, run, steps


def python(code: str, limit_s: float = 60.0, **changes: Any) -> Step:  # noqa: ANN401  fields of many types
    return Step("test", (sys.executable, "-c", code), limit_s, **changes)


def test_every_record_that_a_line_asks_for_is_made_by_a_command_of_this_project(tmp_path: Path) -> None:
    settings = settings_of(
        tmp_path,
        checklist={"bot_config": tmp_path / "bot.toml"},
        backup={"repository": "/backup", "password_file": tmp_path / "password"},
    )
    made = steps(settings, REPOSITORY)
    assert [one.missing for one in made] == [""] * 6
    assert {one.record.name for one in made if one.record} == {"conformance.json", "load.json", "bot-check.json"}
    assert [one.command[3:5] for one in made[3:]] == [
        ("backup", "--reason"),
        ("verify",),
        ("restore-drill",),
    ]
    assert all(0 < one.limit_s <= 3600 for one in made)


def test_what_cannot_be_run_is_skipped_and_says_what_is_missing(tmp_path: Path) -> None:
    begun: list[Step] = []
    found = list(gather(settings_of(tmp_path), tmp_path, begun.append))
    assert [one.outcome for one in found] == ["skipped"] * 6
    assert begun == []
    assert [
        word
        for one, word in zip(found, ("kit.py", "serving", "checklist.bot_config"), strict=False)
        if word not in one.told
    ] == []
    assert all("backup.repository" in one.told for one in found[3:])


def test_a_record_counts_whatever_the_exit_code_and_one_from_before_does_not(tmp_path: Path) -> None:
    record = tmp_path / "load.json"
    writes = f"import pathlib, sys; pathlib.Path({str(record)!r}).write_text('1'); sys.exit(1)"
    assert run(python(writes, record=record), tmp_path) == ("made", str(record))
    outcome, told = run(python("import sys; sys.exit('no such server')", record=record), tmp_path)
    assert (outcome, told) == ("failed", "exit code 1: no such server")


@pytest.mark.parametrize(
    ("printed", "outcome"), [('{"passed": false}', "made"), ("Usage: ...", "failed"), ("", "failed")]
)
def test_what_a_command_prints_is_its_record_where_it_is_json(tmp_path: Path, printed: str, outcome: str) -> None:
    record = tmp_path / "bot-check.json"
    step = python(f"print({printed!r}, end='')", record=record, is_printed=True)
    assert run(step, tmp_path)[0] == outcome
    assert record.exists() == (outcome == "made")


def test_commands_find_the_programs_beside_this_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    code = f"import pathlib, shutil, sys; sys.exit(pathlib.Path(shutil.which('python')).parent != pathlib.Path({str(Path(sys.executable).parent)!r}))"
    assert run(python(code), tmp_path)[0] == "made"


@pytest.mark.parametrize(("code", "outcome"), [(0, "made"), (7, "failed")])
def test_without_a_record_the_exit_code_counts(tmp_path: Path, code: int, outcome: str) -> None:
    assert run(python(f"import sys; sys.exit({code})"), tmp_path)[0] == outcome


def test_a_command_that_does_not_end_is_ended_with_all_that_it_has_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "_GRACE_S", 0.2)
    code = (
        "import pathlib, signal, subprocess, sys, time; signal.signal(signal.SIGINT, signal.SIG_IGN); "
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
        "pathlib.Path('child').write_text(str(child.pid)); time.sleep(600)"
    )
    assert run(python(code, limit_s=3.0), tmp_path) == ("failed", "did not end within 3 s")
    pid = int((tmp_path / "child").read_text())
    until = time.monotonic() + 10
    while _is_alive(pid):
        assert time.monotonic() < until, "the child goes on"
        time.sleep(0.02)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A zombie waits for whoever has inherited it.
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
