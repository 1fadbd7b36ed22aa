"""The monthly run's step of promotion asks the checklist, where settings say so."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.checklist_places import REPOSITORY, settings_of, strategy

from flows import retrain
from tidegate.pipeline import publish
from tidegate.report.record import PromotionRecord
from tidegate.settings.loading import load_settings

PROMOTED = PromotionRecord("promoted", 7, 6, "promoted by the registry")


@pytest.fixture
def promotions(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Versions that were given to the registry's step, which has tests of its own."""
    asked: list[int] = []

    def promote(_job: object, _judged: object, registered: Any, _champion: object) -> PromotionRecord:  # noqa: ANN401
        asked.append(registered.version)
        return PROMOTED

    monkeypatch.setattr(publish, "promote", promote)
    return asked


def step(folder: Path, *, asked: str, promote: bool = True) -> PromotionRecord:
    """The step, with a registry that is away."""
    (folder / "configs").mkdir()
    text = (REPOSITORY / "configs" / "checklist.yaml").read_text(encoding="utf-8")
    (folder / "configs" / "checklist.yaml").write_text(text, encoding="utf-8")
    away = {"tracking_uri": "http://127.0.0.1:1", "retries": 0, "timeout_s": 1}
    settings = settings_of(folder, checklist={"require": asked}, mlflow=away)
    job: Any = SimpleNamespace(settings=settings, root=folder, strategy=strategy(), actor="test")
    judged: Any = SimpleNamespace(decision=SimpleNamespace(promote=promote))
    registered: Any = SimpleNamespace(version=7)
    champion: Any = SimpleNamespace(version=6)
    return retrain.promote_model.fn(job, judged, registered, champion)


def test_a_version_that_the_list_does_not_pass_is_refused_before_the_registry_is_asked(
    tmp_path: Path, promotions: list[int]
) -> None:
    found = step(tmp_path, asked="promotion")
    assert (found.outcome, found.version, found.previous_version) == ("refused", 7, 6)
    assert "training.days" in found.message
    assert promotions == []


@pytest.mark.parametrize(("asked", "promote"), [("nothing", True), ("promotion", False), ("deployment", False)])
def test_where_it_is_not_asked_for_or_the_gates_have_refused_already_the_registry_goes_on(
    tmp_path: Path, promotions: list[int], asked: str, promote: bool
) -> None:
    assert step(tmp_path, asked=asked, promote=promote) == PROMOTED
    assert promotions == [7]


@pytest.mark.parametrize(("environment", "asked"), [("development", "nothing"), ("production", "promotion")])
def test_production_asks_for_it(monkeypatch: pytest.MonkeyPatch, environment: str, asked: str) -> None:
    monkeypatch.setenv("TIDEGATE_ENVIRONMENT", environment)
    assert load_settings(REPOSITORY).checklist.require == asked
