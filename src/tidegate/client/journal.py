"""The record of decisions: JSON lines, written on a thread of its own so that a slow disk delays no decision."""

import io
import logging
import queue
import threading
from pathlib import Path
from typing import Final

import msgspec

from tidegate.client.config import refused
from tidegate.client.decision import Decision

log = logging.getLogger(__name__)
_MOST_WAITING: Final = 10_000
_CLOSE_S: Final = 5.0
_encode: Final = msgspec.json.Encoder().encode


class Journal:
    """Appends decisions to a file.

    Raises:
        ConfigurationError: the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file = path.open("ab", buffering=0)
            self._is_torn = _ends_within_a_line(path)
        except OSError as error:
            raise refused("decisions.file", f"{path} cannot be written: {error}") from error
        self._waiting: queue.Queue[Decision | None] = queue.Queue(_MOST_WAITING)
        self.dropped = 0
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._write_on, name="tidegate-journal", daemon=True)
        self._thread.start()

    def write(self, decision: Decision) -> None:
        """Hand a decision over; one too many is dropped, counted and logged, and nothing waits for it."""
        try:
            self._waiting.put_nowait(decision)
        except queue.Full:
            self._drop("the disk does not keep up")

    def flush(self) -> None:
        """Wait until everything that was handed over is in the file, or was dropped."""
        self._waiting.join()

    def close(self) -> None:
        """Write what is left, and close the file; a disk that hangs is left to the end of the process."""
        try:
            self._waiting.put(None, timeout=_CLOSE_S)
        except queue.Full:
            log.error("the journal cannot be closed: the disk does not answer")  # noqa: TRY400  no traceback tells more
            return
        self._thread.join(_CLOSE_S)
        if self._thread.is_alive():
            log.error("the journal cannot be closed: the disk does not answer")
            return
        self._file.close()

    def _write_on(self) -> None:
        while (decision := self._waiting.get()) is not None:
            try:
                self._write_line(_encode(decision) + b"\n")
            except (OSError, ValueError, TypeError) as error:
                self._drop(str(error))
            finally:
                self._waiting.task_done()
        self._waiting.task_done()

    def _write_line(self, line: bytes) -> None:
        if self._is_torn:
            line = b"\n" + line
        while line:
            line = line[self._file.write(line) :]
            # A disk that is full takes half of a line: only that one is lost, where the next one begins anew.
            self._is_torn = bool(line)

    def _drop(self, why: str) -> None:
        with self._lock:
            self.dropped += 1
        # The first, second, fourth and so on: whatever stops the journal must not fill the log instead.
        if self.dropped & (self.dropped - 1) == 0:
            log.error("%d decisions are not in the journal: %s", self.dropped, why)


def _ends_within_a_line(path: Path) -> bool:
    """Whether an earlier run could not finish its last line."""
    if not path.is_file() or path.stat().st_size == 0:
        return False
    with path.open("rb") as file:
        file.seek(-1, io.SEEK_END)
        return file.read(1) != b"\n"
