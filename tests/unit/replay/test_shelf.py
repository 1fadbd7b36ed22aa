"""The folder-based registry under the real promoter: promote, go back, halt, and the same again from its JSON."""

import json
from pathlib import Path

import pytest
from tests.registry_factories import NOW, REAL, decision, write_bundle

from tidegate.errors import BundleError, PromotionRefused
from tidegate.registry.database import Database
from tidegate.registry.ledger import Ledger
from tidegate.registry.promotion import Promoter
from tidegate.replay.shelf import Shelf


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    found = Shelf("real")
    for version in (1, 2, 3):
        write_bundle(tmp_path / str(version), f"model {version}".encode())
        found.put(version, tmp_path / str(version))
    return found


@pytest.fixture
def promoter(shelf: Shelf, tmp_path: Path) -> Promoter:
    return Promoter(Ledger(Database(f"sqlite:///{tmp_path}/ledger.db", clock=lambda: NOW)), shelf)


def promote(promoter: Promoter, shelf: Shelf, version: int, champion: int | None) -> None:
    judged = decision(shelf.verified_manifest(REAL, version))
    shelf.keep_decision(version, judged)
    promoter.promote(REAL, version, judged, actor="test", reason="test", champion=champion)


def test_a_version_is_promoted_and_gone_back_from(promoter: Promoter, shelf: Shelf) -> None:
    promote(promoter, shelf, 1, None)
    promote(promoter, shelf, 2, 1)
    assert (shelf.alias(REAL, "production"), shelf.alias(REAL, "previous")) == (2, 1)
    promoter.rollback(REAL, actor="test", reason="test", leaving=2)
    assert (promoter.current(REAL), shelf.alias(REAL, "production"), shelf.alias(REAL, "previous")) == (1, 1, None)
    promoter.rollback(REAL, actor="test", reason="test", leaving=1)
    assert (promoter.current(REAL), shelf.alias(REAL, "production")) == (None, None)
    with pytest.raises(PromotionRefused, match="halted"):
        promote(promoter, shelf, 3, None)


def test_the_state_comes_back_from_json(promoter: Promoter, shelf: Shelf, tmp_path: Path) -> None:
    promote(promoter, shelf, 1, None)
    promote(promoter, shelf, 2, 1)
    again = Shelf("real")
    again.restore(shelf.to_json())
    assert again.to_json() == shelf.to_json()
    for version in (1, 2, 3):
        again.put(version, tmp_path / str(version))
    assert again.decision(REAL, 2) == shelf.decision(REAL, 2)
    assert again.signed_state(REAL) == shelf.signed_state(REAL)
    Promoter(promoter.ledger, again).rollback(REAL, actor="test", reason="test", leaving=2)
    assert again.alias(REAL, "production") == 1


def test_a_bundle_is_checked_and_an_unknown_version_is_told(shelf: Shelf, tmp_path: Path) -> None:
    assert shelf.versions(REAL) == [3, 2, 1]
    assert shelf.kind(REAL) == "real"
    with pytest.raises(BundleError, match="knows no version 4"):
        shelf.bundle(4)
    (tmp_path / "3" / "model.onnx").write_bytes(b"altered")
    with pytest.raises(BundleError, match="was altered"):
        shelf.bundle(3)


def test_nothing_is_deleted(shelf: Shelf) -> None:
    shelf.attach_signature(REAL, 1, b"signed")
    assert shelf.signature(REAL, 1) == b"signed"
    assert json.loads(shelf.to_json())["signatures"] == {"1": b"signed".hex()}
    assert shelf.prune(REAL, protected=(), keep=3) == []
    assert shelf.versions(REAL) == [3, 2, 1]
