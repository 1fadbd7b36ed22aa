"""Reads one segment from front to back and says where it is not what was written.

In a closed segment every fault is damage. Behind the last whole commit of an open one there may be a commit that was being written when
the process or the machine died. It was never acknowledged. Such a torn commit has a shape of its own, since the file was zeros before:
whole disk sectors of it are missing, and nothing follows it. Everything else is damage there too.
"""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from tidegate.serving.log.folder import folder_name, number_of
from tidegate.serving.log.lines import MAX_LINE_BYTES, Begin, Commit, End, Mark, parse
from tidegate.serving.log.record import Row
from tidegate.serving.log.segment import Totals

_SECTOR: Final = 512
_LOOKS: Final = 5
_PAUSE_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class Damage:
    """One place where a file is not what was written.

    Attributes:
        path: the file.
        offset: in bytes, of the line where it was noticed.
        what: what is wrong there.
    """

    path: Path
    offset: int
    what: str


class Scan:
    """One pass over a segment. Iterate over it once; then the attributes say what was found.

    Rows of whole commits are given, and of a damaged commit those whose own CRC is right.

    Args:
        path: the file; its suffix says whether it is closed.
        on_damage: told of each damage, in the file's order; may raise.

    Attributes:
        begin: the first line, if it is whole.
        totals: of whole commits.
        ended_at: the offset behind the last line of a segment that was closed or was just being closed, else None.
        damaged: whether damage was told.
    """

    def __init__(self, path: Path, on_damage: Callable[[Damage], None]) -> None:
        self.path = path
        self.begin: Begin | None = None
        self.totals = Totals()
        self.ended_at: int | None = None
        self.damaged = False
        self._closed = path.suffix == ".log"
        self._on_damage = on_damage
        self._pending: list[Row] = []
        self._broken = False  # the commit being read has a fault
        self._looks = 0
        self._at = 0
        self._done = False

    def __iter__(self) -> Iterator[Row]:
        """The rows, in the order of writing."""
        with self.path.open("rb") as file:
            self._read_begin(file)
            while not self._done:
                line = file.readline(MAX_LINE_BYTES)
                said = parse(line)
                if isinstance(said, Row):
                    self._pending.append(said)
                elif isinstance(said, Commit) and self._follows(said):
                    yield from self._take(said, self._at + len(line))
                elif isinstance(said, End):
                    yield from self._salvage()
                    self._end(said, file, self._at + len(line))
                elif self._closed or self.damaged:
                    yield from self._salvage()
                    self._go_on(line, said)
                else:
                    self._look_behind(file, line)
                    continue
                self._at += len(line)

    def _read_begin(self, file: BinaryIO) -> None:
        line = file.readline(MAX_LINE_BYTES)
        said = parse(line)
        if isinstance(said, Begin):
            self.begin = said
            self.totals.end = self._at = len(line)
            if (folder_name(said.instance), said.number) != (self.path.parent.name, number_of(self.path)):
                self._fault(0, f"it is file {said.number} of instance {said.instance} and lies in another's place")
                self._broken = False
            return
        self._fault(0, "the first line is not that of a segment")
        if said is None:
            self._at = len(line)
        else:
            file.seek(0)

    def _follows(self, commit: Commit) -> bool:
        if self._broken:
            return commit.number > self.totals.commits
        return commit.number == self.totals.commits + 1 and commit.rows == len(self._pending)

    def _take(self, commit: Commit, end: int) -> Iterator[Row]:
        rows, self._pending = self._pending, []
        if rows:
            times = [row.received_at for row in rows]
            self.totals.add(end, len(rows), min(times), max(times))
        self.totals.end, self.totals.commits = end, commit.number
        self._broken = False
        self._looks = 0
        yield from rows

    def _salvage(self) -> Iterator[Row]:
        rows, self._pending = self._pending, []
        self.totals.rows += len(rows)
        yield from rows

    def _end(self, end: End, file: BinaryIO, behind: int) -> None:
        self.ended_at = behind
        self._done = True
        if not self.damaged and end != self.totals.closing(end.closed_at):
            self._fault(
                self._at,
                f"it was closed with {end.rows} rows in {end.commits} commits"
                f" and holds {self.totals.rows} in {self.totals.commits}",
            )
        # In an open segment the last line cuts off a commit that failed, whose remains may still follow.
        if self._closed and file.read(1):
            self._fault(behind, "something follows the last line")

    def _go_on(self, line: bytes, said: Mark | None) -> None:
        """Pass a line of a damaged or closed segment that is none of those expected."""
        if not line:
            self._done = True
            if self._closed:
                self._fault(self._at, "the last line is missing: the file was cut short")
        elif not self._closed and not line.strip(b"\0"):
            self._done = len(line) < MAX_LINE_BYTES
        else:
            self._fault(self._at, _wrong(said))
            if isinstance(said, Commit):
                self.totals.commits = said.number
                self._broken = False

    def _fault(self, at: int, what: str) -> None:
        self.damaged = True
        self._broken = True
        self._on_damage(Damage(self.path, at, what))

    def _look_behind(self, file: BinaryIO, line: bytes) -> None:
        """Judge what follows the last whole commit of an open segment: nothing or a torn commit, a write under way, or damage."""
        wrong = self._wrong_behind(file)
        if wrong is None:
            self._pending.clear()
            self._done = True
        elif self._looks < _LOOKS:  # a writer may be at work right now
            self._looks += 1
            self._pending.clear()
            time.sleep(_PAUSE_S)
            self._at = self.totals.end
            file.seek(self._at)
        else:
            self._fault(self._at, wrong)
            self._at += len(line)
            file.seek(self._at)

    def _wrong_behind(self, file: BinaryIO) -> str | None:
        start = self.totals.end
        behind, size = _nonzero(file, start)
        if self.begin is not None and size != self.begin.size:
            return f"the file was cut short: expected {self.begin.size} bytes, was {size}"
        return None if _is_torn(behind, start, self.totals.commits + 1) else "the line does not fit its CRC-32"


