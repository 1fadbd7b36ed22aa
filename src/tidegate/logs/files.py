"""Rotated files of lines, which several processes may name: each takes names of its own."""

import fcntl
import logging
import os
import re
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
    """Lines in `watch-000001.jsonl`, and once that is full in `watch-000002.jsonl` and so on; the oldest is deleted when there are too many.

    No file is ever renamed. Whoever follows the files (rsyslog, Alloy) therefore loses no line that was written between its last look and a rotation,
    nor while it was not running, as long as the file is kept.

    Two writers of one file would be in each other's way. So a process holds a lock on its name as long as it lives, and one that finds it held takes
    the next: `watch-2-000001.jsonl`.

    A disk that is full costs lines, never the process: how many is told on standard error, at most once a minute.

    Args:
        path: the files' names without their number, such as logs/watch.jsonl.
        max_bytes: size at which the next file is begun.
        keep: full files that are kept beside the one that is written.

    Raises:
        OSError: it cannot be made.
    """

    def __init__(self, path: Path, *, max_bytes: int, keep: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._lock = _take(path)
        self._keep = keep
        self._lost = 0
        self._told_at = float("-inf")
        self._number = max(_numbered(self._path), default=1)
        try:
            super().__init__(self._file(self._number), maxBytes=max_bytes, backupCount=keep, encoding="utf-8")
        except OSError:
            os.close(self._lock)
            raise

    def doRollover(self) -> None:  # noqa: N802  logging's name
        """Begin the next file."""
        if self.stream:
            self.stream.close()
        self._number += 1
        self.baseFilename = str(self._file(self._number).absolute())
        self.stream = self._open()
        for number, path in _numbered(self._path).items():
            if number < self._number - self._keep:
                path.unlink(missing_ok=True)

    def _file(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.stem}-{number:06d}{self._path.suffix}")

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


def _numbered(path: Path) -> dict[int, Path]:
    """The files of a name by their numbers."""
    name = re.compile(rf"{re.escape(path.stem)}-(\d{{6,}}){re.escape(path.suffix)}")
    return {int(found[1]): each for each in path.parent.iterdir() if (found := name.fullmatch(each.name))}


def _take(path: Path) -> tuple[Path, int]:
    """A name that no living process holds, and the descriptor of its lock."""
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
