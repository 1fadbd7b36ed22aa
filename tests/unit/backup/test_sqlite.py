"""SQLite files: copies of open databases, and damage."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tidegate.backup import sqlite
from tidegate.errors import BackupError


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "live [1].db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE things (name TEXT)")
        connection.executemany("INSERT INTO things VALUES (?)", [(f"thing {number}",) for number in range(5000)])
    return path


def test_a_copy_is_one_file_with_what_was_committed(database: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(database, isolation_level=None)) as writer:
        writer.execute("INSERT INTO things VALUES ('committed')")
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("INSERT INTO things VALUES ('not committed')")
        sqlite.copy(database, tmp_path / "copy.db", 10)
        writer.execute("ROLLBACK")
    assert sorted(path.name for path in tmp_path.glob("copy.db*")) == ["copy.db"]
    assert sqlite.fault(tmp_path / "copy.db") is None
    newest = sqlite.lines(tmp_path / "copy.db", "SELECT name FROM things ORDER BY rowid DESC LIMIT 1")
    assert newest == ["committed"]


def test_a_database_that_stays_locked_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "locked.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("CREATE TABLE things (name TEXT)")
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(BackupError, match="could not be copied"):
            sqlite.copy(path, tmp_path / "copy.db", 0.2)


@pytest.mark.parametrize(
    "damage", ["truncated", "overwritten", "gone", "cut off to nothing", "empty file of another kind"]
)
def test_damage_is_told(database: Path, damage: str) -> None:
    content = database.read_bytes()
    for beside in database.parent.glob(f"{database.name}-*"):
        beside.unlink()
    if damage == "truncated":
        database.write_bytes(content[: len(content) // 2])
    elif damage == "overwritten":
        half = len(content) // 2
        database.write_bytes(content[:half] + b"\xff" * 5000 + content[half + 5000 :])
    elif damage == "gone":
        database.unlink()
    elif damage == "cut off to nothing":
        database.write_bytes(b"")
    else:
        database.write_bytes(b"no database, but long enough to be looked at as one" * 100)
    assert sqlite.fault(database)
    with pytest.raises(BackupError, match=r"could not be copied|is damaged"):
        sqlite.copy(database, database.with_name("copy.db"), 10)
    with pytest.raises(BackupError):
        sqlite.lines(database.with_name("none.db"), "SELECT 1")


def test_a_missing_table_is_told(database: Path) -> None:
    with pytest.raises(BackupError, match="no such table"):
        sqlite.lines(database, "SELECT model_id FROM logged_models")
