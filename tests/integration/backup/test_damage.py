"""Damage put into a real installation and into a real repository: each is found, named with what mends it, and mended."""

import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import SecretStr
from tests.integration.backup.place import Place, make_place
from tests.integration.notify.receivers import WebReceiver, web_receiver
from tests.registry_factories import write_bundle

from tidegate.backup.drill import drill
from tidegate.backup.finding import Seen
from tidegate.backup.in_place import mend
from tidegate.backup.listing import list_backups
from tidegate.backup.live import compare
from tidegate.backup.manifest import BackupManifest, BackupRecord
from tidegate.backup.opening import open_repository
from tidegate.backup.places import installation
from tidegate.backup.recording import record
from tidegate.backup.require import take_or_refuse
from tidegate.backup.verify import verify_backups
from tidegate.errors import BackupError
from tidegate.keys.signing import Signer, production_message
from tidegate.model.bundle import verify_files
from tidegate.registry.events import EventLedger
from tidegate.settings.operations import Notify
from tidegate.settings.serving import Signing
from tidegate.settings.settings import Ledger

pytestmark = pytest.mark.slow

REPORT = "1/run/artifacts/report.html"


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
    # What a killed mending left is taken away by the next one.
    left = place.bundle("alpha", 1).with_name(".bundle.mending-1")
    left.mkdir()
    (left / "model.onnx").write_text("half")
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


def test_emptied_folders_are_found(story: Story, tmp_path: Path) -> None:
    place = story.place.copied(tmp_path / "project")
    shutil.rmtree(place.root / "data" / "bars")
    for path in (place.root / "configs").rglob("*.yaml"):
        path.unlink()
    named = found(place, story)
    assert named["live folder data/bars"][0] == "it is not there; the backup has 2 files"
    assert "--only bars" in named["live folder data/bars"][1]
    assert named["live folder configs"][0] == "it is empty; the backup has 1 files"


def test_a_database_cut_off_to_nothing_is_found(story: Story, tmp_path: Path) -> None:
    place = story.place.copied(tmp_path / "project")
    (place.root / "mlruns" / "mlflow.db").write_bytes(b"")
    assert found(place, story)["live database mlflow mlruns/mlflow.db"][0] == "it holds no table"


def test_a_new_database_in_the_place_of_mlflows_is_found(story: Story, tmp_path: Path) -> None:
    place = story.place.copied(tmp_path / "project")
    where = "live database mlflow, alpha/v1"
    with closing(sqlite3.connect(place.root / "mlruns" / "mlflow.db")) as connection, connection:
        connection.execute("CREATE TABLE logged_models (model_id TEXT, lifecycle_stage TEXT)")
        connection.execute("INSERT INTO logged_models VALUES ('m-alpha-1', 'active')")
    assert where not in found(place, story)
    with closing(sqlite3.connect(place.root / "mlruns" / "mlflow.db")) as connection, connection:
        connection.execute("DELETE FROM logged_models")
    assert found(place, story)[where][0] == "it does not know this version's model"


def test_a_cut_off_event_ledger_is_found(story: Story, tmp_path: Path) -> None:
    place = story.place.copied(tmp_path / "project")
    with closing(sqlite3.connect(place.ledger_file)) as connection, connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("DELETE FROM events")
    assert "the event ledger was cut off" in found(place, story)["live database ledger data/ledger/ledger.db"][0]


def test_a_signature_of_a_new_key_is_no_damage_and_stays(story: Story, tmp_path: Path) -> None:
    place = story.place.copied(tmp_path / "project")
    signer = Signer.new()
    (place.root / "keys" / "new.pem").write_bytes(signer.public_pem())
    signature = place.bundle("alpha", 1).parent / "signature" / "manifest.sig"
    signature.write_bytes(signer.sign(production_message(place.manifests["alpha", 1].digest())))
    name = "mlruns/artifacts/1/models/m-alpha-1/artifacts/signature/manifest.sig"
    assert name in found(place, story), "the key is not trusted yet"
    place.settings = place.settings.model_copy(
        update={"signing": Signing(public_key_files=(place.root / "keys" / "new.pem",))}
    )
    assert name not in found(place, story)
    before = signature.read_bytes()
    assert name not in [one.path for one in mend(place.settings, place.root, actor="test")]
    assert signature.read_bytes() == before


