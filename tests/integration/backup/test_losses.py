"""Installations that have lost something: their next backup does not push out the ones that have it; and a backup that is what its manifest says."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.integration.backup.place import Place, make_place
from tests.integration.backup.test_damage import flip
from tests.unavailable import unavailable

from tidegate.backup.listing import list_backups
from tidegate.backup.manifest import BackupRecord
from tidegate.backup.opening import open_keys_repository, open_repository
from tidegate.backup.require import require_backup
from tidegate.backup.restore import restore
from tidegate.backup.take import take_backup
from tidegate.backup.verify import verify_backups
from tidegate.errors import BackupError, ConfigurationError

pytestmark = pytest.mark.slow

REPORT = "1/run/artifacts/report.html"


@pytest.fixture(scope="module")
def backed_up(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, BackupRecord]:
    """With rules that forget all but the newest backup."""
    made = make_place(tmp_path_factory.mktemp("losses")).with_backup(keep_daily=1, keep_weekly=0, keep_monthly=0)
    return made, made.back_up()


def copied(place: Place, folder: Path) -> Place:
    """The installation and its repositories, elsewhere."""
    backup = place.settings.backup
    for address in (backup.repository, backup.keys_repository):
        shutil.copytree(str(address), folder / Path(str(address)).name)
    return place.copied(folder / "project").with_backup(
        repository=str(folder / "repository"), keys_repository=str(folder / "keys-repository")
    )


def names(place: Place) -> list[str]:
    return [one.id for one in list_backups(open_repository(place.settings)).backups]


def test_what_was_emptied_refuses_a_backup_and_pushes_none_out(
    backed_up: tuple[Place, BackupRecord], tmp_path: Path
) -> None:
    original, first = backed_up
    place = copied(original, tmp_path)
    mlflow = place.root / "mlruns" / "mlflow.db"
    kept = mlflow.read_bytes()
    mlflow.write_bytes(b"")
    with pytest.raises(BackupError, match=r"mlflow\.db is damaged: it holds no table"):
        place.back_up()
    mlflow.write_bytes(kept)

    shutil.move(place.root / "data" / "bars", tmp_path / "bars")
    with pytest.raises(BackupError, match="the folder data/bars is not there; it had 2 files"):
        place.back_up()
    (place.root / "data" / "bars").mkdir()
    with pytest.raises(BackupError, match="the folder data/bars is empty; it had 2 files"):
        place.back_up()
    assert names(place) == [first.id]

    for file in place.ledger_file.parent.glob("ledger.db*"):
        file.unlink()
    place.ledger_file.touch()
    with pytest.raises(BackupError, match=r"ledger\.db is damaged: it holds no table"):
        place.back_up()
    assert place.ledger_file.stat().st_size == 0, "a look must not make tables in what is damaged"
    assert place.ledger.rows() == []  # a new, empty one in its place
    with pytest.raises(BackupError, match=r"the promotion ledger is another one, or was cut off.*data/bars is empty"):
        place.back_up()
    assert names(place) == [first.id]

    second = take_backup(place.settings, place.root, reason="test", actor="test", accept_loss=True)
    assert [one for one in second.warnings if one.startswith(f"lost since backup {first.id}: the folder data/bars")]
    assert second.forgotten == ()
    assert names(place) == [first.id, second.id]


def test_a_newest_backup_that_is_gone_is_missed(backed_up: tuple[Place, BackupRecord], tmp_path: Path) -> None:
    place = copied(backed_up[0], tmp_path).with_backup(keep_daily=2, keys_repository=None)
    shutil.copytree(tmp_path / "repository", tmp_path / "old repository")
    second = place.back_up()
    assert verify_backups(place.settings, place.root, actor="test").is_well
    old = place.with_backup(repository=str(tmp_path / "old repository"))
    (one,) = verify_backups(old.settings, old.root, actor="test").findings
    assert f"the newest backup {second.id} is gone" in one.what


def test_another_installation_is_refused(backed_up: tuple[Place, BackupRecord], tmp_path: Path) -> None:
    original, first = backed_up
    other = make_place(tmp_path / "other").with_backup(repository=original.settings.backup.repository)
    with pytest.raises(BackupError, match="the promotion ledger is another one"):
        other.back_up()
    assert names(original) == [first.id]


def test_an_artifact_altered_without_a_trace_is_stored_as_the_manifest_says(
    backed_up: tuple[Place, BackupRecord], tmp_path: Path
) -> None:
    place = copied(backed_up[0], tmp_path)
    report = place.artifacts / REPORT
    place.back_up()
    before = report.stat()
    flip(report)
    os.utime(report, ns=(before.st_atime_ns, before.st_mtime_ns))
    place.back_up()
    done = restore(place.settings, tmp_path / "restored", only=["models"])
    assert (done.places["artifacts"] / REPORT).read_bytes() == report.read_bytes()


def test_the_order_of_backups_is_not_that_of_a_clock_that_jumped(
    backed_up: tuple[Place, BackupRecord], tmp_path: Path
) -> None:
    place = copied(backed_up[0], tmp_path)
    later = tmp_path / "later-restic"
    later.write_text('#!/bin/sh\nif [ "$1" = backup ]; then shift; set -- backup --time "2099-01-01 00:00:00" "$@"; fi\nexec restic "$@"\n')  # fmt: skip
    later.chmod(0o755)
    ahead = place.with_backup(restic=str(later)).back_up()
    with pytest.raises(BackupError, match="the newest backup is of 2099"):
        require_backup(place.settings, 1.0)
    record = place.back_up()
    assert list_backups(open_repository(place.settings)).newest().id == record.id
    assert record.forgotten == (ahead.id,)
    assert require_backup(place.settings, 1.0).id == record.id


def test_keys_of_backups_elsewhere_are_not_forgotten(backed_up: tuple[Place, BackupRecord], tmp_path: Path) -> None:
    original, first = backed_up
    place = copied(original, tmp_path)
    # A new repository for backups; that of keys goes on.
    again = place.with_backup(repository=str(tmp_path / "new"))
    take = [take_backup(again.settings, again.root, reason="test", actor="test", init=True) for _ in range(2)]
    assert take[1].forgotten == (take[0].id,)
    keys = open_keys_repository(again.settings)
    assert keys is not None
    assert [one.values("backup") for one in keys.snapshots()] == [(first.id,), (take[1].id,)]


# Removes the snapshot before its closing record comes, as another installation would that tidies up.
STEALING = """\
#!/bin/sh
case "$*" in *tidegate-closing*)
  restic forget --tag tidegate --keep-tag none > {folder}/told 2>&1
  for id in $(restic snapshots --tag tidegate --json | grep -o '"short_id":"[^"]*' | cut -d'"' -f4); do restic forget "$id" >> {folder}/told 2>&1; done
