"""The bar store: Parquet by symbol, interval and month, in which a stored bar is never silently overwritten.

::

    <root>/bars/symbol=BTCUSDT/interval=5m/month=2024-03.parquet
                                           revisions.parquet

Each ingest and each acceptance of revisions is one step: a reader, and whoever comes after a kill, sees all of it or nothing.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tidegate.bars.bars import COLUMNS, Bars, iso
from tidegate.bars.commit import commit, locked, settled
from tidegate.bars.interval import Interval
from tidegate.bars.month import file_name, month_end_ms, month_names, month_start_ms, read_month, write_month
from tidegate.bars.revisions import FILE, Revision, open_revisions, read_events, values_of, write_events
from tidegate.errors import StoreError
from tidegate.strategy.strategy import slug

__all__ = ["BarStore", "IngestReport", "Revision"]

Writers = dict[str, Callable[[Path], None]]


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What an ingest did.

    Attributes:
        added: bars that were not stored before.
        unchanged: bars that were stored with the same values.
        revised: bars that are stored with other values, which stay. Each is reported at every ingest that still differs, and recorded
            once for each new set of values.
    """

    added: int
    unchanged: int
    revised: tuple[Revision, ...]


@dataclass(frozen=True, slots=True)
class BarStore:
    """Bars of any number of symbols and intervals under one folder.

    Attributes:
        root: the data folder; bars are kept in its `bars/`, snapshots in its `snapshots/`.
        lock_timeout_s: how long to wait for another ingest of the same series.
    """

    root: Path
    lock_timeout_s: float = 60.0

    def folder(self, symbol: str, interval: Interval) -> Path:
        """Where a series is kept."""
        return self.root / "bars" / f"symbol={slug(symbol).upper()}" / f"interval={interval}"

    def ingest(self, bars: Bars, ingested_at_ms: int) -> IngestReport:
        """Store finished, validated bars. Doing it twice changes nothing.

        Args:
            bars: n bars, strictly ascending, finite.
            ingested_at_ms: now, UTC ms: the time of recorded revisions; no bar may close later.
        Raises:
            StoreError: the bars are unsorted, duplicated, not finite or unfinished; the store is damaged or in use.
        """
        _refuse_unfit(bars, ingested_at_ms)
        if not len(bars):
            return IngestReport(0, 0, ())
        folder = self.folder(bars.symbol, bars.interval)
        with locked(folder, self.lock_timeout_s):
            events = read_events(folder)
            undecided = open_revisions(events)
            writers: Writers = {}
            added, revised, recorded = 0, [], []
            for month, rows in month_names(bars):
                path = folder / file_name(month)
                new = bars.take(rows)
                stored = read_month(path, bars.symbol, bars.interval) if path.exists() else new.take(slice(0, 0))
                merged, differing = _merge(stored, new)
                if len(merged) > len(stored):
                    added += len(merged) - len(stored)
                    writers[path.name] = partial(write_month, merged)
                for old_row, new_row in differing:
                    found = Revision(
                        int(new.opened_at[new_row]),
                        values_of(stored, old_row),
                        values_of(new, new_row),
                        "found",
                        ingested_at_ms,
                    )
                    known = undecided.get(found.opened_at)
                    recorded += [found] if known is None or known.revised != found.revised else []
                    revised.append(found)
                recorded += _withdrawn(undecided, new, {item.opened_at for item in revised}, ingested_at_ms)
            if recorded:
                writers[FILE] = partial(write_events, events + recorded)
            commit(folder, writers)
        return IngestReport(added, len(bars) - added - len(revised), tuple(revised))

    def load(self, symbol: str, interval: Interval, start_at: int | None = None, end_at: int | None = None) -> Bars:
        """The stored bars, ascending, with `start_at <= opened_at` and `closed_at <= end_at`; none when nothing is stored.

        Raises:
            StoreError: a file is damaged; the message names it.
        """
        folder = self.folder(symbol, interval)
        with settled(folder, self.lock_timeout_s):
            return self._load(folder, symbol, interval, start_at, end_at)

    def load_with_events(
        self, symbol: str, interval: Interval, start_at: int, end_at: int
    ) -> tuple[Bars, list[Revision]]:
        """The stored bars of a span together with all events of the series, as of one moment."""
        folder = self.folder(symbol, interval)
        with settled(folder, self.lock_timeout_s):
            return self._load(folder, symbol, interval, start_at, end_at), read_events(folder)

    def revisions(self, symbol: str, interval: Interval) -> tuple[Revision, ...]:
        """The whole record of a series: every revision found, accepted and withdrawn, in order."""
        folder = self.folder(symbol, interval)
        with settled(folder, self.lock_timeout_s):
            return tuple(read_events(folder))

    def open_revisions(self, symbol: str, interval: Interval) -> tuple[Revision, ...]:
        """The revisions of a series that wait for a decision, by bar."""
        return tuple(open_revisions(self.revisions(symbol, interval)).values())

    def accept_revisions(
        self, symbol: str, interval: Interval, accepted_at_ms: int, opened_at: Collection[int] | None = None
    ) -> tuple[Revision, ...]:
        """Make revised values the stored ones. The old values stay in the record.

        Args:
            symbol: the series.
            interval: the series.
            accepted_at_ms: now, UTC ms.
            opened_at: the bars to revise, UTC ms; None for all open revisions.
        Returns:
            what was accepted, by bar.
        Raises:
            StoreError: a named bar has no open revision, or the store is damaged or in use.
        """
        folder = self.folder(symbol, interval)
        with locked(folder, self.lock_timeout_s):
            events = read_events(folder)
            undecided = open_revisions(events)
            chosen = sorted(undecided if opened_at is None else set(opened_at))
            missing = [bar for bar in chosen if bar not in undecided]
            if missing:
                raise StoreError(
                    f"bar {iso(missing[0])} of {symbol} {interval} has no open revision",
                    next_step="list the open revisions first",
                )
            accepted = [
                Revision(bar, undecided[bar].stored, undecided[bar].revised, "accepted", accepted_at_ms)
                for bar in chosen
            ]
            writers = self._revised_months(folder, symbol, interval, accepted)
            if accepted:
                writers[FILE] = partial(write_events, events + accepted)
            commit(folder, writers)
        return tuple(accepted)

    def newest(self, symbol: str, interval: Interval) -> int | None:
        """When the newest stored bar opened, UTC ms: where the next ingest goes on."""
        folder = self.folder(symbol, interval)
        with settled(folder, self.lock_timeout_s):
            files = _month_files(folder)
            return int(read_month(files[-1][1], symbol, interval).opened_at[-1]) if files else None

    @staticmethod
    def _load(folder: Path, symbol: str, interval: Interval, start_at: int | None, end_at: int | None) -> Bars:
        first = start_at if start_at is not None else np.iinfo(np.int64).min
        last = end_at if end_at is not None else np.iinfo(np.int64).max
        files = [
            path for month, path in _month_files(folder) if month_start_ms(month) < last and month_end_ms(month) > first
        ]
        parts = [read_month(path, symbol, interval) for path in files]
        return Bars.concatenate(parts).between(first, last) if parts else Bars.empty(symbol, interval)

    @staticmethod
    def _revised_months(folder: Path, symbol: str, interval: Interval, accepted: list[Revision]) -> Writers:
        writers: Writers = {}
        by_bar = {item.opened_at: item.revised for item in accepted}
        opened = np.array(sorted(by_bar), np.int64)
        months = dict.fromkeys(str(month) for month in opened.astype("datetime64[ms]").astype("datetime64[M]"))
        for month in months:
            path = folder / file_name(month)
            stored = read_month(path, symbol, interval)
            writers[path.name] = partial(write_month, with_values(stored, by_bar))
        return writers


