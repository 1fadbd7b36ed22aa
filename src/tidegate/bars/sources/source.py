"""The one small interface of all sources."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tidegate.bars.bars import Bars
from tidegate.bars.interval import Interval
from tidegate.strategy.strategy import (
    CcxtSource,
    DumpSource,
    FileSource,
    FreqtradeSource,
    SimulatedSource,
    Source,
)


@dataclass(frozen=True, slots=True)
class RawBars:
    """Bars as a source gave them, for the validation to judge.

    Attributes:
        bars: n bars; disordered and duplicated rows, NaN and impossible prices are kept. Only a file that runs from newest to oldest
            throughout is turned around, and the files of a folder are put in the order of their first bars.
        notes: what was detected, such as `time stamps in ms and us`, for the run's record.
        origin: the files or exchange the bars came from.
    """

    bars: Bars
    notes: tuple[str, ...]
    origin: str


class BarSource(Protocol):
    """Gives the bars of one symbol."""

    def fetch(
        self, symbol: str, interval: Interval, start_at: int | None, end_at: int | None, as_of_ms: int
    ) -> RawBars:
        """Fetch bars with `start_at <= opened_at` and `closed_at <= end_at`.

        Args:
            symbol: as the strategy names it, such as `BTC/USDT`.
            interval: the bars' span; a source whose bars have another is refused.
            start_at: UTC ms, None for all there is.
            end_at: UTC ms, None for all there is.
            as_of_ms: the time of asking, UTC ms. Exchanges and the simulator give no bar that closes later; files are read as they
                are, so that the validation sees bars from the future.
        Raises:
            SourceError: the source cannot be read, or its format cannot be told for sure.
        """
        ...


def open_source(source: Source, root: Path) -> BarSource:
    """Open a strategy's source. Nothing is read yet; libraries are imported only for the kind of source at hand.

    Args:
        source: the strategy's `source` section.
        root: folder from which relative paths are taken.
    """
    match source:
        case FileSource():
            from tidegate.bars.sources.files import FileBars

            return FileBars(source, root)
        case DumpSource():
            from tidegate.bars.sources.dumps import DumpBars

            return DumpBars(source, root)
        case FreqtradeSource():
            from tidegate.bars.sources.freqtrade import FreqtradeBars

            return FreqtradeBars(source, root)
        case CcxtSource():
            from tidegate.bars.sources.exchange import ExchangeBars

            return ExchangeBars(source)
        case SimulatedSource():
            return SimulatedBars(source)


@dataclass(frozen=True, slots=True)
class SimulatedBars:
    """The documented market generator as a source."""

    source: SimulatedSource

    def fetch(
        self, symbol: str, interval: Interval, start_at: int | None, end_at: int | None, as_of_ms: int
    ) -> RawBars:
        """Generate the bars and give those finished at `as_of_ms`."""
        from tidegate.bars.simulated import simulate

        bars = simulate(symbol, interval, self.source, as_of_ms)
        known = bars.between(0 if start_at is None else start_at, as_of_ms if end_at is None else min(end_at, as_of_ms))
        notes = (f"simulated market, seed {self.source.seed}, edge {self.source.edge:g}",)
        return RawBars(known, notes, f"simulated market (seed {self.source.seed})")
