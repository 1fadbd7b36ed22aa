"""Replaces several files of one folder as one step: after a kill at any point the folder holds all of the old content or all of the new.

New contents are written to temporary files first. Then a journal that names them is put in place: this is the moment of the commit.
Then each is moved to its name, and the journal goes. Whoever opens the folder next finishes a journal that was left, and removes
temporary files that no journal names.
"""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from tidegate.durable import sync as _sync
from tidegate.errors import StoreError

_JOURNAL: Final = "commit.json"
_LOCK: Final = ".lock"
_TEMPORARY: Final = ".tmp"


@contextlib.contextmanager
def locked(folder: Path, timeout_s: float) -> Iterator[None]:
    """Hold the folder alone, in its last committed state. The system frees the lock when the process ends, however it ends.

    Raises:
        StoreError: another process or thread holds it for longer than `timeout_s`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() >= deadline:
                    raise StoreError(
                        f"{folder} is in use by another ingest", expected=f"its end within {timeout_s:g} s",
                        next_step="try again when it is done",
                    ) from error  # fmt: skip
                time.sleep(0.02)
        recover(folder)
        yield
    finally:
        os.close(lock)


@contextlib.contextmanager
def settled(folder: Path, timeout_s: float) -> Iterator[None]:
    """Hold off writers while reading, in the folder's last committed state; a folder that cannot be written is only read."""
    try:
        lock = os.open(folder / _LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield  # nothing was ever ingested here
        return
    try:
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if time.monotonic() >= deadline:
                    raise StoreError(
                        f"{folder} is in use by an ingest", expected=f"its end within {timeout_s:g} s",
                        next_step="try again when it is done",
                    ) from error  # fmt: skip
                time.sleep(0.02)
                continue
            if not (folder / _JOURNAL).exists():
                break
            fcntl.flock(lock, fcntl.LOCK_UN)
            with locked(folder, timeout_s):
                pass  # taking the lock finishes what a killed ingest left
        yield
    finally:
        os.close(lock)


def commit(folder: Path, contents: Mapping[str, Callable[[Path], None]]) -> None:
    """Put new contents in place, all or none. The caller holds the folder's lock.

    Args:
        folder: where the files are.
        contents: name of each file, and a function that writes its new content to the path it is given.
    """
    if not contents:
        return
    for name, write in contents.items():
        temporary = folder / (name + _TEMPORARY)
        write(temporary)
        _sync(temporary)
    journal = folder / (_JOURNAL + _TEMPORARY)
    journal.write_text(json.dumps(sorted(contents)), encoding="utf-8")
    _sync(journal)
    os.replace(journal, folder / _JOURNAL)  # noqa: PTH105 -- the tests cut in at os.replace
    _sync(folder)
    recover(folder)


def recover(folder: Path) -> None:
    """Finish a commit whose journal is there, and remove what an unfinished one left. The caller holds the folder's lock.

    Raises:
        StoreError: the journal cannot be read.
    """
    journal = folder / _JOURNAL
    if journal.exists():
        try:
            names = json.loads(journal.read_text(encoding="utf-8"))
        except ValueError as error:
            raise StoreError(f"journal {journal} is damaged", next_step="restore the folder from a backup") from error
        for name in names:
            temporary = folder / (name + _TEMPORARY)
            if temporary.exists():
                os.replace(temporary, folder / name)  # noqa: PTH105
        _sync(folder)
        os.unlink(journal)  # noqa: PTH108
        _sync(folder)
    for left in folder.glob(f"*{_TEMPORARY}"):
        left.unlink()
