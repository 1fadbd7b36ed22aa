"""`tidegate checklist --gather`: what makes evidence is told and run before the look, and never spoils the JSON."""

import json
import os
import shutil
from pathlib import Path

import pytest
from tests.unit.cli.run import CommandLine

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def tidegate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    for name in list(os.environ):
        if name.startswith("TIDEGATE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TIDEGATE_ROOT", str(tmp_path))
    # Named and away: no server of this command's own is started, and the lines that are looked at ask none.
    monkeypatch.setenv("TIDEGATE_MLFLOW__TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").mkdir()
    shutil.copy(REPOSITORY / "configs" / "checklist.yaml", tmp_path / "configs")
    return CommandLine(monkeypatch, capsys)


def test_evidence_is_gathered_before_the_look(tidegate: CommandLine, tmp_path: Path) -> None:
    kit = tmp_path / "clients" / "conformance" / "kit.py"
    kit.parent.mkdir(parents=True)
    kit.write_text(
        "import json, pathlib, sys\n"
        "case = {'subject': 'breaker', 'name': 'breaker', 'passed': True}\n"
        "pathlib.Path(sys.argv[-1]).write_text(json.dumps({'cases': [case]}))\n"
    )
    told = tidegate("checklist", "--section", "communication.breaker", "--json")
    assert [line["state"] for line in json.loads(told.out)["lines"]] == ["not_measured"]
    told = tidegate("checklist", "--section", "communication.breaker", "--json", "--gather")
    assert [line["state"] for line in json.loads(told.out)["lines"]] == ["pass"]
    assert "conformance of the client: made" in told.err
    assert "restore drill: skipped (there is no repository: backup.repository)" in told.err
