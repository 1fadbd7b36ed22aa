"""SQLite databases: copied while others write, and looked at for damage."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Final

from tidegate.errors import BackupError

_MOST_FAULTS: Final = 3
_DAMAGED: Final = "`tidegate verify --live` says whether it is damaged; no backup was taken"
_WAIT_S: Final = 30.0
"""For a writer's lock, within one step."""


def copy(source: Path, target: Path, timeout_s: float) -> None:
    """Copy a database as of one moment, by SQLite's own online copy: writers go on, and what they commit meanwhile is not in it.

    Raises:
        BackupError: it is damaged, or stayed locked.
    """
    _copy(source, target, timeout_s)
    # Pages are copied as they are.
    damage = fault(target)
    if damage is not None:
        target.unlink(missing_ok=True)
        raise BackupError(f"the database {source} is damaged: {damage}", next_step=_DAMAGED)


def _copy(source: Path, target: Path, timeout_s: float) -> None:
    ends_at = time.monotonic() + timeout_s

    def within(_status: int, _remaining: int, _total: int) -> None:
        if time.monotonic() > ends_at:
            raise TimeoutError(f"not copied within {timeout_s:g} s")

    try:
        with closing(_opened(source, min(timeout_s, _WAIT_S))) as live, closing(sqlite3.connect(target)) as copied:
            # All pages in one step: a copy in steps begins anew at each commit of another process.
            live.backup(copied, pages=-1, progress=within, sleep=0.05)
            # One file that needs no second one beside it.
            copied.execute("PRAGMA journal_mode=DELETE")
    except (sqlite3.Error, TimeoutError, OSError) as error:
        raise BackupError(
            f"the database {source} could not be copied: {error}",
            next_step=_DAMAGED,
        ) from error


def fault(path: Path) -> str | None:
    """What is wrong with a database file, None where it is whole. It is only read."""
    if not path.is_file():
        return "the file is not there"
    try:
        with closing(_opened(path)) as connection:
            found = [str(row[0]) for row in connection.execute(f"PRAGMA integrity_check({_MOST_FAULTS})")]
            # A file that was cut off to nothing is a right database to SQLite.
            if (
                found == ["ok"]
                and not connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table'").fetchone()
            ):
                found = ["it holds no table"]
    except (sqlite3.Error, OSError) as error:
        return str(error)
    return None if found == ["ok"] else "; ".join(found)


def lines(path: Path, query: str) -> list[str]:
    """The first column of a query's rows.

    Raises:
        BackupError: the file cannot be read, or has no such table.
    """
    try:
        with closing(_opened(path)) as connection:
            return [str(row[0]) for row in connection.execute(query)]
    except (sqlite3.Error, OSError) as error:
        raise BackupError(f"the database {path} cannot be asked: {error}") from error


def _opened(path: Path, wait_s: float = _WAIT_S) -> sqlite3.Connection:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there")
    quoted = path.resolve().as_uri()
    connection = sqlite3.connect(f"{quoted}?mode=rw", uri=True, timeout=wait_s, isolation_level=None)
    connection.execute("PRAGMA query_only=ON")
    return connection