def _wrong(said: Mark | None) -> str:
    if isinstance(said, Commit):
        return f"rows or commits before commit {said.number} are missing"
    return "the line does not fit its CRC-32" if said is None else "a first line in the middle"


def _nonzero(file: BinaryIO, start: int) -> tuple[bytes, int]:
    """What a file holds from an offset to its last byte that is not NUL, and the file's size."""
    file.seek(start)
    found, zeros = bytearray(), 0
    while chunk := file.read(1 << 20):
        content = chunk.rstrip(b"\0")
        if content:
            found += bytes(zeros) + content
            zeros = 0
        zeros += len(chunk) - len(content)
    return bytes(found), start + len(found) + zeros


def _is_torn(behind: bytes, start: int, number: int) -> bool:
    """Whether what follows the last whole commit can be the unfinished write of the next one, or is nothing at all.

    Args:
        behind: from `start` to the last byte that is not NUL.
        start: offset behind the last whole commit.
        number: of the commit that may be torn.
    """
    if not behind:
        return True
    holes = [(start + hole.start(), start + hole.end()) for hole in re.finditer(rb"\0+", behind)]
    if any((begins != start and begins % _SECTOR) or ends % _SECTOR for begins, ends in holes):
        return False
    *lines, rest = behind.split(b"\n")
    whole = [line for line in lines if b"\0" not in line]
    said = [parse(line + b"\n") for line in whole]
    if not all(isinstance(each, Row) or (isinstance(each, Commit) and each.number == number) for each in said):
        return False
    marks = [at for at, each in enumerate(said) if isinstance(each, Commit)]
    # Where one byte is all that is missing, it may have had a sector for itself, but a changed byte is likelier.
    if not rest and marks == [len(said) - 1]:
        return sum(ends - begins for begins, ends in holes) > 1
    if not holes and isinstance(parse(rest + b"\n"), Commit):
        return False
    ends_with_its_mark = not rest and b"\0" in lines[-1]
    return not marks and (ends_with_its_mark or (start + len(behind)) % _SECTOR == 0)
