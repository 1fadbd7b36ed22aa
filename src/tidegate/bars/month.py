"""One month of one series as a Parquet file that proves its own content."""

from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tidegate.bars.bars import COLUMNS, Bars
from tidegate.bars.interval import Interval
from tidegate.bars.messages import reason
from tidegate.errors import DataError, StoreError

_VERSION: Final = "1"
_KEY: Final = "tidegate."


def month_names(bars: Bars) -> list[tuple[str, slice]]:
    """The months of ascending bars, such as `2024-03`, with their rows."""
    if not len(bars):
        return []
    months = bars.opened_at.astype("datetime64[ms]").astype("datetime64[M]")
    starts = np.flatnonzero(np.concatenate(([True], months[1:] != months[:-1])))
    ends = [*starts[1:].tolist(), len(bars)]
    return [(str(months[start]), slice(int(start), end)) for start, end in zip(starts, ends, strict=True)]


def file_name(month: str) -> str:
    """The name of a month's file.

    >>> file_name("2024-03")
    'month=2024-03.parquet'
    """
    return f"month={month}.parquet"


def month_start_ms(month: str) -> int:
    """The first millisecond of a month, UTC."""
    return int(np.datetime64(month, "ms").astype(np.int64))


def month_end_ms(month: str) -> int:
    """The first millisecond after a month, UTC."""
    return int((np.datetime64(month, "M") + 1).astype("datetime64[ms]").astype(np.int64))


def write_month(bars: Bars, path: Path) -> None:
    """Write ascending bars of one month, with their symbol, interval and content hash in the file's metadata."""
    metadata = {
        f"{_KEY}version": _VERSION,
        f"{_KEY}symbol": bars.symbol,
        f"{_KEY}interval": bars.interval.text,
        f"{_KEY}content": bars.content_hash(),
    }
    table = pa.table(
        {
            name: pa.array(getattr(bars, name)).cast(pa.timestamp("ms", "UTC"))
            if name == "opened_at"
            else pa.array(getattr(bars, name))
            for name in COLUMNS
        }
    ).replace_schema_metadata(metadata)
    pq.write_table(table, path, compression="zstd", write_page_checksum=True)


def read_month(path: Path, symbol: str, interval: Interval) -> Bars:
    """Read a month and prove that it is what was written.

    Raises:
        StoreError: the file is damaged, or holds another symbol, interval or month.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            table = file.read(columns=list(COLUMNS))
        metadata = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
        columns = {name: table[name].to_numpy() for name in COLUMNS[1:]}
        opened_at = table["opened_at"].cast(pa.int64()).to_numpy()
        held = Interval(metadata[f"{_KEY}interval"])
        bars = Bars.of(metadata[f"{_KEY}symbol"], held, opened_at=opened_at, **columns)
        expected = metadata[f"{_KEY}content"]
    except (OSError, ValueError, KeyError, DataError) as error:
        raise _damaged(path, reason(error)) from error
    if bars.content_hash() != expected:
        raise _damaged(path, "its bars do not match their own hash")
    if bars.symbol != symbol:
        raise StoreError(
            f"file {path} belongs to another symbol of the same short name", expected=symbol, actual=bars.symbol,
            next_step="keep the two symbols in stores of their own",
        )  # fmt: skip
    if bars.interval != interval or [file_name(month) for month, _ in month_names(bars)] != [path.name]:
        raise _damaged(path, "it holds another interval or month than its name says")
    return bars


def _damaged(path: Path, reason: str) -> StoreError:
    return StoreError(
        f"file {path} is damaged: {reason}",
        next_step="move it away and ingest that month again, or restore it from a backup",
    )
