"""Closes what a process that was killed left open. The caller holds the instance's folder."""

import os
from pathlib import Path

from tidegate.serving.log.folder import segments
from tidegate.serving.log.scan import Damage, Scan
from tidegate.serving.log.segment import Segment, finish


def close_leftovers(folder: Path, now_ms: int) -> list[Damage]:
    """Close an instance's open segments, each with its whole commits, and remove half-made ones.

    A torn commit at the end was never acknowledged and is cut off. A damaged segment is left as it is, as evidence; readers report it. The
    newest segments go if nothing was written to them.

    Args:
        folder: of the instance.
        now_ms: UTC ms.

    Returns:
        What is damaged.

    Raises:
        OSError: a file cannot be read or written.
    """
    for half_made in folder.glob("*.tmp"):
        half_made.unlink()
    damage: list[Damage] = []
    newest = True
    for path in reversed(segments(folder)):
        if path.suffix == ".log":
            newest = False
            continue
        scan = Scan(path, damage.append)
        for _ in scan:
            pass
        if scan.damaged:
            newest = False
        elif newest and not scan.totals.commits and scan.ended_at is None:
            path.unlink()
        else:
            newest = False
            _close(path, scan, now_ms)
    return damage


def _close(path: Path, scan: Scan, now_ms: int) -> None:
    modified_ns = path.stat().st_mtime_ns  # the age of its rows, not that of this start
    path.chmod(0o644)  # it may have been killed after it was made read-only
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    segment = Segment(path, descriptor, path.stat().st_size, scan.totals)
    if scan.ended_at is None:
        segment.close(now_ms, modified_ns=modified_ns)
        return
    try:
        os.ftruncate(descriptor, scan.ended_at)
        finish(path, descriptor, modified_ns=modified_ns)
    finally:
        segment.release()
