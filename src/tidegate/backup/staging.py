"""What is copied before restic reads: databases as of one moment, bars as links taken between two ingests, and the manifest."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tidegate.backup import sqlite
from tidegate.backup.bundles import file_digest
from tidegate.backup.chains import Chains, read_chains, read_chains_of_file
from tidegate.backup.manifest import Contents, CopiedDatabase
from tidegate.backup.places import Database, DatabaseName, Installation, Part
from tidegate.backup.postgresql import Server
from tidegate.bars.commit import settled
from tidegate.errors import BackupError
from tidegate.registry.database import Database as LedgerDatabase
from tidegate.registry.ledger import Ledger
from tidegate.settings.settings import Settings

_TRIES: Final = 3
"""How often the databases are copied again where the ledger went on between the ledger's copy and MLflow's."""
_BARS_WAIT_S: Final = 300.0
_TOGETHER: Final[tuple[DatabaseName, ...]] = ("ledger", "mlflow")


@contextmanager
def emptied(folder: Path) -> Iterator[Path]:
    """An empty folder for copies, that only its owner may read; what a killed backup has left is removed, and so is all at the end."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def copy_databases(
    place: Installation, settings: Settings, folder: Path
) -> tuple[list[CopiedDatabase], Chains, list[str]]:
    """Copy all databases, the ledger first, and the ledger and MLflow once more where a promotion came between them.

    Returns:
        The copies; rows and heads of the ledger's copy, each chain verified; warnings. Of PostgreSQL rows and heads are those of a moment
        before its dump, so that the dump holds them.

    Raises:
        BackupError: one is missing, damaged, or could not be reached.
        LedgerError: a chain is broken.
    """
    warnings: list[str] = []
    for attempt in range(_TRIES):
        before = _newest_row(place, settings)
        chains = None if place.database("ledger").sqlite_file else read_chains(LedgerDatabase.from_settings(settings))
        copied = [_copied(place.database(name), settings, folder) for name in _TOGETHER]
        if _newest_row(place, settings) == before:
            break
        if attempt == _TRIES - 1:
            warnings.append(
                "the ledger went on while it was copied, so MLflow's copy may be ahead of it: run `tidegate repair` after a restore"
            )
    prefect = place.database("prefect")
    if prefect.sqlite_file is not None and not prefect.sqlite_file.is_file():
        warnings.append("there is no Prefect database: schedules and run history are not in it")
    else:
        copied.append(_copied(prefect, settings, folder))
    return copied, chains or read_chains_of_file(Path(copied[0].path)), warnings


def stage_bars(part: Part, folder: Path) -> Path:
    """The bar store as hard links, each series while nobody ingests into it; copies where links are not possible.

    Raises:
        StoreError: an ingest lasts too long.
        BackupError: the folder cannot be read.
    """
    target = folder / "bars"
    target.mkdir()
    try:
        for symbol in sorted(path for path in part.path.iterdir() if path.is_dir()):
            for series in sorted(path for path in symbol.iterdir() if path.is_dir()):
                with settled(series, _BARS_WAIT_S):
                    _link_all(series, target / symbol.name / series.name)
    except OSError as error:
        raise BackupError(f"the bar store {part.path} cannot be read: {error}") from error
    return target


def contents_of(part: Part, path: Path) -> Contents:
    """How many files a folder holds, and of what size; files that go meanwhile are passed over."""
    files = size = 0
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                size += (Path(folder) / name).lstat().st_size
            except FileNotFoundError:
                continue
            files += 1
    return Contents(name=part.name, path=str(path), home=str(part.home), files=files, bytes=size)


def links_out(place: Installation, part: Part) -> list[Path]:
    """Symbolic links in a folder that point to what no part holds: they are kept as links."""
    found: list[Path] = []
    for folder, folders, files in os.walk(part.path):
        for link in [path for path in (Path(folder) / name for name in (*folders, *files)) if path.is_symlink()]:
            target = Path(os.path.realpath(link))
            if not any(target.is_relative_to(one.path) for one in place.parts):
                found.append(link)
    return found


def _copied(database: Database, settings: Settings, folder: Path) -> CopiedDatabase:
    source = database.sqlite_file
    target = folder / f"{database.name}.{'dump' if source is None else 'db'}"
    target.unlink(missing_ok=True)
    if source is None:
        Server.of(database.url, settings).dump(target)
    else:
        sqlite.copy(source, target, float(settings.backup.timeout_s))
    return CopiedDatabase(
        name=database.name,
        kind="postgresql" if source is None else "sqlite",
        path=str(target),
        bytes=target.stat().st_size,
        sha256=file_digest(target),
    )


def _newest_row(place: Installation, settings: Settings) -> int:
    file = place.database("ledger").sqlite_file
    fault = None if file is None else sqlite.fault(file)  # before it is opened, which would make its tables anew
    if fault is not None:
        raise BackupError(
            f"the ledger {file} is damaged: {fault}",
            setting="ledger.url",
            next_step="restore it with `tidegate restore`; in a new project the first `tidegate retrain` makes it",
        )
    rows = Ledger.from_settings(settings).rows()
    return rows[-1].id if rows else 0


def _link_all(series: Path, target: Path) -> None:
    target.mkdir(parents=True)
    for file in series.iterdir():
        if not file.is_file() or file.name.startswith("."):
            continue
        try:
            # Of a symbolic link, what it points to: a link would be stored as a link.
            os.link(file.resolve(), target / file.name)
        except OSError:  # another file system, or one without links
            shutil.copy2(file, target / file.name)
