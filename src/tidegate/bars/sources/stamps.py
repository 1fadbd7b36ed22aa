"""Turns any column of times into UTC milliseconds: numbers of any unit, even mixed, Arrow's time types, and text."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tidegate.bars.bars import Times
from tidegate.bars.messages import reason
from tidegate.bars.sources import dates
from tidegate.errors import SourceError

_EARLIEST_S: Final = 631_152_000  # 1990-01-01
_LATEST_S: Final = 4_102_444_800  # 2100-01-01
_UNITS: Final = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_COMPACT: Final = (
    (19_900_101, 21_001_231),
    (199_001_010_000, 210_012_312_359),
    (19_900_101_000_000, 21_001_231_235_959),
)


@dataclass(frozen=True, slots=True)
class Stamps:
    """(n,) int64 UTC milliseconds, and what was detected."""

    opened_at: Times
    notes: tuple[str, ...]


def read_stamps(column: pa.Array, *, time_zone: str, day_first: bool | None, where: str, first_line: int = 1) -> Stamps:
    """Read a column of times.

    Numbers count from 1970 in s, ms, us or ns. Between 1990 and 2100 their ranges do not overlap, so each row tells its own unit;
    a number in none of the ranges is refused.

    Args:
        column: pyarrow array or chunked array of n integers, floats, strings, timestamps or dates.
        time_zone: zone of times that name none, such as `UTC` or `Europe/Berlin`.
        day_first: order of dates like 03.04.2017, None to detect it.
        where: file and column, for messages.
        first_line: number of the first row, for messages.
    Raises:
        SourceError: a time is missing, cannot be read or is ambiguous.
    """
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if column.null_count:
        row = int(np.argmax(np.asarray(column.is_null())))
        raise SourceError(f"{where}, row {first_line + row}: the time is missing", next_step="remove or repair the row")
    kind = column.type
    if pa.types.is_timestamp(kind):
        return _from_timestamps(column, time_zone, where)
    if pa.types.is_date(kind):
        wall = column.cast(pa.timestamp("ms")).cast(pa.int64()).to_numpy(zero_copy_only=False)
        return Stamps(*localise(np.asarray(wall), time_zone, where))
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _from_numbers(column, time_zone, where, first_line)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or kind == pa.string_view():
        return _from_texts(column.cast(pa.string()), time_zone, day_first, where, first_line)
    raise SourceError(f"{where} is of type {kind}", expected="timestamps, numbers or text")


def _from_timestamps(column: pa.Array, time_zone: str, where: str) -> Stamps:
    unit, zone = column.type.unit, column.type.tz
    counts = np.asarray(column.cast(pa.int64()).to_numpy(zero_copy_only=False))
    milliseconds, notes = _to_milliseconds(counts, np.full(len(counts), _UNITS[unit]))
    if zone is not None:
        return Stamps(milliseconds, notes if zone == "UTC" else (*notes, f"times carry the zone {zone}"))
    local, more = localise(milliseconds, time_zone, where)
    return Stamps(local, notes + more)


def _from_texts(texts: pa.Array, time_zone: str, day_first: bool | None, where: str, first_line: int) -> Stamps:
    for number in (pa.int64(), pa.float64()):
        try:
            numbers = pc.utf8_trim_whitespace(texts).cast(number)
        except pa.ArrowInvalid:
            continue
        return _from_numbers(numbers, time_zone, where, first_line)
    found = dates.parse(texts, day_first, where, first_line)
    if found.offset_ms is not None:
        varied = len(found.offset_ms) > 0 and bool((found.offset_ms != 0).any())
        return Stamps(found.wall_ms - found.offset_ms, (*found.notes, *(("times carry a zone",) if varied else ())))
    local, more = localise(found.wall_ms, time_zone, where)
    return Stamps(local, found.notes + more)


def _from_numbers(column: pa.Array, time_zone: str, where: str, first_line: int) -> Stamps:
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    numbers = column.to_numpy(zero_copy_only=False)
    if not len(numbers):
        return Stamps(np.empty(0, np.int64), ())
    if any(low <= numbers.min() and numbers.max() <= high for low, high in _COMPACT):
        found = dates.parse(pc.cast(column.cast(pa.int64()), pa.string()), None, where, first_line)
        local, more = localise(found.wall_ms, time_zone, where)
        return Stamps(local, found.notes + more)
    per_second = np.zeros(len(numbers), np.int64)
    present = []
    for unit, factor in _UNITS.items():
        of_unit = (numbers >= _EARLIEST_S * factor) & (numbers < _LATEST_S * factor)
        if of_unit.any():
            per_second[of_unit] = factor
            present.append(unit)
    if not per_second.all():
        row = int(np.argmin(per_second))
        raise SourceError(
            f"{where}, row {first_line + row}: {numbers[row]} is no time",
            expected="seconds, milli-, micro- or nanoseconds since 1970, between 1990 and 2100",
            next_step="check that the column is the opening time",
        )
    milliseconds, notes = _to_milliseconds(numbers, per_second)
    return Stamps(milliseconds, (f"time stamps in {' and '.join(present)}", *notes))


def _to_milliseconds(counts: NDArray[Any], per_second: NDArray[np.int64]) -> tuple[Times, tuple[str, ...]]:
    """Exact for integers; what is finer than a millisecond is cut off and noted."""
    if counts.dtype.kind == "f":
        exact = counts * (1000 / per_second)
        milliseconds = np.floor(exact + 1e-6).astype(np.int64)
        cut = int(np.count_nonzero(np.abs(exact - milliseconds) > 1e-3))
    else:
        counts = counts.astype(np.int64)
        coarse = per_second < 1000
        factor = np.maximum(per_second // 1000, 1)
        milliseconds = np.where(coarse, counts * 1000, counts // factor)
        cut = int(np.count_nonzero(~coarse & (counts % factor != 0)))
    return milliseconds, (f"{cut} times finer than a millisecond were cut off",) if cut else ()


def localise(wall_ms: Times, time_zone: str, where: str) -> tuple[Times, tuple[str, ...]]:
    """Wall-clock times of a zone as UTC.

    The hour that a zone repeats in autumn is told by the order of the rows: each of its times must appear exactly twice.

    Args:
        wall_ms: (n,) int64, ms since 1970 as a clock in that zone shows them.
        time_zone: IANA name.
        where: for messages.
    Raises:
        SourceError: the zone is unknown, a time was skipped in spring, or a repeated hour cannot be told apart.
    """
    if time_zone.upper() in {"UTC", "GMT", "ETC/UTC"}:
        return wall_ms, ()
    wall = pa.array(wall_ms, pa.int64()).cast(pa.timestamp("ms"))
    try:
        early, late = (
            np.asarray(
                pc.assume_timezone(wall, time_zone, ambiguous=which).cast(pa.int64()).to_numpy(zero_copy_only=False)
            )
            for which in ("earliest", "latest")
        )
    except pa.ArrowInvalid as error:
        raise SourceError(
            f"{where}: times cannot be read in the zone {time_zone}: {reason(error)}",
            setting="source.time_zone",
            next_step="name the zone in which the file was written, such as UTC or Europe/Berlin",
        ) from error
    notes = (f"times read in the zone {time_zone}",)
    repeated = np.flatnonzero(early != late)
    if not len(repeated):
        return early, notes
    _, inverse, counts = np.unique(wall_ms[repeated], return_inverse=True, return_counts=True)
    if (counts != 2).any():
        first = repeated[np.argmax(counts[inverse] != 2)]
        raise SourceError(
            f"{where}: the zone {time_zone} has the time {wall[int(first)].as_py()} twice, and the rows do not tell which one is meant",
            setting="source.time_zone",
            next_step="write the times in UTC",
        )
    descending = wall_ms[0] > wall_ms[-1]
    order = np.argsort(inverse, kind="stable")
    second_ones = repeated[order[1::2]] if not descending else repeated[order[0::2]]
    resolved = early.copy()
    resolved[second_ones] = late[second_ones]
    return resolved, (*notes, "repeated autumn hour told by the order of rows")
