"""The monthly run's step of promotion takes a backup first, or refuses, as `backup.before_promotion` has it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.checklist_places import REPOSITORY, strategy
from tests.integration.backup.place import make_place

from flows import retrain
from tidegate.backup.places import own_folder
from tidegate.pipeline import publish
from tidegate.registry.events import EventLedger
from tidegate.report.record import PromotionRecord
from tidegate.settings.backup import Backup
from tidegate.settings.loading import load_settings
from tidegate.settings.settings import Paths, Settings

pytestmark = pytest.mark.slow

PROMOTED = PromotionRecord("promoted", 7, 6, "promoted by the registry")


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry's step, which has tests of its own."""
    monkeypatch.setattr(publish, "promote", lambda *_given: PROMOTED)


def step(settings: Settings, root: Path) -> PromotionRecord:
    job: Any = SimpleNamespace(settings=settings, root=root, strategy=strategy(), actor="the month")
    judged: Any = SimpleNamespace(decision=SimpleNamespace(promote=True))
    registered: Any = SimpleNamespace(version=7)
    champion: Any = SimpleNamespace(version=6)
    return retrain.promote_model.fn(job, judged, registered, champion)


def backups(settings: Settings) -> list[str]:
    rows = EventLedger.from_settings(settings).rows("", kinds=["backup"])
    return [str(row.content["reason"]) for row in rows]


@pytest.mark.parametrize(
    ("word", "outcome"), [("require", "refused"), ("if_configured", "promoted"), ("no", "promoted")]
)
def test_without_a_repository(tmp_path: Path, word: Any, outcome: str) -> None:  # noqa: ANN401  a word of the setting
    folders = Paths(data=tmp_path / "data", runs=tmp_path / "runs", mlruns=tmp_path / "mlruns")
    found = step(Settings(paths=folders, backup=Backup(before_promotion=word)), tmp_path)
    assert found.outcome == outcome
    assert ("no backup could be taken" in found.message) == (outcome == "refused")


@pytest.mark.parametrize(("word", "taken"), [("require", 1), ("if_configured", 1), ("no", 0)])
def test_with_a_repository(tmp_path: Path, word: str, taken: int) -> None:
    place = make_place(tmp_path).with_backup(before_promotion=word)
    assert step(place.settings, place.root) == PROMOTED
    assert backups(place.settings) == [f"before the promotion of {strategy().name} v7"] * taken


def test_what_is_damaged_refuses(tmp_path: Path) -> None:
    place = make_place(tmp_path)
    (place.bundle("alpha", 1) / "model.onnx").write_bytes(b"another")
    found = step(place.settings, place.root)
    assert (found.outcome, found.previous_version) == ("refused", 6)
    assert "is damaged" in found.message


def test_a_disk_that_refuses_the_backup_refuses_the_promotion(tmp_path: Path) -> None:
    place = make_place(tmp_path).with_backup(before_promotion="require")
    own = own_folder(place.settings)
    assert not own.exists()
    own.parent.mkdir(parents=True, exist_ok=True)
    own.write_text("in the place of the folder")
    found = step(place.settings, place.root)
    assert (found.outcome, found.previous_version) == ("refused", 6)
    assert "no backup could be taken before it" in found.message


@pytest.mark.parametrize(("environment", "word"), [("development", "if_configured"), ("production", "require")])
def test_production_needs_one(monkeypatch: pytest.MonkeyPatch, environment: str, word: str) -> None:
    monkeypatch.setenv("TIDEGATE_ENVIRONMENT", environment)
    assert load_settings(REPOSITORY).backup.before_promotion == word
