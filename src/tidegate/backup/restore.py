"""Restoring into an empty folder, which is a project's folder afterwards; everything is compared with the manifest's digests."""

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tidegate.backup.bundles import file_digest
from tidegate.backup.listing import Listed, list_backups
from tidegate.backup.manifest import BackupManifest, Contents, CopiedDatabase
from tidegate.backup.opening import open_keys_repository, open_repository
from tidegate.backup.places import CHOSEN, DUMPS, SQLITE_HOMES, Choice, DatabaseName
from tidegate.backup.postgresql import Server
from tidegate.backup.restic import Restic
from tidegate.errors import BackupError, ConfigurationError
from tidegate.settings.settings import Settings

_RAW: Final = ".restoring"
MANIFEST_COPY: Final = "backup-manifest.json"
DEFAULT: Final[tuple[Choice, ...]] = ("databases", "models", "bars", "runs", "predictions", "configuration")
"""What is restored unless somebody chooses. Keys come only when they are asked for."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored.

    Attributes:
        backup: its name.
        folder: where it lies now.
        manifest: what the backup says of itself.
        places: what was restored to where, by name.
        took_s: seconds.
    """

    backup: str
    folder: Path
    manifest: BackupManifest
    places: Mapping[str, Path]
    took_s: float


def restore(
    settings: Settings,
    to: Path,
    *,
    backup: str | None = None,
    only: Sequence[Choice] = (),
    databases: Mapping[DatabaseName, str] | None = None,
) -> Restored:
    """Restore a backup.

    Args:
        settings: where the repository is; nothing else of the installation is needed.
        to: a folder that is empty or not there.
        backup: name of a backup or its beginning; None: the newest.
        only: parts; empty: all but the keys.
        databases: addresses of empty PostgreSQL databases that dumps are restored into; dumps without one stay files.

    Raises:
        ConfigurationError: the repository, a password's file or an address cannot be used, or keys were asked for and have no repository.
        BackupError: the folder is not empty, a database is not empty, or something is damaged or missing.
    """
    began = time.monotonic()
    require_empty(to)
    repository, urls = open_repository(settings), dict(databases or {})
    if urls and only and "databases" not in only:
        raise ConfigurationError(
            f"an address for the dump of {', '.join(sorted(urls))}, and no databases are restored",
            expected="databases among the parts",
        )
    listed = list_backups(repository).named(backup)
    manifest = listed.manifest(repository)
    _require_dumps(manifest, urls)
    servers = {name: Server.of(url, settings) for name, url in urls.items()}
    for server in servers.values():
        server.require_empty()
    restored = restore_parts(settings, repository, listed, manifest, to, only or DEFAULT)
    for name, server in servers.items():
        server.load(restored[name])
    return Restored(listed.id, to, manifest, restored, time.monotonic() - began)


def restore_parts(
    settings: Settings, repository: Restic, listed: Listed, manifest: BackupManifest, to: Path, only: Sequence[Choice]
) -> dict[str, Path]:
    """Restore parts into a project's folder that does not have them yet; see `restore`.

    Returns:
        Name of a database, folder or `keys` to its place.
    """
    to.mkdir(parents=True, exist_ok=True)
    raw, found = to / _RAW, dict[str, Path]()
    names = {name for choice in only for name in CHOSEN[choice]}
    parts = [one for one in manifest.parts if one.name in names]
    copies = manifest.databases if "databases" in only else ()
    try:
        wanted = [*(one.path for one in copies), *(one.path for one in parts)]
        if wanted:
            repository.restore(listed.snapshot, raw, wanted)
        for copy in copies:
            found[copy.name] = _place_database(copy, raw, to)
        # The outer folder first: what lies in it comes with it.
        for part in sorted(parts, key=lambda one: len(Path(one.home).parts)):
            found[part.name] = _place_folder(part, raw, to)
        if "artifacts" in names:
            _require_digests(manifest, found["artifacts"])
        if "keys" in only:
            found["keys"] = _restore_keys(settings, listed, to)
    finally:
        shutil.rmtree(raw, ignore_errors=True)
    (to / MANIFEST_COPY).write_text(manifest.model_dump_json(indent=1), encoding="utf-8")
    return found


def require_empty(to: Path) -> None:
    """Refuse a folder that holds anything.

    Raises:
        BackupError: it does, or is no folder.
    """
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise BackupError(
            f"{to} is not empty, and nothing is restored over what is there",
            expected="an empty folder, or none",
            next_step="name another folder; `tidegate restore --in-place` mends single damaged artifacts where they are",
        )


def _require_dumps(manifest: BackupManifest, urls: Mapping[DatabaseName, str]) -> None:
    dumps = {one.name for one in manifest.databases if one.kind == "postgresql"}
    unknown = sorted(set(urls) - dumps)
    if unknown:
        raise ConfigurationError(
            f"the backup holds no PostgreSQL dump of {', '.join(unknown)}",
            expected=f"one of {', '.join(sorted(dumps))}" if dumps else "no --database: its databases are SQLite files",
        )


def _place_database(copy: CopiedDatabase, raw: Path, to: Path) -> Path:
    home = to / (SQLITE_HOMES[copy.name] if copy.kind == "sqlite" else DUMPS / f"{copy.name}.dump")
    restored = raw / copy.path.lstrip("/")
    if not restored.is_file() or file_digest(restored) != copy.sha256:
        raise _damaged(f"database {copy.name}")
    home.parent.mkdir(parents=True, exist_ok=True)
    restored.replace(home)
    return home


def _place_folder(part: Contents, raw: Path, to: Path) -> Path:
    home, restored = to / part.home, raw / part.path.lstrip("/")
    if restored.is_dir():
        _unlink_links(to, Path(part.home))
        home.parent.mkdir(parents=True, exist_ok=True)
        if home.is_dir():  # came with the folder that it lies in
            shutil.copytree(restored, home, symlinks=True, dirs_exist_ok=True)
        else:
            restored.replace(home)
    if not home.is_dir():
        raise _damaged(f"the folder {part.name}")
    return home


def _unlink_links(to: Path, home: Path) -> None:
    """Remove symbolic links on the way to a part's place: they came with an outer folder, and lead to where the part lay on the old machine."""
    for place in [to / one for one in (*reversed(home.parents), home)][1:]:
        if place.is_symlink():
            place.unlink()


def _require_digests(manifest: BackupManifest, artifacts: Path) -> None:
    """A file that was made while the backup ran may be there beside those that the manifest names."""
    home = artifacts.resolve()
    for path, digest in manifest.artifacts.items():
        file = artifacts / path
        # What a link points to is no part of the backup.
        if not file.resolve().is_relative_to(home) or not file.is_file() or file_digest(file) != digest:
            raise _damaged(f"artifact {path}")


def _restore_keys(settings: Settings, listed: Listed, to: Path) -> Path:
    repository = open_keys_repository(settings)
    if repository is None:
        raise ConfigurationError("keys have no repository", setting="backup.keys_repository")
    found = [one for one in repository.snapshots() if listed.id in one.values("backup")]
    if not found:
        raise BackupError(f"backup {listed.id} has no keys", next_step="choose a backup that was taken with keys")
    folder = to / "keys"
    folder.mkdir(mode=0o700)
    repository.restore(found[-1].id, folder, ["/"])
    return folder


def _damaged(what: str) -> BackupError:
    return BackupError(
        f"{what} was not restored as it was copied",
        next_step="`tidegate verify` says what is damaged; use an older backup with --backup",
    )