def with_values(bars: Bars, changes: dict[int, tuple[float, float, float, float, float]]) -> Bars:
    """Ascending bars with other values for some of them, by opening time; changes to bars that are not there are passed over."""
    columns = {name: getattr(bars, name).copy() for name in COLUMNS[1:]}
    opened = np.array(list(changes), np.int64)
    rows = np.searchsorted(bars.opened_at, opened)
    for opened_at, row in zip(opened.tolist(), rows.tolist(), strict=True):
        if row < len(bars) and bars.opened_at[row] == opened_at:
            for name, value in zip(COLUMNS[1:], changes[opened_at], strict=True):
                columns[name][row] = value
    return Bars.of(bars.symbol, bars.interval, opened_at=bars.opened_at, **columns)


def _refuse_unfit(bars: Bars, ingested_at_ms: int) -> None:
    steps = np.diff(bars.opened_at)
    if (steps <= 0).any():
        row = int(np.argmax(steps <= 0)) + 1
        raise StoreError(
            f"bars of {bars.symbol} {bars.interval} are {'duplicated' if steps[row - 1] == 0 else 'unsorted'} at row {row}, {iso(int(bars.opened_at[row]))}",
            expected="strictly ascending opening times",
            next_step="validate the bars before they are stored",
        )
    for name in COLUMNS[1:]:
        finite = np.isfinite(getattr(bars, name))
        if not finite.all():
            raise StoreError(
                f"{name} of {bars.symbol} {bars.interval} at {iso(int(bars.opened_at[np.argmin(finite)]))} is not finite",
                next_step="validate the bars before they are stored",
            )
    if len(bars) and bars.closed_at[-1] > ingested_at_ms:
        raise StoreError(
            f"the bar of {bars.symbol} {bars.interval} at {iso(int(bars.opened_at[-1]))} is not finished",
            expected=f"a close at or before {iso(ingested_at_ms)}",
            next_step="drop unfinished bars before they are stored",
        )


