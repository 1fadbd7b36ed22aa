"""The record of revisions: what a source later said about bars that were stored already, and what was decided.

One Parquet file a series, `revisions.parquet`, grows by events and never loses one. The last event of a bar tells its state: `found` is
open, `accepted` made the new values the stored ones, `withdrawn` means that the source went back to the stored values.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tidegate.bars.bars import Bars
from tidegate.bars.messages import reason
from tidegate.errors import StoreError

FILE: Final = "revisions.parquet"
_CONTENT: Final = b"tidegate.content"
VALUES: Final = ("open", "high", "low", "close", "volume")
Values = tuple[float, float, float, float, float]
Kind = Literal["found", "accepted", "withdrawn"]

_SCHEMA: Final = pa.schema(
    [
        ("sequence", pa.int64()),
        ("kind", pa.string()),
        ("at", pa.timestamp("ms", "UTC")),
        ("opened_at", pa.timestamp("ms", "UTC")),
        *((f"{side}_{name}", pa.float64()) for side in ("stored", "revised") for name in VALUES),
    ]
)


@dataclass(frozen=True, slots=True)
class Revision:
    """One event in the life of a bar that its source changed.

    Attributes:
        opened_at: the bar, UTC ms.
        stored: its stored open, high, low, close, volume before the event.
        revised: the values that the source gave instead.
        kind: what happened.
        at_ms: when, UTC ms.
    """

    opened_at: int
    stored: Values
    revised: Values
    kind: Kind
    at_ms: int


def values_of(bars: Bars, row: int) -> Values:
    """One bar's open, high, low, close and volume."""
    return (
        float(bars.open[row]),
        float(bars.high[row]),
        float(bars.low[row]),
        float(bars.close[row]),
        float(bars.volume[row]),
    )


def open_revisions(events: Iterable[Revision]) -> dict[int, Revision]:
    """The revisions nobody has decided on, by bar: those whose last event is `found`."""
    last = {event.opened_at: event for event in events}
    return {opened_at: event for opened_at, event in sorted(last.items()) if event.kind == "found"}


def read_events(folder: Path) -> list[Revision]:
    """All events of a series, in order.

    Raises:
        StoreError: the file is damaged.
    """
    path = folder / FILE
    if not path.exists():
        return []
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            table = file.read()
    except (OSError, ValueError) as error:
        raise _damaged(path, reason(error)) from error
    if not table.schema.equals(_SCHEMA, check_metadata=False) or table["sequence"].to_pylist() != list(
        range(len(table))
    ):
        raise _damaged(path, "events are missing or have another form")
    if (table.schema.metadata or {}).get(_CONTENT) != _digest(table):
        raise _damaged(path, "its events do not match their own hash")
    times = (table[name].cast(pa.int64()).to_pylist() for name in ("opened_at", "at"))
    stored, revised = (
        zip(*(table[f"{side}_{name}"].to_pylist() for name in VALUES), strict=True) for side in ("stored", "revised")
    )
    rows = zip(*times, stored, revised, table["kind"].to_pylist(), strict=True)
    return [Revision(opened_at, before, after, kind, at) for opened_at, at, before, after, kind in rows]


def _damaged(path: Path, reason: str) -> StoreError:
    return StoreError(
        f"file {path} is damaged: {reason}",
        next_step="restore it from a backup: without it old snapshots cannot be rebuilt",
    )


def _digest(table: pa.Table) -> bytes:
    """SHA-256 over all cells, whatever the file's encoding."""
    digest = hashlib.sha256()
    for name in _SCHEMA.names:
        if name == "kind":
            digest.update("\n".join(table[name].to_pylist()).encode())
        else:
            digest.update(
                table[name].cast(_SCHEMA.field(name).type).combine_chunks().view(pa.int64()).to_numpy().tobytes()
            )
    return digest.hexdigest().encode()


def write_events(events: list[Revision], path: Path) -> None:
    """Write all events of a series to a file."""
    columns: dict[str, Any] = {
        "sequence": np.arange(len(events)),
        "kind": [event.kind for event in events],
        "at": np.array([event.at_ms for event in events], np.int64),
        "opened_at": np.array([event.opened_at for event in events], np.int64),
    }
    for place, name in enumerate(VALUES):
        columns[f"stored_{name}"] = [event.stored[place] for event in events]
        columns[f"revised_{name}"] = [event.revised[place] for event in events]
    arrays = [pa.array(columns[field.name]).cast(field.type) for field in _SCHEMA]
    table = pa.Table.from_arrays(arrays, schema=_SCHEMA)
    pq.write_table(table.replace_schema_metadata({_CONTENT: _digest(table)}), path, write_page_checksum=True)
