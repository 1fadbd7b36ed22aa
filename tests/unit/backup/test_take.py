"""What restic could not read: files that come and go may be missing, nothing else."""

import os
from pathlib import Path

import pytest

from tidegate.backup import restic
from tidegate.backup.places import Installation, Part
from tidegate.backup.restic import Summary
from tidegate.backup.take import _require_whole
from tidegate.errors import BackupError


@pytest.fixture
def place(tmp_path: Path) -> Installation:
    parts = []
    for name in ("artifacts", "runs"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "there").write_text("x")
        parts.append(Part(name, tmp_path / name, Path(name)))
    return Installation(tmp_path, (), tuple(parts), (), (), tmp_path / "staging")


def summary(*unreadable: Path) -> Summary:
    return Summary(1, 1, 1, tuple((str(path), "Permission denied") for path in unreadable))


def test_a_file_that_went_from_the_records_is_only_told(place: Installation) -> None:
    assert _require_whole(summary(), place) == []
    gone = place.root / "runs" / "gone"
    assert _require_whole(summary(gone), place) == ["1 files went while they were read"]


@pytest.mark.parametrize("path", ["runs/there", "artifacts/there", "artifacts/gone", "elsewhere"])
def test_what_is_there_or_must_be_there_refuses_the_backup(place: Installation, path: str) -> None:
    with pytest.raises(BackupError, match=rf"1 files could not be read: .*{path}: Permission denied"):
        _require_whole(summary(place.root / path, place.root / "runs" / "gone"), place)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ({"Op": "open", "Path": "/a", "Err": 13}, os.strerror(13)),
        ({"message": "open /a: permission denied"}, "open /a: permission denied"),
        ("permission denied", "permission denied"),
        ({}, "{}"),
        (None, "None"),
    ],
)
def test_the_reasons_of_several_versions_of_restic_are_read(error: object, reason: str) -> None:
    assert restic._fault({"message_type": "error", "item": "/a", "error": error}) == ("/a", reason)
