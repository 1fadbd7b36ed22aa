"""One backup at a time: a lock that lasts for as long as the process, or the restic that it has started, is alive."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from tidegate.errors import BackupError


@contextlib.contextmanager
def only_one(folder: Path, what: str = "backup") -> Iterator[int]:
    """Hold the lock; yields its file descriptor, which a child that keeps it open holds on with.

    A child can outlive us by kill -9. It then still reads what is staged, and nobody may take that away.

    Args:
        folder: of the lock's file.
        what: there is one at a time; part of the file's name and of messages.

    Raises:
        BackupError: another one is under way.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / f"{what}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BackupError(
                f"another {what} of this installation is under way, or its restic still ends",
                next_step="try again when it is done",
            ) from error
        yield descriptor
    finally:
        os.close(descriptor)
