"""`tidegate propose` in a project of its own: what it prints, what it writes, and that it applies nothing."""

import json
import os
from pathlib import Path

import pytest
import yaml
from tests import trial_records
from tests.unit.cli.run import CommandLine

from tidegate.settings.loading import load_settings


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if name.startswith("TIDEGATE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TIDEGATE_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "configs" / "strategies" / "btc-1h.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(yaml.safe_dump(trial_records.strategy().model_dump(mode="json", exclude_unset=True)))
    return tmp_path


@pytest.fixture
def tidegate(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    assert project.exists()
    return CommandLine(monkeypatch, capsys)


def test_without_trials_the_present_configuration_is_kept(tidegate: CommandLine, project: Path) -> None:
    told = tidegate("propose", "btc-1h")
    assert told.code == 0
    assert "Keep the present configuration of btc-1h" in told.out
    (patch,) = (project / "runs" / "btc-1h" / "proposals").glob("*.yaml")
    assert yaml.safe_load(patch.read_text()) == {}


def test_a_change_is_proposed_and_not_applied(tidegate: CommandLine, project: Path) -> None:
    file = project / "configs" / "strategies" / "btc-1h.yaml"
    before = file.read_text()
    tried = trial_records.trials(trial_records.EQUAL | {0.16: 0.0004})
    trial_records.record(load_settings(project), tried, project / "trials")

    told = tidegate("propose", "btc-1h")
    assert told.code == 0
    assert "A change of btc-1h is proposed: always enter at a margin of 0.16" in told.out
    assert "4 alternatives, best first" in told.out
    (found,) = json.loads(tidegate("propose", "btc-1h", "--json").out)
    assert found["change"] == {"policy": {"margins": [0.16]}}
    assert [each["passes"] for each in found["alternatives"]].count(True) == 1
    assert yaml.safe_load(Path(found["patch"]).read_text()) == found["change"]
    assert Path(found["report"]).read_text().startswith("# A change of btc-1h is proposed")
    assert file.read_text() == before


def test_a_missing_returns_file_is_named(tidegate: CommandLine, project: Path) -> None:
    paths = trial_records.record(load_settings(project), trial_records.trials(trial_records.EQUAL), project / "trials")
    paths[0].unlink()
    told = tidegate("propose", "btc-1h")
    assert told.code == 3
    assert paths[0].name in told.err.replace("\n", "")
    assert not (project / "runs" / "btc-1h" / "proposals").exists()


def test_an_unknown_strategy_is_a_configuration_error(tidegate: CommandLine) -> None:
    assert tidegate("propose", "nothing").code == 2
