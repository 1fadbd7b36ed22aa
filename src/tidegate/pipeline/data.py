"""Bars for a job: fetched, validated, stored, and named by a snapshot."""

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tidegate.bars.bars import COLUMNS, Bars, iso
from tidegate.bars.interval import DAY_MS
from tidegate.bars.revisions import values_of
from tidegate.bars.snapshot import take
from tidegate.bars.sources.source import RawBars, open_source
from tidegate.bars.store import BarStore
from tidegate.dataset.dataset import Dataset, assemble
from tidegate.dataset.folds import walk_forward
from tidegate.dataset.spill import Spill
from tidegate.dataset.windows import FoldWindows
from tidegate.errors import SourceError
from tidegate.features.features import resolve
from tidegate.pipeline.job import Job
from tidegate.pipeline.threads import limit_linear_algebra
from tidegate.report.record import SymbolRecord
from tidegate.settings.settings import Settings
from tidegate.strategy.strategy import CcxtSource, SimulatedSource, Strategy, slug
from tidegate.validation.quarantine import write_quarantine
from tidegate.validation.validate import Validated, require, validate

log = logging.getLogger(__name__)

# A source that corrects its history touches a few bars; another exchange or market differs in nearly all of them. In between there is
# nothing to be seen, so the bound need not be fine.
MAX_REVISED_SHARE: Final = 0.01

Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Gathered:
    """Validated bars of all symbols.

    Attributes:
        bars: as stored, up to the job's time.
        symbols: origin, snapshot and findings of each.
        revised: by symbol, bars that the source now gives differently; the stored ones were used.
    """

    bars: tuple[Bars, ...]
    symbols: tuple[SymbolRecord, ...]
    revised: Mapping[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """Features, labels and walk-forward windows."""

    dataset: Dataset
    folds: tuple[FoldWindows, ...]


def bar_store(settings: Settings, strategy: Strategy) -> BarStore:
    """The store of a strategy's bars.

    Every simulated market, and every exchange's market, has one of its own, so that none can pass for another. Files share one: only the
    user knows which of them hold the same market, and `gather` refuses those that plainly do not.
    """
    if isinstance(strategy.source, SimulatedSource):
        described = strategy.source.model_dump_json(exclude={"days"})
        return BarStore(settings.paths.data / "simulated" / hashlib.sha256(described.encode()).hexdigest()[:16])
    if isinstance(strategy.source, CcxtSource):
        market = f"{slug(strategy.source.exchange)}-{strategy.source.market}"
        return BarStore(settings.paths.data / "exchanges" / market)
    return BarStore(settings.paths.data)


def may_recover(strategy: Strategy) -> bool:
    """Whether a source that failed may work a minute later: an exchange may, a file stays as it is."""
    return isinstance(strategy.source, CcxtSource)


def gather(job: Job) -> Gathered:
    """Fetch, validate, store and name the bars of every symbol.

    Raises:
        SourceError: the source cannot be read, or its bars are not those of the source that were stored before.
        ValidationFailed: a fatal rule found rows; nothing of that symbol was stored.
        StoreError: the store is damaged.
    """
    with job.watch.stage("bars"):
        found = [_gather_symbol(job, symbol) for symbol in job.strategy.symbols]
    return Gathered(
        tuple(bars for bars, _, _ in found),
        tuple(record for _, record, _ in found),
        {record.symbol: revised for _, record, revised in found},
    )


def prepare(job: Job, gathered: Gathered) -> Prepared:
    """Compute features and labels, and lay out the walk-forward windows.

    From here on this process's linear algebra has `compute.threads` threads.

    Raises:
        NotEnoughHistory: the bars do not reach for one fold.
    """
    limit_linear_algebra(job.settings.compute.threads)
    with job.watch.stage("features and labels"):
        spill = Spill(job.settings.paths.cache / "training", job.settings.compute.max_training_mb)
        dataset = assemble(gathered.bars, resolve(job.strategy.features), job.strategy, spill)
        folds = walk_forward(dataset.first_usable_at, dataset.end_at, job.strategy.windows, job.strategy.bar)
        return Prepared(dataset, folds)


def _first_wanted(job: Job) -> int | None:
    """The first bar that the windows, features and labels need, for an exchange; files and the simulator give what they have."""
    strategy = job.strategy
    if not isinstance(strategy.source, CcxtSource) or strategy.source.since is not None:
        return None
    windows = strategy.windows
    days = windows.train_days + windows.max_folds * windows.test_days + 1
    bars = resolve(strategy.features).lookback + strategy.labels.volatility_bars + windows.embargo_bars
    return job.as_of_ms - days * DAY_MS - bars * strategy.bar.milliseconds


def _last_wanted(job: Job) -> int | None:
    """A replay does not even read what came after its time; a run of today must see bars from the future, and refuse them."""
    return job.as_of_ms if job.as_of_ms < job.now_ms else None


def _gather_symbol(job: Job, symbol: str) -> tuple[Bars, SymbolRecord, int]:
    strategy, store = job.strategy, bar_store(job.settings, job.strategy)
    raw = open_source(strategy.source, job.root).fetch(
        symbol, strategy.bar, _first_wanted(job), _last_wanted(job), job.as_of_ms
    )
    docs: Path = job.folder / "validation" / slug(symbol)
    validated = _validate(job, raw.bars, docs)
    if len(validated.quarantined):
        write_quarantine(validated, docs)
    clean = require(validated)
    span = int(clean.opened_at[0]), int(clean.closed_at[-1])
    require_same_source(store.load(symbol, strategy.bar, *span), clean, strategy, store)
    report = store.ingest(clean, job.now_ms)
    bars, notes = store.load(symbol, strategy.bar, *span), raw.notes
    if not bars.equals(clean):  # stored bars win over revised or vanished ones, and are what must be sound
        notes += _stored_notes(bars, clean, len(validated.quarantined))
        for note in notes[len(raw.notes) :]:
            log.warning("%s %s: %s", symbol, strategy.interval, note)
        validated = _validate(job, bars, docs)
        bars = require(validated)
    return bars, _record(raw, notes, bars, take(store, bars).hash, validated), len(report.revised)


def require_same_source(stored: Bars, fetched: Bars, strategy: Strategy, store: BarStore) -> None:
    """Refuse bars that contradict the stored ones so often that they must come from another source or market.

    Since stored bars win, a strategy would otherwise be trained on the bars of whichever source was stored first.

    Args:
        stored: what is stored within the span of `fetched`, ascending.
        fetched: clean bars, ascending.
        strategy: for the names in the message.
        store: where `stored` is kept.
    Raises:
        SourceError: more than `MAX_REVISED_SHARE` of the bars that both have differ.
    """
    old, new, differing = _overlap(stored, fetched)
    count = int(differing.sum())
    if count <= MAX_REVISED_SHARE * len(differing):
        return
    first = int(np.argmax(differing))
    was, now = values_of(stored, int(old[first])), values_of(fetched, int(new[first]))
    raise SourceError(
        f"{count:,} of {len(differing):,} stored bars of {fetched.symbol} {fetched.interval} differ from what the source of "
        f"{strategy.name} gives, first the one of {iso(int(fetched.opened_at[new[first]]))}",
        expected=f"open, high, low, close, volume {was} as stored, at most {MAX_REVISED_SHARE:.0%} of the bars differing",
        actual=str(now),
        next_step="nothing was stored; this looks like another source or market: keep its bars apart, by another symbol name in the "
        "strategy or another data folder (paths.data); if the same source really corrected its history, move "
        f"{store.folder(fetched.symbol, fetched.interval)} to a backup and run again (snapshots of older models need it)",
    )


def _overlap(stored: Bars, fetched: Bars) -> tuple[Rows, Rows, NDArray[np.bool_]]:
    """Rows of the k bars that both have, and whether their values differ, (k,) each."""
    _, old, new = np.intersect1d(stored.opened_at, fetched.opened_at, assume_unique=True, return_indices=True)
    differing = np.zeros(len(old), bool)
    for name in COLUMNS[1:]:
        differing |= getattr(stored, name)[old] != getattr(fetched, name)[new]
    return old, new, differing


def _stored_notes(used: Bars, fetched: Bars, set_aside: int) -> tuple[str, ...]:
    """What is to be said where the stored bars were used instead of the fetched ones."""
    old, _, differing = _overlap(used, fetched)
    notes = []
    if differing.any():
        notes.append(
            f"{int(differing.sum()):,} of {len(differing):,} bars differ from the stored ones; the stored ones were used"
        )
    if len(used) > len(old):
        notes.append(f"{len(used) - len(old):,} stored bars are no longer in the source; they were used")
    if set_aside:
        notes.append(f"{set_aside:,} fetched rows were set aside; the validation is of the stored bars")
    return tuple(notes)


def _validate(job: Job, bars: Bars, docs: Path) -> Validated:
    return validate(
        bars,
        rules=job.settings.validation,
        calendar=job.strategy.calendar,
        as_of_ms=job.as_of_ms,
        docs_folder=docs,
    )


def _record(raw: RawBars, notes: tuple[str, ...], bars: Bars, snapshot: str, validated: Validated) -> SymbolRecord:
    return SymbolRecord(
        symbol=bars.symbol,
        origin=raw.origin,
        notes=notes,
        snapshot=snapshot,
        bars=len(bars),
        first_at=int(bars.opened_at[0]),
        last_at=int(bars.closed_at[-1]),
        validation=validated.summary(),
    )
