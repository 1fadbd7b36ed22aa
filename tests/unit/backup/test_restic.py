"""How restic is called: rights of password files, credentials, and what is never shown or taken along."""

import os
from pathlib import Path
from typing import Any

import pytest

from tidegate.backup import restic
from tidegate.backup.opening import open_keys_repository, open_repository
from tidegate.errors import ConfigurationError
from tidegate.settings.backup import Backup
from tidegate.settings.settings import Settings

SOURCE = Path(__file__).parents[3] / "src" / "tidegate"


def written(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def settings(folder: Path, **changes: Any) -> Settings:  # noqa: ANN401
    fields = {"repository": str(folder / "r"), "password_file": written(folder / "password", "secret\n"), **changes}
    return Settings(backup=Backup.model_validate(fields))


def test_without_a_repository_it_is_said_what_to_set() -> None:
    with pytest.raises(ConfigurationError, match=r"backup\.repository.*docs/backups\.md"):
        open_repository(Settings())
    assert open_keys_repository(Settings()) is None


@pytest.mark.parametrize(("mode", "text", "message"), [(0o640, "x", "too open"), (0o600, "\n", "is empty")])
def test_a_password_that_others_may_read_or_that_is_none_is_refused(
    tmp_path: Path, mode: int, text: str, message: str
) -> None:
    path = written(tmp_path / "other", text, mode)
    with pytest.raises(ConfigurationError, match=message):
        open_repository(settings(tmp_path, password_file=path))


def test_a_missing_password_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        open_repository(settings(tmp_path, password_file=tmp_path / "none"))


def test_credentials_come_from_their_file_and_from_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of the shell")
    monkeypatch.setenv("RESTIC_PASSWORD", "of the shell")
    monkeypatch.setenv("PATH", os.environ["PATH"])
    text = "# for the bucket\nexport AWS_ACCESS_KEY_ID=one\nAWS_DEFAULT_REGION='eu'\n\n"
    found = open_repository(settings(tmp_path, environment_file=written(tmp_path / "environment", text)))
    assert found.environment["AWS_ACCESS_KEY_ID"] == "one"
    assert found.environment["AWS_DEFAULT_REGION"] == "eu"
    assert "AWS_SECRET_ACCESS_KEY" not in found.environment
    assert "RESTIC_PASSWORD" not in found.environment
    assert "one" not in repr(found)


@pytest.mark.parametrize("line", ["AWS_ACCESS_KEY_ID", "1X=2", "=x"])
def test_a_line_that_is_no_setting_is_refused(tmp_path: Path, line: str) -> None:
    path = written(tmp_path / "environment", f"A=b\n{line}\n")
    with pytest.raises(ConfigurationError, match="line 2 of"):
        open_repository(settings(tmp_path, environment_file=path))


def test_an_address_is_shown_without_its_password(tmp_path: Path) -> None:
    found = open_repository(settings(tmp_path, repository="rest:https://user:secret@host/path"))
    assert found.shown == "rest:https://user:***@host/path"
    found = open_repository(settings(tmp_path, repository="rest:https://user:sec@ret:x@host/path"))
    assert found.shown == "rest:https://user:***@host/path"


@pytest.mark.parametrize(
    ("path", "pattern"),
    [("/a/symbol=X", "/a/symbol=X"), ("/a/[1]*?", r"/a/\[1\]\*\?"), ("/a\\b", r"/a\\b")],
)
def test_a_path_is_restored_literally(path: str, pattern: str) -> None:
    assert restic._literal(path) == pattern


def test_the_reason_is_told_and_not_where_in_restic_it_came_up() -> None:
    output = b"""\
Save(<lock/47>) returned error, retrying after 15.39s: open r/locks/47: no space left on device
open r/locks/47: no space left on device
github.com/restic/restic/internal/backend/local.(*Local).Save
\tgithub.com/restic/restic/internal/backend/local/local.go:153
main.glob..func2
\tgithub.com/restic/restic/cmd/restic/cmd_backup.go:74
runtime.goexit
\truntime/asm_amd64.s:1594
unable to create lock in backend
"""
    told = ["open r/locks/47: no space left on device", "unable to create lock in backend"]
    assert restic._told(output) == told


def test_times_with_nanoseconds_are_read() -> None:
    assert restic._ms("1970-01-01T00:00:01.123456789Z") == 1123
    assert restic._ms("1970-01-01T01:00:01+01:00") == 1000


def test_programs_are_run_from_two_modules_only() -> None:
    users = [path.name for path in sorted((SOURCE / "backup").glob("*.py")) if "subprocess" in path.read_text()]
    assert users == ["postgresql.py", "restic.py"]
