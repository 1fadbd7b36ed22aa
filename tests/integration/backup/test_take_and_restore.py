"""A backup taken while a writer commits without a pause, and what comes out of it in an empty folder."""

import itertools
import stat
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.integration.backup.place import Place, make_place, some_bars

from tidegate.backup.chains import read_chains_of_file
from tidegate.backup.listing import list_backups
from tidegate.backup.manifest import BackupRecord
from tidegate.backup.opening import open_keys_repository, open_repository
from tidegate.backup.places import Choice
from tidegate.backup.require import require_backup
from tidegate.backup.restore import Restored, restore
from tidegate.bars.store import BarStore
from tidegate.errors import BackupError, ConfigurationError
from tidegate.model.bundle import verify_files
from tidegate.registry.database import Database
from tidegate.registry.events import EventLedger

pytestmark = pytest.mark.slow

ALL: tuple[Choice, ...] = ("databases", "models", "bars", "runs", "predictions", "configuration", "keys")


@dataclass
class Story:
    place: Place
    record: BackupRecord
    restored: Restored
    written: int


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    folder = tmp_path_factory.mktemp("backup")
    place = make_place(folder)
    stop, writing, written = threading.Event(), threading.Event(), 0

    def write() -> None:
        nonlocal written
        events = EventLedger(Database(f"sqlite:///{place.ledger_file}"))
        for number in itertools.count():
            events.append("alarm", strategy="alpha", subject=f"number {number}", actor="test", content={"at": number})
            written += 1
            if number == 3:
                writing.set()
            if stop.is_set():
                return

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert writing.wait(60)
        record = place.back_up()
    finally:
        stop.set()
        writer.join()
    restored = restore(place.settings, folder / "restored", only=ALL)
    return Story(place, record, restored, written)


def test_the_ledger_that_was_written_to_is_whole(story: Story) -> None:
    chains = read_chains_of_file(story.restored.places["ledger"])
    manifest = story.restored.manifest
    assert (chains.head, chains.events_head) == (manifest.ledger_head, manifest.events_head)
    assert [row.to_version for row in chains.rows] == [1, 1]
    copied = EventLedger(Database(f"sqlite:///{story.restored.places['ledger']}")).rows("alpha")
    assert 0 < len(copied) < story.written
    assert [event.content["at"] for event in copied] == list(range(len(copied)))


def test_the_models_bars_and_records_are_the_same(story: Story) -> None:
    place, folder = story.place, story.restored.folder
    bundle = place.bundle("alpha", 1).relative_to(place.root)
    assert verify_files(folder / bundle) == place.manifests["alpha", 1]
    for path in ("runs/2026-11/report.html", "runs/predictions/one/000000000001.log", "configs/strategies/one.yaml"):
        assert (folder / path).read_bytes() == (place.root / path).read_bytes()
    bars = some_bars()
    assert BarStore(folder / "data").load("EUR/USD", bars.interval).content_hash() == bars.content_hash()
    assert (folder / "mlruns" / "mlflow.db").is_file()
    assert (folder / "data" / "prefect" / "prefect.db").is_file()


def test_keys_come_from_their_own_repository_with_their_rights(story: Story) -> None:
    place = story.place
    for name in ("private.pem", "api.yaml"):
        original = place.root / "keys" / name
        copied = story.restored.places["keys"] / str(original).lstrip("/")
        assert copied.read_bytes() == original.read_bytes()
        assert stat.S_IMODE(copied.stat().st_mode) == 0o600
    repository = open_repository(place.settings)
    listed = list_backups(repository).newest()
    paths = list(listed.manifest(repository).artifacts)
    assert not [path for path in paths if path.endswith(".pem")]
    keys = open_keys_repository(place.settings)
    assert keys is not None
    with pytest.raises(BackupError, match=r"private\.pem"):
        repository.read(listed.snapshot, str(place.root / "keys" / "private.pem"))


def test_nothing_of_it_can_be_read_in_the_repository(story: Story) -> None:
    folder = Path(str(story.place.settings.backup.repository))
    stored = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert len(stored) > 10_000
    assert b"alpha" not in stored


def test_the_record_says_what_it_holds_and_is_in_the_event_ledger(story: Story) -> None:
    record, place = story.record, story.place
    assert record.production == {"alpha": 1}
    assert record.damaged == ()
    assert record.keys == record.id
    event = EventLedger.from_settings(place.settings).newest("", "backup")
    assert event is not None
    assert event.content == record.model_dump(mode="json")
    (listed,) = list_backups(open_repository(place.settings)).backups
    assert (listed.id, listed.versions) == (record.id, ["alpha/v1"])
    assert listed.record(open_repository(place.settings)).model_copy(update={"warnings": record.warnings}) == record
    assert require_backup(place.settings, 1.0).id == record.id
    with pytest.raises(BackupError, match="one of the last 0 hours"):
        require_backup(place.settings, 0.0)
    with pytest.raises(BackupError, match="one of the last nan hours"):
        require_backup(place.settings, float("nan"))


def test_copies_are_gone_after_the_backup(story: Story) -> None:
    assert [path.name for path in (story.place.root / "data" / "backup").iterdir()] == ["backup.lock"]


def test_nothing_is_restored_over_what_is_there(story: Story) -> None:
    before = sorted(story.restored.folder.rglob("*"))
    with pytest.raises(BackupError, match="is not empty"):
        restore(story.place.settings, story.restored.folder)
    assert sorted(story.restored.folder.rglob("*")) == before


def test_a_part_and_a_name_that_are_not_there_are_refused(story: Story, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="no backup begins with 1999"):
        restore(story.place.settings, tmp_path / "a", backup="1999")
    with pytest.raises(ConfigurationError, match="no PostgreSQL dump of mlflow"):
        restore(story.place.settings, tmp_path / "b", databases={"mlflow": "postgresql://x@127.0.0.1:1/x"})
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keys": True}, "wrong password|correct the password's file"),
        ({"repository": "/nowhere/at/all"}, "tidegate backup --init"),
        ({"restic": "/nowhere/restic"}, "is not on this machine"),
    ],
)
def test_what_cannot_be_opened_is_told(story: Story, changes: dict[str, object], message: str) -> None:
    if "keys" in changes:
        changes = {"password_file": story.place.settings.backup.keys_password_file}
    with pytest.raises((BackupError, ConfigurationError), match=message):
        list_backups(open_repository(story.place.with_backup(**changes).settings))
