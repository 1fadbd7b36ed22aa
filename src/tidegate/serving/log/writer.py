"""Writes the prediction log of one process: rows are durable when `commit` returns.

The thread of the event loop writes rows. A worker thread makes the next segment ahead, closes the last one, and removes old ones, so
that none of that is waited for.
"""

import contextlib
import errno
import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tidegate import durable
from tidegate.errors import LogUnavailable
from tidegate.serving.log.folder import (
    held,
    instance_folder,
    instance_folders,
    lock,
    number_of,
    remove_old,
    segment_path,
    segments,
    total_bytes,
)
from tidegate.serving.log.leftovers import close_leftovers
from tidegate.serving.log.lines import Begin, row_line
from tidegate.serving.log.record import Row
from tidegate.serving.log.segment import END_ROOM, Segment, fdatasync

_log = logging.getLogger(__name__)
_COMMIT_ROOM: Final = 64  # the line that ends a commit
_BEGIN_ROOM: Final = 1024  # the first line, with an instance's longest name
_SMALL: Final = 1 << 20  # a segment that has to be made while requests wait
_PAUSE_S: Final = 0.01  # without pauses a commit waits up to 30 ms behind the zeros of the next segment
_ROOM: Final = 64 * 1024  # what the next requests may need
_AGAIN_MS: Final = 5000  # before a segment that could not be made ahead is tried again


@dataclass(frozen=True, slots=True)
class _Lines:
    """Encoded rows that go into one commit."""

    content: bytes
    rows: int
    received: tuple[int, int]


