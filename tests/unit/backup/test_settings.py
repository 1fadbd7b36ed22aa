"""Settings of backups that would fail in the night are refused at once."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tidegate.settings.backup import Backup

ONE, TWO = Path("one"), Path("two")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"repository": "backups", "password_file": ONE}, "absolute folder"),
        ({"repository": "rclone:remote:x", "password_file": ONE}, "absolute folder"),
        ({"repository": "/backups"}, "repository needs password_file"),
        ({"keys_repository": "/keys", "keys_password_file": TWO}, "keys_repository needs repository"),
        ({"repository": "/b", "password_file": ONE, "keys_repository": "/k"}, "needs keys_password_file"),
        (
            {"repository": "/b", "password_file": ONE, "keys_repository": "/b", "keys_password_file": TWO},
            "must differ",
        ),
        (
            {"repository": "/b", "password_file": ONE, "keys_repository": "/k", "keys_password_file": ONE},
            "must differ",
        ),
        ({"keep_versions": 2}, "greater than or equal to 3"),
        ({"keep_daily": 0}, "greater than or equal to 1"),
        ({"late_after_hours": float("nan")}, "late_after_hours"),
        ({"read_data_percent": 101}, "less than or equal to 100"),
        ({"keep_yearly": 1}, "Extra inputs"),
    ],
)
def test_what_cannot_work_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Backup.model_validate(given)


@pytest.mark.parametrize("address", ["/backups", "s3:https://host/bucket", "sftp:user@host:/b", "rest:https://host/"])
def test_folders_and_servers_are_taken(address: str) -> None:
    assert Backup(repository=address, password_file=ONE).repository == address


def test_without_a_repository_there_are_no_backups() -> None:
    assert Backup().repository is None
