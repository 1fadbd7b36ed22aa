"""The one type for market bars: a bundle of equally long numpy arrays."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tidegate.bars.interval import Interval
from tidegate.errors import DataError

Floats = NDArray[np.float64]
Times = NDArray[np.int64]

COLUMNS: Final = ("opened_at", "open", "high", "low", "close", "volume")
PRICES: Final = ("open", "high", "low", "close")
_FLOAT: Final = np.dtype(np.float64)
_TYPES: Final = {name: np.dtype(np.int64) if name == "opened_at" else _FLOAT for name in COLUMNS}


@dataclass(frozen=True, slots=True, eq=False)
class Bars:
    """n bars of one symbol and interval.

    The type guarantees shapes and types only; order, gaps and sane prices are the validation's to judge, since raw input must be
    representable before it can be judged.

    Attributes:
        symbol: as the strategy names it, such as `BTC/USDT`.
        interval: every bar's span.
        opened_at: (n,) int64, UTC milliseconds since 1970 at which each bar opened.
        open, high, low, close: (n,) float64, in the quote currency.
        volume: (n,) float64, in the base currency.
    """

    symbol: str
    interval: Interval
    opened_at: Times
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats

    def __post_init__(self) -> None:
        shape = (len(self.opened_at),)
        for name, kind in _TYPES.items():
            given = getattr(self, name)
            column = np.ascontiguousarray(given, dtype=kind)
            if column.shape != shape:
                raise DataError(f"column {name} of {self.symbol} has shape {column.shape}", expected=f"{shape}")
            if column.flags.writeable:
                column = column.view()
                column.setflags(write=False)
            if column is not given:
                object.__setattr__(self, name, column)

    @classmethod
    def of(cls, symbol: str, interval: str | Interval, *, opened_at: ArrayLike, **columns: ArrayLike) -> "Bars":
        """Build bars from array-likes; `columns` are open, high, low, close and volume."""
        span = interval if isinstance(interval, Interval) else Interval(interval)
        floats = {name: np.asarray(columns[name], dtype=np.float64) for name in COLUMNS[1:]}
        return cls(symbol, span, np.asarray(opened_at, dtype=np.int64), **floats)

    @classmethod
    def empty(cls, symbol: str, interval: Interval) -> "Bars":
        """No bars at all."""
        nothing = np.empty(0)
        return cls(symbol, interval, np.empty(0, np.int64), nothing, nothing, nothing, nothing, nothing)

    @classmethod
    def concatenate(cls, parts: Iterable["Bars"]) -> "Bars":
        """Put bars of one symbol and interval behind one another, as they come.

        Raises:
            DataError: no parts, or parts of several symbols or intervals.
        """
        parts = list(parts)
        kinds = {(part.symbol, part.interval) for part in parts}
        if len(kinds) != 1:
            raise DataError(
                "bars cannot be joined", expected="one symbol and interval", actual=sorted(map(str, kinds)) or "none"
            )
        joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in COLUMNS}
        return cls(parts[0].symbol, parts[0].interval, **joined)

    def __len__(self) -> int:
        return len(self.opened_at)

    @property
    def closed_at(self) -> Times:
        """(n,) int64, UTC ms at which each bar closed and became known."""
        return self.opened_at + self.interval.milliseconds

    def take(self, rows: slice | NDArray[np.intp] | NDArray[np.bool_]) -> "Bars":
        """The chosen rows, in the order chosen."""
        if not isinstance(rows, slice) or rows.step not in {None, 1}:
            return replace(self, **{name: getattr(self, name)[rows] for name in COLUMNS})
        # Part of a checked column needs no check of its own: it has the type, lies in one piece and cannot be written to.
        part = object.__new__(Bars)
        put = object.__setattr__
        put(part, "symbol", self.symbol)
        put(part, "interval", self.interval)
        for name in COLUMNS:
            put(part, name, getattr(self, name)[rows])
        return part

    def between(self, start_ms: int, end_ms: int) -> "Bars":
        """Bars of an ascending series with `start_ms <= opened_at` and `closed_at <= end_ms`."""
        first = int(np.searchsorted(self.opened_at, start_ms, side="left"))
        last = int(np.searchsorted(self.opened_at, end_ms - self.interval.milliseconds, side="right"))
        return self.take(slice(first, max(first, last)))

    def until(self, as_of_ms: int) -> "Bars":
        """Bars of an ascending series that were known at `as_of_ms`: closed at or before it."""
        return self.between(np.iinfo(np.int64).min, as_of_ms)

    def with_symbol(self, symbol: str) -> "Bars":
        """The same bars under another symbol."""
        return replace(self, symbol=symbol)

    def content_hash(self) -> str:
        """SHA-256 over symbol, interval and every column's little-endian bytes: equal bars have equal hashes on any machine."""
        digest = hashlib.sha256(f"bars/1\0{self.symbol}\0{self.interval}\0{len(self)}\0".encode())
        for name in COLUMNS:
            column = getattr(self, name)
            digest.update(column.astype(column.dtype.newbyteorder("<"), copy=False).tobytes())
        return digest.hexdigest()

    def equals(self, other: "Bars") -> bool:
        """Whether symbol, interval and every bit of every column are the same."""
        return self.content_hash() == other.content_hash()

    def __repr__(self) -> str:
        span = f"{iso(int(self.opened_at[0]))} to {iso(int(self.opened_at[-1]))}" if len(self) else "none"
        return f"<Bars {self.symbol} {self.interval}: {len(self)}, {span}>"


def iso(time_ms: int) -> str:
    """UTC milliseconds as text.

    >>> iso(0)
    '1970-01-01T00:00:00Z'
    """
    moment = datetime.fromtimestamp(time_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds" if time_ms % 1000 else "seconds").replace("+00:00", "Z")


def parse_time(text: str) -> int:
    """An ISO 8601 date or time as UTC milliseconds; without a zone it is read as UTC.

    >>> iso(parse_time("2024-03-01"))
    '2024-03-01T00:00:00Z'

    Raises:
        DataError: the text is not an ISO 8601 time.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise DataError(f"time {text!r} cannot be read", expected="ISO 8601 like 2024-03-01T00:00Z") from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)