def test_what_can_be_mended_is_and_is_recorded_where_something_else_cannot(story: Story, tmp_path: Path) -> None:
    place = story.place.copied(tmp_path / "project")
    (place.artifacts / REPORT).unlink()
    unknown = place.artifacts / "0/models/m-new/artifacts/bundle"
    write_bundle(unknown)
    flip(unknown / "model.onnx")
    # A model is registered file by file.
    assert not [name for name in found(place, story) if "m-new" in name]
    for path in (unknown, *unknown.iterdir()):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    assert [name for name in found(place, story) if "m-new" in name]
    with pytest.raises(BackupError, match="no backup holds 0/models/m-new/artifacts/bundle whole"):
        mend(place.settings, place.root, actor="test")
    assert (place.artifacts / REPORT).is_file()
    event = EventLedger.from_settings(place.settings).newest("", "restored")
    assert event is not None
    assert REPORT in [one["path"] for one in event.content["artifacts"]]


def test_a_bundle_that_a_rollback_would_go_back_to_and_nobody_holds_is_found(tmp_path: Path) -> None:
    place = make_place(tmp_path)
    flip(place.bundle("alpha", 1) / "model.onnx")
    place.promote("alpha", 2)
    taken = place.back_up()
    assert (taken.production, taken.damaged) == ({"alpha": 2}, ())
    assert any("alpha/v1, which a rollback would go back to, is damaged" in one for one in taken.warnings)
    (one,) = verify_backups(place.settings, place.root, actor="test").findings
    assert (one.where, "was altered" in one.what) == ("alpha/v1", True)

    shutil.rmtree(place.bundle("alpha", 1))
    place.back_up()
    named = {one.where: one.what for one in verify_backups(place.settings, place.root, actor="test").findings}
    assert "no bundle has the digest" in named["alpha/v1"]


def test_keys_that_are_not_in_their_repository_are_found(story: Story, tmp_path: Path) -> None:
    empty = tmp_path / "keys-repository"
    environment = {**os.environ, "RESTIC_PASSWORD": "second"}
    subprocess.run(["restic", "-r", str(empty), "init"], env=environment, check=True, capture_output=True)
    place = story.place.with_backup(keys_repository=str(empty))
    named = {one.where: one.what for one in verify_backups(place.settings, place.root, actor="test").findings}
    assert named[f"backup {story.second.id}, keys"] == f"its keys are not in {empty}"


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


