"""Bars for a job: fetched, validated, stored, and named by a snapshot."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tidegate.bars.bars import Bars
from tidegate.bars.interval import DAY_MS
from tidegate.bars.snapshot import take
from tidegate.bars.sources.source import open_source
from tidegate.bars.store import BarStore
from tidegate.dataset.dataset import Dataset, assemble
from tidegate.dataset.folds import walk_forward
from tidegate.dataset.windows import FoldWindows
from tidegate.features.features import resolve
from tidegate.pipeline.job import Job
from tidegate.report.record import SymbolRecord
from tidegate.settings.settings import Settings
from tidegate.strategy.strategy import CcxtSource, SimulatedSource, Strategy, slug
from tidegate.validation.quarantine import write_quarantine
from tidegate.validation.validate import judge, require, validate


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
    """The store of a strategy's bars; every simulated market has one of its own, so that none can pass for another."""
    if isinstance(strategy.source, SimulatedSource):
        described = strategy.source.model_dump_json(exclude={"days"})
        return BarStore(settings.paths.data / "simulated" / hashlib.sha256(described.encode()).hexdigest()[:16])
    return BarStore(settings.paths.data)


def may_recover(strategy: Strategy) -> bool:
    """Whether a source that failed may work a minute later: an exchange may, a file stays as it is."""
    return isinstance(strategy.source, CcxtSource)


def gather(job: Job) -> Gathered:
    """Fetch, validate, store and name the bars of every symbol.

    Raises:
        SourceError: the source cannot be read.
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

    Raises:
        NotEnoughHistory: the bars do not reach for one fold.
    """
    with job.watch.stage("features and labels"):
        dataset = assemble(gathered.bars, resolve(job.strategy.features), job.strategy)
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
    validated = validate(
        raw.bars,
        rules=job.settings.validation,
        calendar=strategy.calendar,
        as_of_ms=job.as_of_ms,
        docs_folder=docs,
    )
    if len(validated.quarantined):
        write_quarantine(validated, docs)
    clean = require(validated)
    report = store.ingest(clean, job.now_ms)
    bars = store.load(symbol, strategy.bar, int(clean.opened_at[0]), int(clean.closed_at[-1]))
    if not bars.equals(clean):  # stored bars win over revised or vanished ones, and are what must be sound
        rules, calendar = job.settings.validation, strategy.calendar
        bars = require(judge(bars, rules=rules, calendar=calendar, as_of_ms=job.as_of_ms))
    snapshot = take(store, bars)
    record = SymbolRecord(
        symbol=symbol,
        origin=raw.origin,
        notes=raw.notes,
        snapshot=snapshot.hash,
        bars=len(bars),
        first_at=int(bars.opened_at[0]),
        last_at=int(bars.closed_at[-1]),
        validation=validated.summary(),
    )
    return bars, record, len(report.revised)
