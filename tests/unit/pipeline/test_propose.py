"""A proposal's month names its files, so it must be one."""

from pathlib import Path

import pytest
from tests import trial_records

from tidegate.errors import ConfigurationError
from tidegate.pipeline.propose import propose_model
from tidegate.settings.settings import Paths, Settings


@pytest.mark.parametrize(
    "month", ["../../../escaped", "2026-13", "2026-00", "2026-1", "2026-11-01", "/2026-11", "2026-11\n", ""]
)
def test_what_is_no_month_names_no_file(tmp_path: Path, month: str) -> None:
    settings = Settings(paths=Paths(data=tmp_path / "data", runs=tmp_path / "place" / "runs"))
    with pytest.raises(ConfigurationError, match="month"):
        propose_model(trial_records.strategy(), settings, month)
    assert list(tmp_path.rglob("*")) == []


def test_a_month_names_both_files(tmp_path: Path) -> None:
    settings = Settings(paths=Paths(data=tmp_path / "data", runs=tmp_path / "runs"))
    made = propose_model(trial_records.strategy(), settings, "2026-12")
    assert [made.report.name, made.patch.name] == ["2026-12.md", "2026-12.yaml"]
    assert made.report.is_file()
    assert made.patch.is_file()
