"""A maintenance window holds back what the gates would promote, and nothing that a person does."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from tests.integration.pipeline.small_market import give_mlflow, job, settings, strategy
from tests.registry_factories import Crash, decision, manifest

from tidegate.pipeline import publish
from tidegate.pipeline.judge import Judged
from tidegate.pipeline.publish import Registered
from tidegate.registry.events import EventLedger
from tidegate.registry.promotion import Promoter
from tidegate.report.record import PromotionRecord
from tidegate.rollback.maintenance import EVERY, end, start, windows

NAME = "simulated-small"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    give_mlflow(tmp_path)
    return tmp_path


def asked(folder: Path, monkeypatch: pytest.MonkeyPatch, *, promote: bool = True) -> PromotionRecord:
    """What the pipeline's last step says; Crash where it really asks the registry to promote."""

    def reached(*_: object, **__: object) -> None:
        raise Crash

    monkeypatch.setattr(Promoter, "promote", reached)
    judged = cast("Judged", SimpleNamespace(decision=decision(manifest(strategy=NAME), promote=promote)))
    return publish.promote(job(strategy(), settings(folder)), judged, Registered(4, "run", "1"), None)


@pytest.mark.parametrize("whose", [NAME, EVERY])
def test_a_window_freezes_automatic_promotion(folder: Path, monkeypatch: pytest.MonkeyPatch, whose: str) -> None:
    events = EventLedger.from_settings(settings(folder))
    now = events.database.clock()
    start(events, whose, until=now + 60_000, actor="ann", reason="new disks")
    record = asked(folder, monkeypatch)
    assert (record.outcome, record.version, record.previous_version) == ("refused", 4, None)
    assert "maintenance until" in record.message
    assert "(ann: new disks)" in record.message
    assert f"tidegate promote {NAME} 4" in record.message
    end(events, windows(events, now)[0], actor="ann", reason="done")
    with pytest.raises(Crash):
        asked(folder, monkeypatch)


def test_another_strategys_window_freezes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = EventLedger.from_settings(settings(folder))
    start(events, "other", until=events.database.clock() + 60_000, actor="ann", reason="new disks")
    with pytest.raises(Crash):
        asked(folder, monkeypatch)


def test_what_the_gates_refuse_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = EventLedger.from_settings(settings(folder))
    start(events, NAME, until=events.database.clock() + 60_000, actor="ann", reason="new disks")
    assert "maintenance" not in asked(folder, monkeypatch, promote=False).message
