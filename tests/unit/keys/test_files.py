import os
import stat
import threading
from pathlib import Path

import pytest

from tidegate.errors import ConfigurationError
from tidegate.keys import files


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_new_file_has_the_asked_rights_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "key.pem"
    files.write_new(path, b"secret", files.PRIVATE)
    assert (path.read_bytes(), mode(path), names(path.parent)) == (b"secret", 0o600, ["key.pem"])


def test_a_file_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    files.write_new(path, b"first", files.PRIVATE)
    with pytest.raises(ConfigurationError, match="never overwritten"):
        files.write_new(path, b"second", files.PRIVATE)
    assert (path.read_bytes(), names(tmp_path)) == (b"first", ["key.pem"])


def test_a_replacement_takes_the_asked_rights(tmp_path: Path) -> None:
    path = tmp_path / "keys.yaml"
    path.write_bytes(b"old")
    path.chmod(0o644)
    files.replace(path, b"new", files.PRIVATE)
    assert (path.read_bytes(), mode(path), names(tmp_path)) == (b"new", 0o600, ["keys.yaml"])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change a file that belongs to somebody else")
def test_a_replacement_belongs_to_whom_the_file_belonged(tmp_path: Path) -> None:
    path = tmp_path / "keys.yaml"
    files.write_new(path, b"old", files.PRIVATE)
    os.chown(path, 10001, 10002)
    files.replace(path, b"new", files.PRIVATE)
    assert (path.stat().st_uid, path.stat().st_gid, path.read_bytes()) == (10001, 10002, b"new")
    assert stat.S_IMODE(path.stat().st_mode) == files.PRIVATE


def test_a_replacement_that_fails_leaves_the_old_content_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "keys.yaml"
    path.write_bytes(b"old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ConfigurationError, match="cannot be written: No space left"):
        files.replace(path, b"new", files.PRIVATE)
    with pytest.raises(ConfigurationError, match="cannot be written"):
        files.write_new(tmp_path / "other", b"new", files.PRIVATE)
    assert (path.read_bytes(), names(tmp_path)) == (b"old", ["keys.yaml"])


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for write in (files.write_new, files.replace):
        with pytest.raises(ConfigurationError, match="cannot be written"):
            write(tmp_path / "file" / "key.pem", b"", files.PRIVATE)
    with pytest.raises(ConfigurationError, match="cannot be written"), files.locked_folder(tmp_path / "file" / "key"):
        pytest.fail("nothing was locked")


def test_two_that_change_a_file_at_a_time_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "count"
    path.write_bytes(b"0")

    def count() -> None:
        for _ in range(20):
            with files.locked_folder(path):
                files.replace(path, str(int(path.read_bytes()) + 1).encode(), files.PRIVATE)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() == b"80"