def truncate(place: Place) -> bytes:
    """Cut the live ledger's file off in the middle, and give what is left."""
    for beside in place.ledger_file.parent.glob(f"{place.ledger_file.name}-*"):
        beside.unlink()
    place.ledger_file.write_bytes(place.ledger_file.read_bytes()[: place.ledger_file.stat().st_size // 2])
    return place.ledger_file.read_bytes()


def alter(place: Place) -> bytes:
    """Change a row of the promotion ledger behind its back, as no trigger would let anybody: the file itself is whole."""
    with closing(sqlite3.connect(place.ledger_file)) as database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {name}")
        database.execute("UPDATE promotion_ledger SET actor = 'nobody'")
        database.commit()
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return place.ledger_file.read_bytes()


@pytest.fixture(params=[truncate, alter])
def lost(request: pytest.FixtureRequest, story: Story, tmp_path: Path) -> Iterator[tuple[Place, WebReceiver, bytes]]:
    """An installation whose ledger is damaged, and who is told."""
    place = story.place.copied(tmp_path / "project")
    left = request.param(place)
    with web_receiver() as receiver:
        notify = Notify(webhook_urls=(receiver.url,))
        place.settings = place.settings.model_copy(update={"notify": notify})
        yield place, receiver, left


def told(receiver: WebReceiver) -> list[tuple[str, str]]:
    bodies = [json.loads(post.body) for post in receiver.posts]
    return [(body["severity"], body["title"]) for body in bodies]


@pytest.mark.parametrize("with_live", [False, True])
def test_a_damaged_ledger_is_found_by_every_look_and_people_are_told(
    lost: tuple[Place, WebReceiver, bytes], with_live: bool
) -> None:
    place, receiver, left = lost
    verdict = verify_backups(place.settings, place.root, actor="test", with_live=with_live)
    (one,) = [each for each in verdict.findings if each.where.startswith("live database ledger")]
    assert "tidegate restore --to FOLDER --only databases" in one.mend
    assert "not recorded: the live ledger is damaged" in verdict.notes
    assert not verdict.is_well
    assert told(receiver) == [("critical", "the live ledger is damaged")]
    assert place.ledger_file.read_bytes() == left


def test_a_drill_beside_a_damaged_ledger_ends_with_an_answer(
    lost: tuple[Place, WebReceiver, bytes], story: Story
) -> None:
    place, receiver, left = lost
    report = drill(place.settings, place.root, actor="test", backup=story.second.id)
    assert report.unrecorded.startswith("the live ledger is damaged: ")
    assert not report.passed
    assert report.content()["unrecorded"] == report.unrecorded
    assert told(receiver) == [("critical", "the live ledger is damaged")]
    assert place.ledger_file.read_bytes() == left
    assert list((place.settings.paths.data / "backup").glob("drill-*")) == []


def test_without_a_way_to_tell_the_answer_is_the_same(story: Story, tmp_path: Path) -> None:
    place = story.place.copied(tmp_path / "project")
    truncate(place)
    notify = Notify(webhook_urls=("http://127.0.0.1:9",), timeout_s=0.2, attempts=1)
    settings = place.settings.model_copy(update={"notify": notify})
    assert not verify_backups(settings, place.root, actor="test").is_well


def test_a_ledger_that_another_one_holds_is_not_called_damaged(story: Story, tmp_path: Path) -> None:
    place = story.place.copied(tmp_path / "project")
    settings = place.settings.model_copy(update={"ledger": Ledger(busy_timeout_s=1)})
    with closing(sqlite3.connect(place.ledger_file, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        unrecorded = record(settings, "restore_drill", "one", "test", {})
    assert unrecorded is not None
    assert str(unrecorded).startswith("the live ledger could not be written to: ")
    assert "held by another writer" in unrecorded.fault
    assert record(settings, "restore_drill", "one", "test", {}) is None


def test_a_ledger_whose_server_is_out_of_reach_is_not_called_damaged(story: Story) -> None:
    url = SecretStr("postgresql+psycopg://nobody@127.0.0.1:9/tidegate")
    settings = story.place.settings.model_copy(update={"ledger": Ledger(url=url, busy_timeout_s=1)})
    unrecorded = record(settings, "restore_drill", "one", "test", {})
    assert unrecorded is not None
    assert unrecorded.title == "the live ledger could not be written to"
    assert "cannot be reached" in unrecorded.fault


def test_artifacts_that_cannot_be_written_are_told_and_not_a_defect(story: Story, tmp_path: Path) -> None:
    """A file stands where the artifact's folder has to be: as little can be written there as on a disk that is mounted read-only."""
    place = story.place.copied(tmp_path / "project")
    folder = (place.artifacts / REPORT).parent
    shutil.rmtree(folder)
    folder.write_text("in the way")
    with pytest.raises(BackupError, match="cannot be put back") as refused:
        mend(place.settings, place.root, actor="test")
    assert "the service `restore`" in str(refused.value)
    assert folder.read_text() == "in the way"