class PredictionLog:
    """Appends rows to files of this process's own.

    Args:
        folder: of the whole log; all instances' folders lie in it.
        instance: name of this process; no other that lives may have it in this folder.
        segment_bytes: size of a file.
        max_bytes: of the whole folder, beyond which the log counts as full.
        keep_days: closed files that are older are removed.
        sync: whether a commit ends with fdatasync. Without it a power loss takes rows that were acknowledged.
        now_ms: the clock, UTC ms.
        datasync: makes a descriptor's data durable.

    Raises:
        LogUnavailable: the folder cannot be made or read.
        ServiceError: another process with this name writes there.
        ConfigurationError: the name cannot be that of a folder.
    """

    def __init__(
        self,
        folder: Path,
        instance: str,
        *,
        segment_bytes: int,
        max_bytes: int,
        keep_days: int,
        sync: bool,
        now_ms: Callable[[], int],
        datasync: Callable[[int], None] = fdatasync,
    ) -> None:
        self._folder = folder
        self._instance = instance
        self._segment_bytes = segment_bytes
        self._max_bytes = max_bytes
        self._keep_days = keep_days
        self._now_ms = now_ms
        self._datasync = datasync if sync else None
        self._own = instance_folder(folder, instance)
        self._buffer: list[_Lines] = []
        self._number = 0
        self._size_bytes = 0
        self._current: Segment | None = None
        self._next: Future[Segment] | None = None
        self._try_again_at = 0
        self._hurry = threading.Event()
        self._closed = False
        with _unavailable("the prediction log cannot be opened"):
            self._own.mkdir(parents=True, exist_ok=True)
            self._lock = lock(self._own)
        try:
            with _unavailable("the prediction log cannot be opened"):
                self._start()
        except BaseException:
            os.close(self._lock)
            raise
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="prediction-log")
        self._worker.submit(self._tidy)

    @property
    def size_bytes(self) -> int:
        """Size of the whole log, as it was when a segment was made or closed last."""
        return self._size_bytes

    def append(self, rows: Sequence[Row]) -> None:
        """Encode rows for the next commit; all of them or, on an error, none. They go into one commit, so all of them are kept or none.

        Raises:
            LogUnavailable: a row cannot be encoded, the rows are more than a segment takes, or the log is closed.
        """
        if self._closed:
            raise LogUnavailable("the prediction log is closed")
        if not rows:
            return
        content = b"".join([row_line(row) for row in rows])
        if len(content) > self._capacity:
            raise LogUnavailable(
                "the rows of one request do not fit in a file of the prediction log",
                expected=f"at most {self._capacity} bytes",
                actual=len(content),
                setting="serving.log_segment_mb",
            )
        times = [row.received_at for row in rows]
        self._buffer.append(_Lines(content, len(rows), (min(times), max(times))))

    def commit(self) -> int:
        """Write all appended rows and make them durable.

        Returns:
            How many.

        Raises:
            LogUnavailable: not all of them could be. They are forgotten; the next commit tries anew.
        """
        lines, self._buffer = self._buffer, []
        if not lines:
            return 0
        with _unavailable("the prediction log cannot be written"):
            for part in self._commits(lines):
                self._write(part)
        return sum(each.rows for each in lines)

    def ensure_room(self) -> None:
        """Have a file that takes rows, making one if need be; so a log that failed is found to be in order again without rows.

        Raises:
            LogUnavailable: there is none and none can be made.
        """
        if self._closed:
            raise LogUnavailable("the prediction log is closed")
        with _unavailable("the prediction log cannot be written"):
            self._with_room(min(self._capacity, _ROOM))

    def close(self) -> None:
        """Commit what is left, close the files and let others have the folder. Doing it twice does nothing.

        Raises:
            LogUnavailable: what was left could not be written.
        """
        if self._closed:
            return
        self._closed = True
        try:
            self.commit()
        finally:
            self._stop()

    @property
    def _capacity(self) -> int:
        return self._segment_bytes - _BEGIN_ROOM - _COMMIT_ROOM - END_ROOM

    def _commits(self, lines: list[_Lines]) -> list[_Lines]:
        """All lines as one commit, or as several where they are more than a segment takes."""
        groups: list[list[_Lines]] = [[]]
        size = 0
        for each in lines:
            size += len(each.content)
            if groups[-1] and size > self._capacity:
                groups.append([])
                size = len(each.content)
            groups[-1].append(each)
        return [group[0] if len(group) == 1 else _joined(group) for group in groups]

    def _write(self, lines: _Lines) -> None:
        segment = self._with_room(len(lines.content) + _COMMIT_ROOM)
        try:
            segment.write(lines.content, lines.rows, lines.received, self._datasync)
        except OSError:
            self._give_up(segment)
            raise
        if segment.totals.end * 2 > segment.size:
            self._prepare_next()

    def _with_room(self, size: int) -> Segment:
        if self._current is not None and self._current.room >= size:
            return self._current
        segment = self._take_next() or self._make(min(self._segment_bytes, max(_SMALL, size + _BEGIN_ROOM + END_ROOM)))
        if self._current is not None:
            self._worker.submit(self._close, self._current)
        self._current = segment
        return segment

    def _prepare_next(self) -> None:
        if self._next is None and self._now_ms() >= self._try_again_at:
            self._hurry.clear()
            self._next = self._worker.submit(self._make_ahead)
        elif self._next is not None and self._next.done() and self._next.exception() is not None:
            self._try_again_at = self._now_ms() + _AGAIN_MS
            self._next = None

    def _take_next(self) -> Segment | None:
        following, self._next = self._next, None
        if following is None:
            return None
        self._hurry.set()
        try:
            return following.result()
        except (OSError, LogUnavailable) as error:
            _log.warning("no file of the prediction log could be made ahead: %s", error)
            return None

    def _make_ahead(self) -> Segment:
        return self._make(self._segment_bytes, lambda: self._hurry.wait(_PAUSE_S))

    def _make(self, size: int, pause: Callable[[], bool] | None = None) -> Segment:
        # Before it is judged full: a log that is full of what need not be kept has room.
        remove_old(self._folder, self._now_ms(), self._keep_days)
        used = total_bytes(self._folder)
        self._size_bytes = used
        if used + size > self._max_bytes:
            raise LogUnavailable(
                "the prediction log is full",
                expected=f"at most {self._max_bytes} bytes with the next file",
                actual=used + size,
                setting="serving.log_max_mb",
            )
        disk = os.statvfs(self._own)
        if disk.f_bavail * disk.f_frsize < size:  # told without filling the disk first
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        number = self._number + 1
        begin = Begin(self._instance, number, size, self._now_ms())
        segment = Segment.create(segment_path(self._own, number), begin, pause)
        self._number = number
        self._size_bytes = used + size
        return segment

    def _give_up(self, segment: Segment) -> None:
        """Never write to a segment again after a write or a sync failed: what the system says of it later cannot be trusted."""
        self._current = None
        with contextlib.suppress(OSError):  # at once, so that no reader sees rows of answers that were not given
            segment.seal(self._now_ms())
        self._worker.submit(self._close, segment)

    def _close(self, segment: Segment) -> None:
        try:
            segment.close(self._now_ms())
        except OSError as error:
            _log.warning("%s stays open until the next start: %s", segment.path, error)
        self._size_bytes = total_bytes(self._folder)

    def _start(self) -> None:
        for damage in close_leftovers(self._own, self._now_ms()):
            _log.error("%s is damaged at byte %d: %s", damage.path, damage.offset, damage.what)
        durable.sync(self._folder)
        durable.sync(self._own)
        self._number = max(map(number_of, segments(self._own)), default=0)
        self._size_bytes = total_bytes(self._folder)
        try:
            self._current = self._make(self._segment_bytes)
        except (OSError, LogUnavailable) as error:  # the disk may have space when the first row comes
            _log.warning("the prediction log cannot be written yet: %s", error)

    def _tidy(self) -> None:
        """Remove old files, and close what other instances that were killed left open."""
        try:
            remove_old(self._folder, self._now_ms(), self._keep_days)
            for other in instance_folders(self._folder):
                if any(each.suffix == ".open" for each in segments(other)):
                    with held(other) as free:
                        if free:
                            close_leftovers(other, self._now_ms())
            self._size_bytes = total_bytes(self._folder)
        except OSError as error:
            _log.warning("the prediction log's folder could not be tidied: %s", error)

    def _stop(self) -> None:
        following, self._next = self._next, None
        self._hurry.set()
        self._worker.shutdown(wait=True)
        if following is not None and following.exception() is None:
            _discard(following.result())
        if self._current is not None:
            if self._current.totals.commits:
                self._close(self._current)
            else:
                _discard(self._current)
            self._current = None
        os.close(self._lock)


def _joined(group: list[_Lines]) -> _Lines:
    received = (min(each.received[0] for each in group), max(each.received[1] for each in group))
    return _Lines(b"".join([each.content for each in group]), sum(each.rows for each in group), received)


def _discard(unused: Segment) -> None:
    unused.release()
    with contextlib.suppress(OSError):  # an empty file harms nobody
        unused.path.unlink()


@contextlib.contextmanager
def _unavailable(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LogUnavailable(
            what,
            expected="a disk that takes writes",
            actual=error.strerror or str(error),
            setting="serving.log_folder",
            next_step="free space or mend the disk; nothing needs a restart",
        ) from error
