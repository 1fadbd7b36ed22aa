"""Versions that must be restorable, by the ledger's rows; and bundles found by digest."""

import itertools
import os
from pathlib import Path
from typing import Any

import pytest
from tests.registry_factories import write_bundle

from tidegate.backup.bundles import (
    artifact_digests,
    bundle_fault,
    bundle_folders,
    bundle_of,
    protected_digests,
    signature_fault,
    wanted_versions,
)
from tidegate.errors import BackupError
from tidegate.keys.signing import Signer, production_message
from tidegate.registry.state import LedgerRow


def rows(*acts: tuple[str, str, int | None]) -> list[LedgerRow]:
    """Committed rows of (strategy, action, to); a version's digest is its name."""
    numbers, current = itertools.count(1), dict[str, int | None]()
    found = []
    for strategy, action, to in acts:
        at: Any = action
        digest = None if to is None else f"{strategy}/v{to}"
        before = current.get(strategy)
        fields: tuple[Any, ...] = (at, before, to, digest, "committed", None, 1, "a", "r", {}, 0, "", "")
        found.append(LedgerRow(next(numbers), strategy, *fields))
        if action in {"promote", "rollback"}:
            current[strategy] = to
    return found


def names(found: list[LedgerRow], keep: int = 3) -> list[str]:
    return [f"{one.name}{'!' if one.production else ''}" for one in wanted_versions(found, keep)]


def test_the_newest_production_versions_of_each_strategy_are_wanted() -> None:
    acts = [("b", "promote", 1), *(("a", "promote", version) for version in (1, 2, 3, 4, 5))]
    assert names(rows(*acts)) == ["a/v5!", "a/v4", "a/v3", "a/v2", "b/v1!"]
    assert protected_digests(rows(*acts)) == {"a/v5", "a/v4", "b/v1"}


def test_a_barred_version_takes_nobodys_place() -> None:
    acts = rows(("a", "promote", 1), ("a", "promote", 2), ("a", "rollback", 1), ("a", "bar", 2), ("a", "promote", 3))
    assert names(acts) == ["a/v3!", "a/v1", "a/v2"]
    assert protected_digests(acts) == {"a/v3", "a/v1"}


def test_what_a_rollback_would_go_back_to_is_known() -> None:
    acts = rows(("a", "promote", 1), ("a", "promote", 2), ("a", "promote", 3), ("a", "bar", 2))
    assert [(one.version, one.fallback) for one in wanted_versions(acts, 3)] == [(3, False), (2, False), (1, True)]


def test_without_rows_nothing_is_wanted() -> None:
    assert wanted_versions([], 3) == []
    assert protected_digests([]) == set()


@pytest.fixture
def artifacts(tmp_path: Path) -> Path:
    bundle = tmp_path / "1" / "models" / "m-1" / "artifacts" / "bundle"
    made = write_bundle(bundle)
    (bundle.parent / "signature").mkdir()
    (bundle.parent / "signature" / "manifest.sig").write_bytes(Signer.new().sign(production_message(made.digest())))
    (tmp_path / "1" / "bundle.txt").write_text("no bundle")
    return tmp_path


def test_bundles_are_found_by_their_digest_and_paths_know_their_bundle(artifacts: Path) -> None:
    digests = artifact_digests(artifacts)
    assert len(digests) == 6
    folder = "1/models/m-1/artifacts/bundle"
    assert bundle_folders(digests) == {digests[f"{folder}/manifest.json"]: folder}
    assert bundle_of(f"{folder}/model.onnx") == folder
    assert bundle_of("1/models/m-1/artifacts/signature/manifest.sig") is None
    assert bundle_of("bundle.txt") is None


def test_what_could_not_be_restored_as_it_is_refuses(artifacts: Path) -> None:
    (artifacts / "elsewhere").symlink_to(artifacts / "1" / "bundle.txt")
    with pytest.raises(BackupError, match="elsewhere is a symbolic link"):
        artifact_digests(artifacts)
    (artifacts / "elsewhere").unlink()
    (artifacts / "folder").symlink_to(artifacts / "1")
    with pytest.raises(BackupError, match="folder is a symbolic link"):
        artifact_digests(artifacts)
    (artifacts / "folder").unlink()
    odd = artifacts / "1" / os.fsdecode(b"\xff.txt")
    odd.write_text("x")
    with pytest.raises(BackupError, match="no UTF-8"):
        artifact_digests(artifacts)
    odd.unlink()
    assert len(artifact_digests(artifacts)) == 6


def test_each_fault_of_a_bundle_is_told(artifacts: Path) -> None:
    folder = artifacts / "1/models/m-1/artifacts/bundle"
    (digest,) = bundle_folders(artifact_digests(artifacts))
    assert bundle_fault(folder, digest) is None
    assert "the ledger names" in str(bundle_fault(folder, "0" * 64))
    (folder / "model.onnx").write_bytes(b"x")
    assert "was altered" in str(bundle_fault(folder, digest))
    (folder / "model.onnx").unlink()
    assert "model.onnx cannot be read" in str(bundle_fault(folder, digest))
    (folder / "manifest.json").unlink()
    assert bundle_fault(folder, digest)


def test_each_fault_of_a_signature_is_told(artifacts: Path) -> None:
    folder = artifacts / "1/models/m-1/artifacts/bundle"
    (digest,) = bundle_folders(artifact_digests(artifacts))
    stranger, signer = Signer.new().verifier(), Signer.new()
    assert signature_fault(folder, digest, None) is None
    assert "not trusted" in str(signature_fault(folder, digest, stranger))
    path = folder.parent / "signature" / "manifest.sig"
    path.write_bytes(signer.sign(production_message(digest)))
    assert signature_fault(folder, digest, signer.verifier()) is None
    assert "is wrong" in str(signature_fault(folder, "0" * 64, signer.verifier()))
    path.unlink()
    assert signature_fault(folder, digest, stranger) == "its signature manifest.sig is missing"
