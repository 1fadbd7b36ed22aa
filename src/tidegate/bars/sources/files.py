"""Bars from CSV and Parquet files of any origin."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tidegate.bars.bars import Floats
from tidegate.bars.interval import Interval
from tidegate.bars.messages import reason
from tidegate.bars.sources import columns, dates, text
from tidegate.bars.sources.assembly import Part, assemble, bars_from
from tidegate.bars.sources.paths import find_files, origin_of, read_file
from tidegate.bars.sources.source import RawBars
from tidegate.bars.sources.stamps import read_stamps
from tidegate.errors import SourceError
from tidegate.strategy.strategy import FileSource, slug

ENDINGS: Final = (".csv", ".csv.gz", ".tsv", ".txt", ".txt.gz", ".tsv.gz", ".parquet", ".pq")
_PARQUET: Final = (".parquet", ".pq")


@dataclass(frozen=True, slots=True)
class Columns:
    """One file's columns before its times are read."""

    time: pa.Array
    prices: Sequence[Floats]
    notes: tuple[str, ...]
    where: str
    first_line: int


@dataclass(frozen=True, slots=True)
class FileBars:
    """CSV and Parquet files as a source."""

    source: FileSource
    root: Path

    def fetch(
        self, symbol: str, interval: Interval, start_at: int | None, end_at: int | None, as_of_ms: int
    ) -> RawBars:
        """Read the files as they are.

        The order of day and month is told from all files together, so that a file of a few days is read like the others.
        """
        del as_of_ms  # files are history; bars from the future are for the validation to find
        paths = find_files(self.source.path, symbol, self.root, ENDINGS)
        found = [self._read(path, symbol) for path in paths]
        day_first = self.source.day_first if self.source.day_first is not None else _common_order(found)
        parts = []
        for file in found:
            stamps = read_stamps(
                file.time,
                time_zone=self.source.time_zone,
                day_first=day_first,
                where=file.where,
                first_line=file.first_line,
            )
            bars = bars_from(symbol, interval, stamps.opened_at, file.prices)
            parts.append(Part(bars, file.notes + stamps.notes, Path(file.where).name))
        return assemble(parts, origin_of(paths, self.root), start_at, end_at)

    def _read(self, path: Path, symbol: str) -> Columns:
        reader = read_parquet if path.name.lower().endswith(_PARQUET) else read_text
        return reader(path, self.source.columns, symbol)


def read_text(path: Path, own: Mapping[str, str], symbol: str) -> Columns:
    """Read the columns of a CSV file."""
    where = str(path)
    content, notes = text.to_utf8(read_file(path), where)
    layout = text.find_layout(content, where)
    if layout.names is None:
        chosen = columns.by_position(layout.cells, own, where)
    else:
        chosen = columns.by_name(layout.names, layout.cells, own, symbol, where)
    labels = [place for place in (chosen.time, chosen.clock, chosen.symbol) if place is not None]
    read = text.read_columns(content, layout, labels, chosen.values, where)
    if chosen.symbol is not None:
        _check_symbol(read[chosen.symbol], symbol, where)
    time = read[chosen.time]
    if chosen.clock is not None:
        time = pc.binary_join_element_wise(time, read[chosen.clock], " ")
    prices = [read[place].to_numpy(zero_copy_only=False) for place in chosen.values]
    if layout.names is None and not own:
        _check_order_of_prices(prices, where)
    found = notes + layout.notes + chosen.notes + (("decimal comma",) if layout.comma_decimals else ())
    return Columns(time, prices, found, where, layout.first_line)


def read_parquet(path: Path, own: Mapping[str, str], symbol: str) -> Columns:
    """Read the columns of a Parquet file."""
    where = str(path)
    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            head = next(file.iter_batches(batch_size=1), None)
            cells = [_as_text(column) for column in head] if head is not None else [""] * len(schema.names)
            chosen = columns.by_name(schema.names, cells, own, symbol, where)
            wanted = [
                place for place in (chosen.time, *chosen.values, chosen.clock, chosen.symbol) if place is not None
            ]
            table = file.read(columns=[schema.names[place] for place in wanted])
    except (OSError, pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise SourceError(
            f"file {path} cannot be read as Parquet: {reason(error)}", next_step="write or fetch it again"
        ) from error
    read = {place: table[schema.names[place]] for place in wanted}
    if chosen.symbol is not None:
        _check_symbol(read[chosen.symbol], symbol, where)
    if chosen.clock is not None:
        raise SourceError(
            f"{where} has date and time of day apart", expected="one column with the opening time",
            setting="source.columns", next_step="join them when writing the file",
        )  # fmt: skip
    prices = [_floats(read[place], f"{where}, column {schema.names[place]}") for place in chosen.values]
    return Columns(read[chosen.time], prices, chosen.notes, where, 1)


def _as_text(column: pa.ChunkedArray) -> str:
    """The first cell by Arrow's own means: a time in nanoseconds becomes no Python object without pandas."""
    try:
        return str(column.cast(pa.string())[0].as_py() or "")
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return ""


def _floats(column: pa.ChunkedArray, where: str) -> Floats:
    try:
        numbers = column.cast(pa.float64())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise SourceError(
            f"{where} of type {column.type} holds no numbers: {reason(error)}", expected="numbers"
        ) from error
    filled: Floats = (pc.fill_null(numbers, float("nan")) if numbers.null_count else numbers).to_numpy()
    return filled


def _check_symbol(column: pa.ChunkedArray, symbol: str, where: str) -> None:
    names = sorted({slug(str(name)) for name in pc.unique(column).to_pylist()})
    if names and names != [slug(symbol)]:
        raise SourceError(
            f"{where} names another symbol in its symbol column",
            expected=symbol,
            actual=", ".join(names[:5]),
            next_step="keep one symbol a file, named as in the strategy",
        )


def _check_order_of_prices(prices: Sequence[Floats], where: str) -> None:
    opened, high, low, close, _ = prices
    fits = (high >= np.maximum(opened, close)) & (low <= np.minimum(opened, close))
    if len(fits) and np.count_nonzero(fits) < 0.9 * len(fits):
        raise SourceError(
            f"{where} has no column names, and its columns are not open, high, low, close",
            expected="high >= open, close >= low in nearly all rows",
            actual=f"{np.count_nonzero(fits)} of {len(fits)} rows",
            setting="source.columns",
            next_step="give positions, such as {opened_at: '1', open: '2', ...}",
        )


def _common_order(files: Sequence[Columns]) -> bool | None:
    orders: dict[bool, str] = {}
    for file in files:
        if isinstance(file.time, pa.ChunkedArray):
            if not pa.types.is_string(file.time.type):
                continue
            evidence = dates.day_first_evidence(file.time.combine_chunks())
        elif pa.types.is_string(file.time.type):
            evidence = dates.day_first_evidence(pc.utf8_trim_whitespace(file.time))
        else:
            continue
        if evidence is not None:
            orders[evidence] = file.where
    if len(orders) > 1:
        raise SourceError(
            f"dates are day-first in {orders[True]} and month-first in {orders[False]}",
            expected="one order in all files of a source",
        )
    return next(iter(orders), None)