def _merge(stored: Bars, new: Bars) -> tuple[Bars, list[tuple[int, int]]]:
    """Stored bars plus those new ones that are not there, and the rows (stored, new) of those that differ."""
    places = np.searchsorted(stored.opened_at, new.opened_at)
    known: NDArray[np.bool_] = np.zeros(len(new), bool)
    inside = places < len(stored)
    known[inside] = stored.opened_at[places[inside]] == new.opened_at[inside]
    new_rows = np.flatnonzero(known)
    old_rows = places[new_rows]
    same = np.ones(len(new_rows), bool)
    for name in COLUMNS[1:]:
        same &= getattr(stored, name)[old_rows] == getattr(new, name)[new_rows]
    differing = list(zip(old_rows[~same].tolist(), new_rows[~same].tolist(), strict=True))
    if known.all():
        return stored, differing
    both = Bars.concatenate([stored, new.take(~known)])
    return both.take(np.argsort(both.opened_at, kind="stable")), differing


def _withdrawn(undecided: dict[int, Revision], new: Bars, revised: Collection[int], at_ms: int) -> Iterator[Revision]:
    """Open revisions of bars that the source now gives as they are stored."""
    if not undecided:
        return
    given = np.isin(np.fromiter(undecided, np.int64, len(undecided)), new.opened_at)
    for (opened_at, item), there in zip(undecided.items(), given.tolist(), strict=True):
        if there and opened_at not in revised:
            yield Revision(opened_at, item.stored, item.stored, "withdrawn", at_ms)


def _month_files(folder: Path) -> list[tuple[str, Path]]:
    found = []
    for path in sorted(folder.glob("month=*.parquet")):
        month = path.name.removeprefix("month=").removesuffix(".parquet")
        try:
            month_start_ms(month)
        except ValueError as error:
            raise StoreError(f"file {path} is no month of bars", next_step="move it away") from error
        found.append((month, path))
    return found