esac
exec restic "$@"
"""


def test_a_backup_whose_snapshot_somebody_took_away_is_none(
    backed_up: tuple[Place, BackupRecord], tmp_path: Path
) -> None:
    place = copied(backed_up[0], tmp_path)
    stealing = tmp_path / "stealing-restic"
    stealing.write_text(STEALING.format(folder=tmp_path))
    stealing.chmod(0o755)
    with pytest.raises(BackupError, match="was stored, and is not in the repository any more"):
        place.with_backup(restic=str(stealing)).back_up()


def test_a_repository_that_can_only_be_read_is_restored_from(
    backed_up: tuple[Place, BackupRecord], tmp_path: Path
) -> None:
    place = copied(backed_up[0], tmp_path)
    address = str(place.settings.backup.repository)
    mounted = subprocess.run(["mount", "--bind", address, address], check=False, capture_output=True).returncode == 0
    if not mounted or subprocess.run(["mount", "-o", "remount,bind,ro", address], check=False).returncode:
        unavailable("nothing can be mounted here")
    try:
        done = restore(place.settings, tmp_path / "restored", only=["models"])
        assert (done.places["artifacts"] / REPORT).is_file()
        assert open_repository(place.settings).check("all") == []
    finally:
        subprocess.run(["umount", address], check=True)


def test_an_address_without_databases_is_refused(backed_up: tuple[Place, BackupRecord], tmp_path: Path) -> None:
    urls: dict[object, str] = {"ledger": "postgresql://x@127.0.0.1:1/x"}
    with pytest.raises(ConfigurationError, match="no databases are restored"):
        restore(backed_up[0].settings, tmp_path / "to", only=["models"], databases=urls)  # type: ignore[arg-type]
    assert not (tmp_path / "to").exists()
