"""A source's bars as a replay keeps them: raw, month by month, so that what came later is not even in the file that is read.

::

    <replay>/bars/btcusdt/month=2018-01.parquet    rows that opened in the month, as the source gave them
                          origin.json              where they came from
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from tidegate.bars.bars import Bars, iso
from tidegate.bars.interval import DAY_MS, Interval
from tidegate.bars.month import file_name, month_end_ms, month_start_ms, read_month, write_month
from tidegate.bars.sources.source import RawBars, open_source
from tidegate.durable import sync, write_whole
from tidegate.errors import SourceError
from tidegate.replay.plan import Month, Plan, first_wanted_ms
from tidegate.strategy.strategy import CcxtSource, SimulatedSource, Source, slug

_ORIGIN: Final = "origin.json"


@dataclass(frozen=True, slots=True)
class History:
    """The raw bars of one replay.

    Attributes:
        folder: the replay's folder.
        interval: of the bars.
    """

    folder: Path
    interval: Interval

    def read(self, symbol: str, start_ms: int, end_ms: int) -> RawBars:
        """Rows with `start_ms <= opened_at` that closed by `end_ms`, as the source gave them; files of later months are not opened.

        Raises:
            StoreError: a file is damaged.
            SourceError: nothing was collected for this symbol.
        """
        place = self._place(symbol)
        parts = [
            read_month(path, symbol, self.interval)
            for path in sorted(place.glob("month=*.parquet"))
            if month_end_ms(_month_of(path)) > start_ms and month_start_ms(_month_of(path)) < end_ms
        ]
        bars = Bars.concatenate(parts) if parts else Bars.empty(symbol, self.interval)
        inside = (bars.opened_at >= start_ms) & (bars.closed_at <= end_ms)
        notes, origin = self._origin(symbol)
        return RawBars(bars if inside.all() else bars.take(inside), notes, origin)

    def month(self, symbol: str, name: str) -> Bars:
        """Rows that opened in one month, as the source gave them; none where there are none.

        Raises:
            StoreError: the file is damaged.
        """
        path = self._place(symbol) / file_name(name)
        return read_month(path, symbol, self.interval) if path.exists() else Bars.empty(symbol, self.interval)

    def months(self, symbol: str) -> frozenset[str]:
        """Months of which there are bars."""
        return frozenset(_month_of(path) for path in self._place(symbol).glob("month=*.parquet"))

    def write(self, symbol: str, raw: RawBars) -> None:
        """Keep a source's bars; a month that is there with the same bars is left alone."""
        place = self._place(symbol)
        place.mkdir(parents=True, exist_ok=True)
        opened = raw.bars.opened_at.astype("datetime64[ms]").astype("datetime64[M]")
        for month in np.unique(opened):
            rows = raw.bars.take(opened == month)
            path = place / file_name(str(month))
            if not path.exists() or not read_month(path, symbol, self.interval).equals(rows):
                temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
                write_month(rows, temporary)
                sync(temporary)
                temporary.replace(path)
        write_whole(place / _ORIGIN, json.dumps({"origin": raw.origin, "notes": raw.notes}) + "\n")

    def _place(self, symbol: str) -> Path:
        return self.folder / "bars" / slug(symbol)

    def _origin(self, symbol: str) -> tuple[tuple[str, ...], str]:
        path = self._place(symbol) / _ORIGIN
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise SourceError(f"the replay holds no bars of {symbol}", next_step="start the replay again") from error
        return tuple(content["notes"]), str(content["origin"])


def collect(plan: Plan) -> History:
    """Read the strategy's source once, for all months, and keep it month by month. An exchange is asked only for what is not there yet.

    Raises:
        SourceError: the source cannot be read, or has no bars in a month of the replay.
    """
    strategy, start = plan.strategy, first_wanted_of(plan)
    history = History(plan.folder, strategy.bar)
    for symbol in strategy.symbols:
        have = history.months(symbol)
        if not (isinstance(strategy.source, CcxtSource) and have.issuperset(months_of(start, plan.end_ms))):
            source = open_source(_whole(strategy.source, start, plan.end_ms), plan.root)
            raw = source.fetch(symbol, strategy.bar, start, plan.end_ms, plan.end_ms)
            history.write(symbol, raw)
        _require_months(history.months(symbol), plan.months, symbol)
    return history


def first_wanted_of(plan: Plan) -> int:
    """UTC ms of the first moment of the first month of which the first retrain can need bars: months are kept whole."""
    first = first_wanted_ms(plan.strategy, plan.start_ms, plan.settings.validation.max_missing_share)
    return month_start_ms(str(np.datetime64(first, "ms").astype("datetime64[M]")))


def _whole(source: Source, start_ms: int, end_ms: int) -> Source:
    """A simulated market gives the last `days` only, and an exchange begins where its strategy says: a replay needs the whole span."""
    if isinstance(source, SimulatedSource):
        # Not by `model_copy`'s validation: a replay may be longer than any retrain may ask for.
        return source.model_copy(update={"days": (end_ms - start_ms) // DAY_MS + 1})
    return source


def months_of(start_ms: int, end_ms: int) -> tuple[str, ...]:
    """Months that a span touches, in order.

    >>> months_of(0, 86_400_000 * 32)
    ('1970-01', '1970-02')
    """
    if end_ms <= start_ms:
        return ()
    first, last = (np.datetime64(at, "ms").astype("datetime64[M]") for at in (start_ms, end_ms - 1))
    return tuple(str(month) for month in np.arange(first, last + 1))


def _require_months(have: frozenset[str], wanted: tuple[Month, ...], symbol: str) -> None:
    missing = [month for month in wanted if month.name not in have]
    if missing:
        raise SourceError(
            f"the source has no bars of {symbol} in {missing[0].name}, and a replay needs bars in each of its months",
            expected=f"bars from {iso(wanted[0].as_of_ms)} to {iso(wanted[-1].end_ms)}",
            actual=f"{len(missing)} months without any",
            next_step="choose other months by --from and --to, or complete the source",
        )


def _month_of(path: Path) -> str:
    return path.name.removeprefix("month=").removesuffix(".parquet")
