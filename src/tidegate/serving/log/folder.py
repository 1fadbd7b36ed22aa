"""Where the files of the prediction log lie: one folder an instance, in it one numbered file a segment.

A closed segment is `000000000001.log`, an open one `000000000001.open`; `.tmp` is one being made, `.lock` the writer's lock.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote

from tidegate.errors import ConfigurationError, ServiceError

_LOCK: Final = ".lock"
_TRIES: Final = 40
_PAUSE_S: Final = 0.05
_DAY_NS: Final = 86_400_000_000_000


def folder_name(instance: str) -> str:
    """An instance's name as the name of its folder."""
    return quote(instance, safe="")


def instance_folder(folder: Path, instance: str) -> Path:
    """Where an instance's files lie.

    Raises:
        ConfigurationError: the name is empty, too long, or would hide its folder.
    """
    name = folder_name(instance)
    if not name or len(name) > 200 or name.startswith("."):
        raise ConfigurationError(
            "instance cannot be the name of a folder",
            expected="1 to 200 characters, the first no point",
            actual=repr(instance[:60]),
            setting="serving.instance",
        )
    return folder / name


def instance_folders(folder: Path) -> list[Path]:
    """The folders of all instances, by name."""
    with contextlib.suppress(FileNotFoundError):
        return sorted(each for each in folder.iterdir() if each.is_dir() and not each.name.startswith("."))
    return []


def segment_path(folder: Path, number: int) -> Path:
    """Where an instance's open segment of a number lies."""
    return folder / f"{number:012}.open"


def number_of(segment: Path) -> int:
    """The number in a segment's name; 0 where there is none."""
    return int(segment.stem) if segment.stem.isdecimal() else 0


def segments(folder: Path) -> list[Path]:
    """The closed and open segments of an instance, in the order of their numbers."""
    found: dict[int, Path] = {}
    for each in sorted(folder.iterdir(), reverse=True):
        if each.suffix in {".log", ".open"} and number_of(each):
            found[number_of(each)] = (
                each  # one that is being renamed may be listed under both names; the later one counts
            )
    return [found[number] for number in sorted(found)]


def total_bytes(folder: Path) -> int:
    """Size of all files of all instances; an open segment counts whole."""
    size = 0
    for instance in instance_folders(folder):
        for each in instance.iterdir():
            with contextlib.suppress(FileNotFoundError):  # renamed or removed meanwhile
                size += each.stat().st_size
    return size


def remove_old(folder: Path, now_ms: int, keep_days: int) -> int:
    """Remove closed segments that were written to last more than `keep_days` ago; returns how many.

    Of each instance the lowest numbers go first and none is left out, so that a number missing in the middle means loss.
    """
    oldest_ns = now_ms * 1_000_000 - keep_days * _DAY_NS
    removed = 0
    for instance in instance_folders(folder):
        for segment in segments(instance):
            try:
                if segment.suffix != ".log" or segment.stat().st_mtime_ns >= oldest_ns:
                    break
                segment.unlink()
            except FileNotFoundError:  # another instance was quicker
                continue
            removed += 1
    return removed


@contextlib.contextmanager
def held(folder: Path) -> Iterator[bool]:
    """Hold an instance's folder if nobody does; says whether. The system frees it when the process ends, however it ends."""
    with contextlib.ExitStack() as stack:
        descriptor = _try_lock(folder)
        if descriptor is not None:
            stack.callback(os.close, descriptor)
        yield descriptor is not None


def lock(folder: Path) -> int:
    """Hold an instance's folder until the returned descriptor is closed.

    Raises:
        ServiceError: another process writes there.
        OSError: the folder cannot be written.
    """
    for _ in range(_TRIES):  # another instance may be closing what a killed process left here
        descriptor = _try_lock(folder)
        if descriptor is not None:
            return descriptor
        time.sleep(_PAUSE_S)
    raise ServiceError(
        f"another process writes the prediction log in {folder}",
        expected="a name of its own for each process",
        setting="serving.instance",
        next_step="stop the other process, or give this one another name or folder",
    )


def _try_lock(folder: Path) -> int | None:
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
