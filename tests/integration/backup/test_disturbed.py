"""Backups that are disturbed. kill -9 in the middle: no half one counts, the next run tidies up and succeeds; only one runs at a time."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.integration.backup.place import make_place

from tidegate.backup.listing import list_backups
from tidegate.backup.manifest import TAG
from tidegate.backup.opening import open_repository
from tidegate.backup.restore import restore
from tidegate.errors import BackupError

pytestmark = pytest.mark.slow

# Waits in the middle of the snapshot, and says that it is there.
SLOW = """\
#!/bin/sh
if [ "$1" = backup ] && [ ! -e {folder}/go ]; then
  touch {folder}/there
  while [ ! -e {folder}/go ]; do sleep 0.05; done
fi
exec restic "$@"
"""


def eventually(what: str, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def test_a_killed_backup_does_not_count_and_the_next_one_does(tmp_path: Path) -> None:
    place = make_place(tmp_path)
    slow = tmp_path / "slow-restic"
    slow.write_text(SLOW.format(folder=tmp_path))
    slow.chmod(0o755)
    backup = place.settings.backup
    own = {
        "TIDEGATE_ROOT": str(place.root),
        "TIDEGATE_BACKUP__REPOSITORY": str(backup.repository),
        "TIDEGATE_BACKUP__PASSWORD_FILE": str(backup.password_file),
        "TIDEGATE_BACKUP__RESTIC": str(slow),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "tidegate.cli.main", "backup"], env={**os.environ, **own},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    eventually("restic begins", (tmp_path / "there").exists)
    staging = place.root / "data" / "backup" / "staging"
    assert (staging / "ledger.db").is_file()
    process.send_signal(signal.SIGKILL)
    assert process.wait(20) == -signal.SIGKILL

    # restic outlives its parent and still reads the copies: nobody may take them away.
    with pytest.raises(BackupError, match="another backup of this installation is under way"):
        place.back_up()
    assert (staging / "ledger.db").is_file()
    (tmp_path / "go").touch()
    eventually("the lock is free", lambda: _free(place.root / "data" / "backup" / "backup.lock"))
    repository = open_repository(place.settings)
    assert list_backups(repository).backups == ()

    # A kill between the snapshot and its closing record leaves this.
    repository.back_up([place.artifacts], [TAG, "backup=half", "holds=alpha/v1"])
    listing = list_backups(repository)
    assert listing.backups == ()
    assert listing.halves
    with pytest.raises(BackupError, match="no whole backup"):
        listing.newest()

    assert staging.exists()
    record = place.back_up()
    assert record.warnings == ()
    listing = list_backups(repository)
    assert ([one.id for one in listing.backups], listing.halves) == ([record.id], ())
    assert not staging.exists()


# Takes an artifact away once, after the manifest was written and before restic reads.
TAKING = """\
#!/bin/sh
if [ "$1" = backup ] && [ ! -e {folder}/taken ]; then
  touch {folder}/taken
  rm {artifact}
fi
exec restic "$@"
"""


def test_a_snapshot_that_is_not_what_its_manifest_says_is_taken_again(tmp_path: Path) -> None:
    place = make_place(tmp_path)
    taking = tmp_path / "taking-restic"
    artifact = place.artifacts / "1/run/artifacts/report.html"
    taking.write_text(TAKING.format(folder=tmp_path, artifact=artifact))
    taking.chmod(0o755)
    disturbed = place.with_backup(restic=str(taking), keys_repository=None)
    record = disturbed.back_up()
    assert (tmp_path / "taken").exists()
    repository = open_repository(place.settings)
    listing = list_backups(repository)
    assert ([one.id for one in listing.backups], listing.halves) == ([record.id], ())
    assert "1/run/artifacts/report.html" not in listing.newest().manifest(repository).artifacts
    done = restore(place.settings, tmp_path / "restored", only=["models"])
    assert not (done.places["artifacts"] / "1/run/artifacts/report.html").exists()


def _free(lock: Path) -> bool:
    return subprocess.run(["flock", "--nonblock", str(lock), "true"], check=False).returncode == 0
