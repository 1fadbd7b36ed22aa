"""One file of the prediction log while it is written.

Its whole size is written as zeros before the first row is promised anything: the disk space is there, and fdatasync finds no metadata to
write. Created as `.tmp`, named `.open` once it is whole, and `.log` once it is closed; see docs/contracts/prediction-log.md.
"""

import contextlib
import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tidegate.durable import sync
from tidegate.serving.log.lines import Begin, Commit, End, mark_line

END_ROOM: Final = 256
"""Bytes kept free for the last line, so that a segment can be closed on a full disk."""
_ZEROS: Final = bytes(256 * 1024)

fdatasync: Final[Callable[[int], None]] = getattr(os, "fdatasync", os.fsync)  # macOS lacks it


@dataclass(slots=True)
class Totals:
    """What a segment holds so far. `end` is the offset behind the last whole commit."""

    end: int = 0
    commits: int = 0
    rows: int = 0
    received_from: int | None = None
    received_until: int | None = None

    def add(self, end: int, rows: int, received_from: int, received_until: int) -> None:
        """Count one commit; its times are UTC ms."""
        self.end = end
        self.commits += 1
        self.rows += rows
        self.received_from = _least(self.received_from, received_from)
        self.received_until = -_least(_negative(self.received_until), -received_until)

    def closing(self, closed_at: int) -> End:
        """The last line of a segment that holds this."""
        return End(self.commits, self.rows, self.received_from, self.received_until, closed_at)


class Segment:
    """An open file of the prediction log, of one writer.

    Args:
        path: the file, named `.open`.
        descriptor: open for reading and writing; the segment closes it.
        size: of the file in bytes.
        totals: what it holds.
    """

    def __init__(self, path: Path, descriptor: int, size: int, totals: Totals) -> None:
        self.path = path
        self.size = size
        self.totals = totals
        self._descriptor = descriptor

    @classmethod
    def create(cls, path: Path, begin: Begin, pause: Callable[[], bool] | None = None) -> "Segment":
        """Make a segment with its space, durable under its name.

        Args:
            path: the file, named `.open`.
            begin: its first line, with its size.
            pause: called between pieces of the work, so that the disk is free for others; returns whether to hurry from then on.

        Raises:
            OSError: there is no space, or the disk fails. Nothing is left behind.
        """
        new = path.with_suffix(".tmp")
        head = mark_line(begin)
        descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            write_all(descriptor, head, 0)
            for offset in range(len(head), begin.size, len(_ZEROS)):
                write_all(descriptor, _ZEROS[: begin.size - offset], offset)
                if pause is not None:
                    fdatasync(descriptor)
                    pause = None if pause() else pause
            os.fsync(descriptor)
            os.rename(new, path)  # noqa: PTH104 -- the tests cut in at os.rename
            sync(path.parent)
        except BaseException:
            os.close(descriptor)
            for left in (new, path):
                with contextlib.suppress(OSError):
                    os.unlink(left)  # noqa: PTH108
            raise
        return cls(path, descriptor, begin.size, Totals(end=len(head)))

    @property
    def room(self) -> int:
        """Bytes of rows that one more commit can hold."""
        return self.size - self.totals.end - END_ROOM

    def write(
        self,
        lines: bytes,
        rows: int,
        received: tuple[int, int],
        datasync: Callable[[int], None] | None,
    ) -> None:
        """Write rows as one commit. Only when this returns do they count.

        Args:
            lines: the rows' lines, at most `room` bytes.
            rows: how many.
            received: earliest and latest `received_at`, UTC ms.
            datasync: makes a descriptor's data durable; None leaves that to the system.

        Raises:
            OSError: the rows are not in the segment, which must not be written to again: call `seal`, then `close`.
        """
        block = lines + mark_line(Commit(self.totals.commits + 1, rows))
        write_all(self._descriptor, block, self.totals.end)
        if datasync is not None:
            datasync(self._descriptor)
        self.totals.add(self.totals.end + len(block), rows, *received)

    def seal(self, closed_at: int) -> int:
        """Put the last line behind the last whole commit. What a failed write left behind it is no longer seen.

        Args:
            closed_at: UTC ms, for the last line.

        Returns:
            The offset behind it.

        Raises:
            OSError: it cannot be written.
        """
        last = mark_line(self.totals.closing(closed_at))
        write_all(self._descriptor, last, self.totals.end)
        return self.totals.end + len(last)

    def close(self, closed_at: int, *, modified_ns: int | None = None) -> Path:
        """Cut the file to what it holds, make it durable and read-only, and name it `.log`.

        Args:
            closed_at: UTC ms, for the last line.
            modified_ns: modification time to give it; None leaves the present one.

        Raises:
            OSError: it stays `.open`, with all of its commits; the next start closes it.
        """
        try:
            os.ftruncate(self._descriptor, self.seal(closed_at))
            return finish(self.path, self._descriptor, modified_ns=modified_ns)
        finally:
            self.release()

    def release(self) -> None:
        """Close the descriptor only."""
        os.close(self._descriptor)


def finish(path: Path, descriptor: int, *, modified_ns: int | None = None) -> Path:
    """Make a segment that has its last line durable and read-only, and name it `.log`."""
    os.fchmod(descriptor, 0o444)
    if modified_ns is not None:
        os.utime(descriptor, ns=(modified_ns, modified_ns))
    os.fsync(descriptor)
    closed = path.with_suffix(".log")
    os.rename(path, closed)  # noqa: PTH104
    sync(path.parent)
    return closed


def write_all(descriptor: int, content: bytes, offset: int) -> None:
    """Write at an offset, all or an OSError."""
    done = 0
    while done < len(content):
        wrote = os.pwrite(descriptor, content[done:] if done else content, offset + done)
        if not wrote:
            raise OSError(errno.EIO, "nothing was written")
        done += wrote


def _least(a: int | None, b: int) -> int:
    return b if a is None else min(a, b)


def _negative(a: int | None) -> int | None:
    return None if a is None else -a
