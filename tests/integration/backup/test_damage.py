"""Damage put into a real installation and into a real repository: each is found, named with what mends it, and mended."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.integration.backup.place import Place, make_place

from tidegate.backup.drill import drill
from tidegate.backup.finding import Seen
from tidegate.backup.in_place import mend
from tidegate.backup.listing import list_backups
from tidegate.backup.live import compare
from tidegate.backup.manifest import BackupManifest, BackupRecord
from tidegate.backup.opening import open_repository
from tidegate.backup.places import installation
from tidegate.backup.require import take_or_refuse
from tidegate.backup.verify import verify_backups
from tidegate.errors import BackupError
from tidegate.model.bundle import verify_files
from tidegate.registry.events import EventLedger

pytestmark = pytest.mark.slow


@dataclass
class Story:
    place: Place
    first: BackupRecord
    second: BackupRecord
    manifest: BackupManifest
    refused: str


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def found(place: Place, story: "Story") -> dict[str, tuple[str, str]]:
    """What a look at a live installation finds: place within the project to what, and what mends it."""
    seen = Seen()
    compare(seen, installation(place.settings, place.root), story.manifest, place.settings)
    return {one.where.replace(f"{place.root}/", ""): (one.what, one.mend) for one in seen.findings}


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """The first backup is whole; before the second, the bundle in production was damaged, and so it lies damaged in the newest backup."""
    place = make_place(tmp_path_factory.mktemp("damage"))
    first = place.back_up()
    flip(place.bundle("alpha", 1) / "model.onnx")
    with pytest.raises(BackupError) as refused:
        take_or_refuse(place.settings, "a promotion", actor="test", root=place.root)
    repository = open_repository(place.settings)
    newest = list_backups(repository).newest()
    return Story(place, first, newest.record(repository), newest.manifest(repository), str(refused.value))


def test_a_damaged_bundle_in_production_refuses_what_needs_a_backup(story: Story) -> None:
    assert "what is in production is damaged: alpha/v1" in story.refused
    assert story.second.damaged == ("alpha/v1",)
    assert any("alpha/v1 is damaged: " in warning and "was altered" in warning for warning in story.second.warnings)


def test_the_backup_that_alone_holds_it_whole_is_not_forgotten(story: Story) -> None:
    backups = list_backups(open_repository(story.place.settings)).backups
    assert [(one.id, one.versions) for one in backups] == [(story.first.id, ["alpha/v1"]), (story.second.id, [])]


def test_a_flipped_byte_is_found_and_mended_from_the_backup_that_has_it_whole(story: Story) -> None:
    place, bundle = story.place, "1/models/m-alpha-1/artifacts/bundle"
    verdict = verify_backups(place.settings, place.root, actor="test", with_live=True)
    # The newest backup holds the same damage: the bundle's own manifest tells.
    (one,) = verdict.findings
    assert one.where == f"{place.artifacts}/{bundle}/manifest.json"
    assert one.mend == f"`tidegate restore --in-place --artifact {bundle}`"
    (done,) = mend(place.settings, place.root, actor="test", artifact=bundle)
    assert (done.path, done.backup) == (bundle, story.first.id)
    assert verify_files(place.bundle("alpha", 1)) == place.manifests["alpha", 1]
    assert done.aside is not None
    assert (done.aside / "model.onnx").is_file()
    assert sorted(path.name for path in place.bundle("alpha", 1).parent.iterdir()) == ["MLmodel", "bundle", "signature"]
    event = EventLedger.from_settings(place.settings).newest("", "restored")
    assert event is not None
    assert event.content["artifacts"][0]["path"] == bundle


def test_a_drill_with_a_damaged_backup_fails_and_says_why(story: Story) -> None:
    place = story.place
    report = drill(place.settings, place.root, actor="test", backup=story.second.id)
    ((name, fault),) = [(case.name, case.fault) for case in report.cases]
    assert name == "outage"
    assert "the restored bundle of alpha/v1 is damaged" in fault
    assert not report.passed
    event = EventLedger.from_settings(place.settings).newest("", "restore_drill")
    assert event is not None
    assert event.content["passed"] is False


def test_truncated_databases_and_deleted_artifacts_are_found_and_named(story: Story, tmp_path: Path) -> None:
    place = story.place.copied(tmp_path / "project")
    for path in ("mlruns/mlflow.db", "data/ledger/ledger.db"):
        file = place.root / path
        for beside in file.parent.glob(f"{file.name}-*"):
            beside.unlink()
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    report = "1/run/artifacts/report.html"
    (place.artifacts / report).unlink()
    (place.bundle("alpha", 1).parent / "signature" / "manifest.sig").unlink()
    named = found(place, story)
    for database in ("mlflow mlruns/mlflow.db", "ledger data/ledger/ledger.db"):
        what, step = named[f"live database {database}"]
        assert "malformed" in what or "not a database" in what
        assert "tidegate restore --to FOLDER --only databases" in step
    assert named[f"mlruns/artifacts/{report}"] == ("it is gone", f"`tidegate restore --in-place --artifact {report}`")
    assert named["mlruns/artifacts/1/models/m-alpha-1/artifacts/signature/manifest.sig"][0] == "it is gone"
    # A look must not write into what is damaged.
    assert (place.root / "data/ledger/ledger.db").stat().st_size < story.place.ledger_file.stat().st_size


def test_a_cut_off_ledger_is_found(story: Story, tmp_path: Path) -> None:
    place = story.place.copied(tmp_path / "project")
    place.ledger_file.unlink()
    assert place.ledger.rows() == []  # a new, empty one in its place
    assert "was cut off" in found(place, story)["live database ledger data/ledger/ledger.db"][0]


def test_a_damaged_repository_is_found(story: Story, tmp_path: Path) -> None:
    original = Path(str(story.place.settings.backup.repository))
    copied = tmp_path / "repository"
    shutil.copytree(original, copied)
    pack = max((path for path in (copied / "data").rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    pack.chmod(0o600)
    flip(pack)
    place = story.place.with_backup(repository=str(copied), keys_repository=None)
    verdict = verify_backups(place.settings, place.root, actor="test", read="all")
    assert not verdict.is_well
    assert any(pack.name[:8] in one.what for one in verdict.findings)
    assert any("backup.keys_repository is not set" in note for note in verdict.notes)
