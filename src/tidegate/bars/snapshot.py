"""Snapshots: bars named by the hash of their content, which can be rebuilt from the store at any later time.

A snapshot keeps no copy. It says which bars it holds and how far the record of revisions had grown; what was accepted since is taken
back when rebuilding, and bars that were added since are left out. The hash proves the result.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np

from tidegate.bars.bars import Bars, Times, iso
from tidegate.bars.interval import Interval
from tidegate.bars.revisions import Values
from tidegate.bars.store import BarStore, with_values
from tidegate.durable import write_whole
from tidegate.errors import StoreError

_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The name of some bars and how to find them again.

    Attributes:
        hash: `Bars.content_hash()` of the bars.
        symbol: theirs.
        interval: theirs.
        first: opening of the first bar, UTC ISO 8601.
        last: opening of the last bar.
        bars: how many.
        revision_events: events in the series' record of revisions when the snapshot was taken.
        runs: unbroken runs of bars: opening of the first in UTC ms, and how many follow one another.
        version: of the file format.
    """

    hash: str
    symbol: str
    interval: str
    first: str
    last: str
    bars: int
    revision_events: int
    runs: tuple[tuple[int, int], ...]
    version: int = _VERSION


def take(store: BarStore, bars: Bars) -> Snapshot:
    """Name bars that are in the store. Taking the same bars again gives the same snapshot.

    Args:
        store: where the bars are.
        bars: at least one, strictly ascending, each as stored; they need not be all of a span.
    Raises:
        StoreError: a bar is not in the store, or is stored with other values.
    """
    if not len(bars) or (np.diff(bars.opened_at) <= 0).any():
        raise StoreError(f"no snapshot of {bars!r}", expected="at least one bar, strictly ascending")
    name = bars.content_hash()
    path = _path(store, name)
    if path.exists():
        known = _read(path, name)
        rebuild(store, name)
        return known
    first, last = int(bars.opened_at[0]), int(bars.opened_at[-1])
    stored, events = store.load_with_events(bars.symbol, bars.interval, first, last + bars.interval.milliseconds)
    found = _rows(stored, bars.opened_at)
    if found is None or found.content_hash() != name:
        raise StoreError(
            f"no snapshot of {bars!r}: the store holds other bars for that span",
            expected="bars as they are stored",
            actual=f"{len(stored)} stored bars",
            next_step="ingest the bars first, and load them from the store",
        )
    runs = _runs(bars.opened_at, bars.interval.milliseconds)
    snapshot = Snapshot(name, bars.symbol, str(bars.interval), iso(first), iso(last), len(bars), len(events), runs)
    write_whole(path, json.dumps(asdict(snapshot), indent=1) + "\n")
    return snapshot


def rebuild(store: BarStore, name: str) -> Bars:
    """The exact bars of a snapshot.

    Args:
        store: the store in which it was taken.
        name: its hash.
    Raises:
        StoreError: there is no such snapshot, its file is damaged, or the store no longer holds what it needs.
    """
    snapshot = _read(_path(store, name), name)
    step = Interval(snapshot.interval).milliseconds
    opened_at = np.concatenate([start + step * np.arange(count, dtype=np.int64) for start, count in snapshot.runs])
    stored, events = store.load_with_events(
        snapshot.symbol, Interval(snapshot.interval), int(opened_at[0]), int(opened_at[-1]) + step
    )
    before: dict[int, Values] = {}
    for event in reversed(events[snapshot.revision_events :]):
        if event.kind == "accepted":
            before[event.opened_at] = event.stored
    bars = _rows(with_values(stored, before), opened_at)
    if bars is None or bars.content_hash() != name:
        raise StoreError(
            f"snapshot {name[:12]} of {snapshot.symbol} {snapshot.interval} cannot be rebuilt",
            expected=f"{snapshot.bars} bars of that hash",
            actual="missing bars" if bars is None else f"bars of hash {bars.content_hash()[:12]}",
            next_step="restore the bar store and its revisions from a backup",
        )
    return bars


def _path(store: BarStore, name: str) -> Path:
    if len(name) != 64 or set(name) - set("0123456789abcdef"):
        raise StoreError(f"snapshot {name!r} is no name", expected="64 hexadecimal digits")
    return store.root / "snapshots" / f"{name}.json"


def _read(path: Path, name: str) -> Snapshot:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        runs = tuple((int(start), int(count)) for start, count in content.pop("runs"))
        snapshot = Snapshot(runs=runs, **content)
    except FileNotFoundError as error:
        raise StoreError(
            f"there is no snapshot {name[:12]}", expected=path, next_step="restore the snapshots folder from a backup"
        ) from error
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise StoreError(f"snapshot file {path} is damaged: {error}", next_step="restore it from a backup") from error
    if (
        snapshot.hash != name
        or snapshot.version != _VERSION
        or not runs
        or sum(count for _, count in runs) != snapshot.bars
    ):
        raise StoreError(f"snapshot file {path} contradicts itself", next_step="restore it from a backup")
    return snapshot


def _rows(stored: Bars, opened_at: Times) -> Bars | None:
    places = np.searchsorted(stored.opened_at, opened_at)
    if not len(stored) or places[-1] >= len(stored) or (stored.opened_at[places] != opened_at).any():
        return None
    return stored.take(places)


def _runs(opened_at: Times, step: int) -> tuple[tuple[int, int], ...]:
    starts = np.flatnonzero(np.concatenate(([True], np.diff(opened_at) != step)))
    counts = np.diff(np.append(starts, len(opened_at)))
    return tuple(zip(opened_at[starts].tolist(), counts.tolist(), strict=True))
