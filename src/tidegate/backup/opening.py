"""Opens the repositories that the settings name: passwords and credentials come from files that only their owner may read."""

import os
import re
from pathlib import Path
from typing import Final

from tidegate.backup.restic import Restic
from tidegate.errors import ConfigurationError
from tidegate.keys.files import read_private
from tidegate.settings.settings import Settings

_INHERITED: Final = (
    "PATH", "HOME", "USER", "TMPDIR", "TZ", "SSH_AUTH_SOCK", "SSL_CERT_FILE", "SSL_CERT_DIR",
    "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
)  # fmt: skip


def open_repository(settings: Settings) -> Restic:
    """The repository of backups.

    Raises:
        ConfigurationError: none is named, or a password's or credentials' file is missing or too open.
    """
    backup = settings.backup
    if backup.repository is None or backup.password_file is None:
        raise ConfigurationError(
            "there is no repository for backups",
            expected="a folder or an address",
            setting="backup.repository",
            next_step="set backup.repository and backup.password_file; docs/backups.md has the steps",
        )
    return _opened(settings, backup.repository, "backup.repository", backup.password_file, backup.environment_file)


def open_keys_repository(settings: Settings) -> Restic | None:
    """The repository of keys, None where there is none.

    Raises:
        ConfigurationError: a password's or credentials' file is missing or too open.
    """
    backup = settings.backup
    if backup.keys_repository is None or backup.keys_password_file is None:
        return None
    credentials = backup.keys_environment_file or backup.environment_file
    return _opened(settings, backup.keys_repository, "backup.keys_repository", backup.keys_password_file, credentials)


def _opened(settings: Settings, address: str, setting: str, password: Path, credentials: Path | None) -> Restic:
    password_setting = setting.replace("repository", "password_file")
    if not read_private(password, password_setting).strip():
        raise ConfigurationError(f"the password's file {password} is empty", setting=password_setting)
    environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    environment |= {
        "RESTIC_PASSWORD_FILE": str(password),
        "RESTIC_CACHE_DIR": str(settings.paths.cache.resolve() / "restic"),
        "RESTIC_PROGRESS_FPS": "0.01",
    }
    if credentials is not None:
        environment |= _credentials(credentials)
    return Restic(address, setting, settings.backup.restic, environment, float(settings.backup.timeout_s))


def _credentials(path: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, line in enumerate(read_private(path, "backup.environment_file").decode(errors="replace").splitlines()):
        text = line.strip().removeprefix("export ").strip()
        if not text or text.startswith("#"):
            continue
        name, equals, value = text.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z_]\w*", name):
            raise ConfigurationError(
                f"line {number + 1} of {path} is no setting", expected="NAME=value", setting="backup.environment_file"
            )
        found[name] = value.strip().strip("\"'")
    return found
