"""Which strategy a name on the command line is."""

import shutil
from pathlib import Path

import pytest

from tidegate.cli.context import Project
from tidegate.errors import ConfigurationError
from tidegate.settings.settings import Settings

CONFIGS = Path(__file__).parents[3] / "configs"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    shutil.copytree(CONFIGS, tmp_path / "configs")
    folder = tmp_path / "configs" / "strategies"
    text = (folder / "eurusd-sample.yaml").read_text(encoding="utf-8")
    (folder / "a-broken-one.yaml").write_text("name: [", encoding="utf-8")
    several = text.replace("name: eurusd-sample", "name: several").replace(
        "[EUR/USD]", "[EUR/USD, GBP/USD]\ncombine: separate"
    )
    (folder / "several.yaml").write_text(several, encoding="utf-8")
    return Project(tmp_path, Settings.model_validate({"paths": {"strategies": folder}}))


def test_one_model_is_found_by_its_strategys_name_or_its_own_whatever_else_lies_beside_it(project: Project) -> None:
    assert project.single("simulated-demo").name == "simulated-demo"
    first, second = project.models("several")
    assert [project.single(name).name for name in (first, second)] == [first, second]


def test_a_strategy_of_several_models_is_none_of_them(project: Project) -> None:
    with pytest.raises(ConfigurationError, match="one model a symbol"):
        project.single("several")
    with pytest.raises(ConfigurationError, match="has no file"):
        project.single("nowhere")
