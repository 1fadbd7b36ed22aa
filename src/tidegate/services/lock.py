"""One `tidegate up`, and one watch, a project: a lock that the system releases even after kill -9, with a note on who holds it."""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tidegate.errors import ServiceError


@dataclass(frozen=True)
class Entry:
    """A started server as the lock's note names it.

    Args:
        name: its short id.
        pid: its process group.
        log: its log file.
        address: where people reach it, if they do.
    """

    name: str
    pid: int
    log: str
    address: str | None = None


@dataclass(frozen=True)
class Note:
    """Who holds the lock and what was started.

    Args:
        pid: the process of `tidegate up`.
        entries: its servers, in the order of their start.
    """

    pid: int
    entries: tuple[Entry, ...] = ()


class Held:
    """A held lock.

    Args:
        path: the lock file.
        left: the note of an earlier holder that was killed, so that its servers may still be stopping.
    """

    def __init__(self, path: Path, left: Note | None) -> None:
        self.path = path
        self.left = left

    def write(self, entries: Sequence[Entry]) -> None:
        """Note what runs. Rewritten in place, since the lock belongs to this very file."""
        _write(self.path, json.dumps(asdict(Note(os.getpid(), tuple(entries))), indent=1))


@contextlib.contextmanager
def hold(path: Path, title: str = "tidegate up") -> Iterator[Held]:
    """Hold the project's lock while the block runs.

    A note that is left in a file which nobody holds is stale: the process was killed. `flock` knows that for sure, where a
    look at the noted pid could meet another process of the same number.

    Raises:
        ServiceError: another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        if not _lock(descriptor):
            note = _read(path)
            who = f"process {note.pid}" if note else "another process"
            raise ServiceError(
                f"{title} runs already in this project, as {who}",
                next_step="use its servers (tidegate status shows them), or stop it first with Ctrl-C or SIGTERM",
            )
        held = Held(path, _read(path))
        held.write(held.left.entries if held.left else ())
        try:
            yield held
        finally:
            _write(path, "")
    finally:
        os.close(descriptor)


def read(path: Path) -> Note | None:
    """The note of the process that holds the lock now; None when nobody does."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(path)
    else:
        return None
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    for _ in range(10):  # a reader of the note holds a shared lock for an instant
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.05)
    return False


def _read(path: Path) -> Note | None:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        content = json.loads(path.read_text(encoding="utf-8"))
        return Note(int(content["pid"]), tuple(Entry(**entry) for entry in content["entries"]))
    return None


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
