"""Reads the prediction log of all instances, also while they write."""

import heapq
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tidegate.errors import ConfigurationError, LogDamaged
from tidegate.serving.log.folder import instance_folders, number_of, segments
from tidegate.serving.log.lines import End, parse, row_bytes
from tidegate.serving.log.record import Row
from tidegate.serving.log.scan import Damage, Scan

_LAST_LINE: Final = 512


@dataclass(frozen=True, slots=True)
class Verified:
    """What a pass over the whole log found.

    Attributes:
        instances: how many wrote there.
        files: how many segments there are.
        open_files: how many of them are not closed.
        rows: how many were read.
        damages: every place where a file is not what was written; empty when all is whole.
    """

    instances: int
    files: int
    open_files: int
    rows: int
    damages: tuple[Damage, ...]


def read(
    folder: Path,
    *,
    strategy: str | None = None,
    since_ms: int | None = None,
    until_ms: int | None = None,
    on_corrupt: Callable[[Damage], None] | None = None,
) -> Iterator[Row]:
    """Rows of all instances, merged by `answered_at`; those of one instance stay in the order of writing.

    Closed files that hold nothing of the asked time are passed over.

    Args:
        folder: of the whole log.
        strategy: only rows of this one.
        since_ms: only rows with `received_at` at or after this, UTC ms.
        until_ms: only rows with `received_at` before this, UTC ms.
        on_corrupt: told of each damage, and the rows that are whole by themselves are read; None raises.

    Raises:
        LogDamaged: a file is not what was written; names file and offset.
        ConfigurationError: there is no such folder.
    """
    _must_exist(folder)
    tell = on_corrupt or _refuse
    parts = [_rows(instance, since_ms, until_ms, tell) for instance in instance_folders(folder)]
    for row in heapq.merge(*parts, key=lambda row: row.answered_at):
        if (
            (strategy is None or row.strategy == strategy)
            and (since_ms is None or row.received_at >= since_ms)
            and (until_ms is None or row.received_at < until_ms)
        ):
            yield row


def verify(folder: Path) -> Verified:
    """Read everything and list every damage.

    Raises:
        ConfigurationError: there is no such folder.
    """
    _must_exist(folder)
    damages: list[Damage] = []
    rows = files = open_files = 0
    instances = instance_folders(folder)
    for instance in instances:
        found = segments(instance)
        files += len(found)
        open_files += sum(each.suffix == ".open" for each in found)
        rows += sum(1 for _ in _rows(instance, None, None, damages.append))
    return Verified(len(instances), files, open_files, rows, tuple(damages))


def canonical(rows: Iterable[Row]) -> list[Row]:
    """One row for each strategy, symbol, bar, version and role, by the rule of docs/contracts/prediction-log.md.

    The order of the given rows does not matter.

    Returns:
        Ascending by strategy, symbol, bar, version (none first), role.
    """
    best: dict[tuple[str, str, int, int, str], Row] = {}
    for row in rows:
        if row.bar_closed_at is None:
            continue
        version = -1 if row.version is None else row.version
        key = (row.strategy, row.symbol, row.bar_closed_at, version, row.role)
        known = best.get(key)
        if known is None or _rank(row) < _rank(known):
            best[key] = row
    return [best[key] for key in sorted(best)]


def _rank(row: Row) -> tuple[bool, int, str, str, bytes]:
    return row.target_position is None, row.received_at, row.instance, row.request_id, row_bytes(row)


def _rows(instance: Path, since_ms: int | None, until_ms: int | None, tell: Callable[[Damage], None]) -> Iterator[Row]:
    found = segments(instance)
    if _gaps(found):  # a listing may miss a file that is renamed at that moment
        found = segments(instance)
    for at, missing in _gaps(found):
        tell(Damage(at, 0, f"file {missing} of this instance is missing before it"))
    for listed in found:
        path = listed if listed.exists() else listed.with_suffix(".log")  # closed since it was listed
        if path.suffix == ".log" and _outside(path, since_ms, until_ms):
            continue
        try:
            yield from Scan(path, tell)
        except FileNotFoundError:
            yield from _closed_or_removed(path, tell)


def _gaps(found: list[Path]) -> list[tuple[Path, int]]:
    """Segments before which a number is missing, and that number."""
    numbers = [number_of(each) for each in found]
    return [
        (each, before + 1)
        for each, before, number in zip(found[1:], numbers, numbers[1:], strict=False)
        if number != before + 1
    ]


def _closed_or_removed(path: Path, tell: Callable[[Damage], None]) -> Iterator[Row]:
    """A file that went between looking and opening: closed if it was open, else old enough to be removed."""
    closed = path.with_suffix(".log")
    if closed.exists():
        yield from Scan(closed, tell)


def _outside(closed: Path, since_ms: int | None, until_ms: int | None) -> bool:
    """Whether a closed segment says that it holds nothing of a time."""
    if since_ms is None and until_ms is None:
        return False
    try:
        with closed.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _LAST_LINE))
            lines = file.read().splitlines(keepends=True)
    except FileNotFoundError:
        return True
    end = parse(lines[-1]) if lines else None
    if not isinstance(end, End) or end.received_from is None or end.received_until is None:
        return False
    return (since_ms is not None and end.received_until < since_ms) or (
        until_ms is not None and end.received_from >= until_ms
    )


def _refuse(damage: Damage) -> None:
    raise LogDamaged(
        f"{damage.path} is damaged at byte {damage.offset}: {damage.what}",
        next_step="list all damage with `tidegate log verify`, and restore the file from a backup",
    )


def _must_exist(folder: Path) -> None:
    if not folder.is_dir():
        raise ConfigurationError(
            f"there is no prediction log in {folder}",
            setting="serving.log_folder",
            next_step="serve a strategy first, or run where the service's settings are",
        )
