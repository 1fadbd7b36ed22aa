"""Backups in a bucket: a real S3 server, with credentials from a file, both repositories in it."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.integration.backup.place import make_place, secret
from tests.servers import free_port
from tests.unavailable import unavailable

from tidegate.backup.listing import list_backups
from tidegate.backup.opening import open_repository
from tidegate.backup.restore import restore
from tidegate.errors import BackupError
from tidegate.model.bundle import verify_files
from tidegate.services.probe import is_free

pytestmark = [pytest.mark.slow, pytest.mark.servers]

RCLONE = Path(sys.executable).with_name("rclone")


@contextmanager
def bucket(folder: Path) -> Iterator[str]:
    if not RCLONE.exists():
        unavailable("rclone is not in this environment")
    (folder / "stored" / "backups").mkdir(parents=True)
    port = free_port()
    command = [
        str(RCLONE),
        "serve",
        "s3",
        "--addr",
        f"127.0.0.1:{port}",
        "--auth-key",
        "one,two",
        "--config",
        "/dev/null",
    ]
    with (folder / "rclone.log").open("wb") as log:
        process = subprocess.Popen([*command, str(folder / "stored")], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 30
        while is_free(port):
            assert process.poll() is None, (folder / "rclone.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield f"s3:http://127.0.0.1:{port}/backups"
    finally:
        process.terminate()
        process.wait(20)


def test_a_backup_goes_to_a_bucket_and_comes_back(tmp_path: Path) -> None:
    place = make_place(tmp_path)
    credentials = secret(tmp_path / "credentials", "AWS_ACCESS_KEY_ID=one\nAWS_SECRET_ACCESS_KEY=two\n")
    with bucket(tmp_path) as address:
        there = place.with_backup(
            repository=f"{address}/all", environment_file=credentials, keys_repository=f"{address}/keys"
        )
        with pytest.raises(BackupError, match="tidegate backup --init"):
            there.back_up()
        record = there.back_up(init=True)
        done = restore(there.settings, tmp_path / "restored", only=["models", "keys"])
        assert done.backup == record.id
        bundle = place.bundle("alpha", 1).relative_to(place.root)
        assert verify_files(tmp_path / "restored" / bundle) == place.manifests["alpha", 1]
        wrong = secret(tmp_path / "wrong", "AWS_ACCESS_KEY_ID=one\nAWS_SECRET_ACCESS_KEY=other\n")
        with pytest.raises(BackupError):
            list_backups(open_repository(there.with_backup(environment_file=wrong, timeout_s=20).settings))
