"""A rotated file of lines that several processes may name: each takes one of its own."""

import fcntl
import logging
import os
import sys
import time
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Final

from tidegate.errors import ConfigurationError
from tidegate.settings.operations import Logs

_MOST_PROCESSES: Final = 64
_TELL_EVERY_S: Final = 60.0
_MEGABYTE: Final = 1_000_000
_PLACE: Final = "{process}"


class RotatedFile(RotatingFileHandler):
    """The newest lines in `path`, older ones in `path.1` and so on.

    Rotation renames files, which two writers of one file would do to each other. So a process holds a lock on its file as long as it lives, and one
    that finds it held takes the next name: `watch.jsonl`, `watch-2.jsonl`, `watch-3.jsonl`.

    A disk that is full costs lines, never the process: how many is told on standard error, at most once a minute.

    Args:
        path: the file to write, or the first name to try.
        max_bytes: size at which it is rotated.
        keep: rotated files that are kept.

    Raises:
        OSError: it cannot be made.
    """

    def __init__(self, path: Path, *, max_bytes: int, keep: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        own, self._lock = _take(path)
        self._lost = 0
        self._told_at = float("-inf")
        try:
            super().__init__(own, maxBytes=max_bytes, backupCount=keep, encoding="utf-8")
        except OSError:
            os.close(self._lock)
            raise

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  logging's name
        """Count the line as lost."""
        del record
        self._lost += 1
        now = time.monotonic()
        if now - self._told_at >= _TELL_EVERY_S:
            self._told_at = now
            error = sys.exc_info()[1]
            sys.stderr.write(f'{{"level": "error", "message": "{self._lost} lines lost: {type(error).__name__}"}}\n')

    def close(self) -> None:
        """Close the file and give its name up."""
        super().close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def rotated_file(logs: Logs, process: str) -> RotatedFile | None:
    """The file that the settings name, None where they name none.

    Raises:
        ConfigurationError: it cannot be written.
    """
    if logs.file is None:
        return None
    path = Path(str(logs.file).replace(_PLACE, process))
    try:
        return RotatedFile(path, max_bytes=int(logs.max_mb * _MEGABYTE), keep=logs.keep)
    except OSError as error:
        raise ConfigurationError(
            f"the log {path} cannot be written: {error.strerror or type(error).__name__}",
            setting="logs.file",
            next_step="name a file in a folder that this process may write, or leave the setting empty",
        ) from error


def _take(path: Path) -> tuple[Path, int]:
    """A file that no living process holds, and the descriptor of its lock."""
    for number in range(1, _MOST_PROCESSES + 1):
        own = path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")
        descriptor = os.open(own.with_name(f".{own.name}.lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
        except OSError:
            os.close(descriptor)
            raise
        else:
            return own, descriptor
    raise OSError(f"{_MOST_PROCESSES} processes hold it and its further names")
