"""Reads dates and times written as text, whole columns at once."""

import re
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tidegate.bars.bars import Times
from tidegate.errors import SourceError

_CLOCK: Final = (
    r"(?:[T ,]+(?P<hour>\d{1,2})(?::(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,9}))?)?)?"
    r"(?:[ -]?(?P<half>[AaPp][Mm]))?)?"
)
_ZONE: Final = r"(?P<zone> ?(?:Z|UTC|GMT)?(?:[+-]\d{2}:?\d{2})?)$"
_WEEKDAY: Final = r"^(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*[, ]+)?"
_FORMATS: Final = {
    "year first": r"^(?P<year>\d{4})[-/.](?P<month>\d{1,2})[-/.](?P<day>\d{1,2})" + _CLOCK + _ZONE,
    "year last": r"^(?P<first>\d{1,2})[-/.](?P<second_number>\d{1,2})[-/.](?P<year>\d{4})" + _CLOCK + _ZONE,
    "compact": r"^(?P<year>\d{4})(?P<month>\d{2})(?P<day>\d{2})"
    r"(?:[T ]?(?P<hour>\d{2}):?(?P<minute>\d{2})(?::?(?P<second>\d{2}))?)?" + _ZONE,
    "day and month name": _WEEKDAY
    + r"(?P<day>\d{1,2})[- ](?P<name>[A-Za-z]{3})[a-z]*[-, ]+(?P<year>\d{4})"
    + _CLOCK
    + _ZONE,
    "month name and day": _WEEKDAY
    + r"(?P<name>[A-Za-z]{3})[a-z]*[- ](?P<day>\d{1,2})[, ]+(?P<year>\d{4})"
    + _CLOCK
    + _ZONE,
}
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_EXAMPLES: Final = "2017-04-03 22:00, 03.04.2017 22:00, 20170403 220000, 03 Apr 2017 22:00 or numbers since 1970"


@dataclass(frozen=True, slots=True)
class TextTimes:
    """Times read from text.

    Attributes:
        wall_ms: (n,) int64, ms since 1970 as written, in the zone of the text.
        offset_ms: (n,) int64, what the written zone is ahead of UTC; None when no row names a zone.
        notes: what was detected.
    """

    wall_ms: Times
    offset_ms: Times | None
    notes: tuple[str, ...]


def day_first_evidence(texts: pa.Array) -> bool | None:
    """Whether dates like 03.04.2017 begin with the day; None when nothing tells, or the dates are written otherwise.

    Args:
        texts: pyarrow string array.
    Raises:
        SourceError: some rows can only be day-first and others only month-first.
    """
    parts = pc.extract_regex(texts, _FORMATS["year last"])
    if parts.null_count == len(texts):
        return None
    first, second = (_numbers(pc.drop_null(pc.struct_field(parts, name))) for name in ("first", "second_number"))
    day_first, month_first = bool((first > 12).any()), bool((second > 12).any())
    if day_first and month_first:
        raise SourceError(
            "dates are day-first in some rows and month-first in others",
            expected="one order",
            next_step="split the file by its order of day and month",
        )
    return True if day_first else False if month_first else None


def parse(texts: pa.Array, day_first: bool | None, where: str, first_line: int) -> TextTimes:
    """Read a column of dates and times.

    Args:
        texts: pyarrow string array of n cells without nulls.
        day_first: order of dates like 03.04.2017 if known; otherwise numbers over 12 must tell.
        where: file and column, for messages.
        first_line: number of the first row, for messages.
    Raises:
        SourceError: a cell cannot be read, formats are mixed, zones are named in some rows only, or day and month cannot be told apart.
    """
    texts = pc.utf8_trim_whitespace(texts)
    quick = _quick(texts)
    if quick is not None:
        return quick
    style, parts = _matching(texts, where, first_line)
    notes: tuple[str, ...] = () if style == "year first" else (f"dates: {style}",)
    if style == "year last":
        order = _order(texts, day_first, where)
        notes = ("day-first dates" if order else "month-first dates",)
        names = ("first", "second_number") if order else ("second_number", "first")
        day, month = (_numbers(pc.struct_field(parts, name)) for name in names)
    else:
        day = _numbers(pc.struct_field(parts, "day"))
        month = _month(parts, style)
    wall, valid = _wall_clock(parts, day, month)
    if not valid.all():
        row = int(np.argmin(valid))
        raise SourceError(
            f"{where}, row {first_line + row}: {texts[row].as_py()!r} is no date and time", expected=_EXAMPLES
        )
    return TextTimes(wall, _offsets(parts, where, first_line), notes)


def _quick(texts: pa.Array) -> TextTimes | None:
    """ISO 8601 throughout, with a zone in every row or in none: Arrow's own parser is several times faster."""
    for zone in (None, "UTC"):
        try:
            nanoseconds = texts.cast(pa.timestamp("ns", zone)).cast(pa.int64()).to_numpy(zero_copy_only=False)
        except pa.ArrowInvalid:
            continue
        return TextTimes(nanoseconds // 1_000_000, None if zone is None else np.zeros(len(texts), np.int64), ())
    return None


def _matching(texts: pa.Array, where: str, first_line: int) -> tuple[str, pa.Array]:
    best, fewest, faulty = "", len(texts), 0
    for style, pattern in _FORMATS.items():
        parts = pc.extract_regex(texts, pattern)
        if parts.null_count == 0:
            return style, parts
        if parts.null_count < fewest:
            best, fewest = style, parts.null_count
            faulty = int(np.argmax(parts.is_null().to_numpy(zero_copy_only=False)))
    cell = texts[faulty].as_py()
    two_digits = re.match(r"^\d{1,2}[-/.]\d{1,2}[-/.]\d{2}(?!\d)", cell)
    raise SourceError(
        f"{where}, row {first_line + faulty}: time {cell!r} cannot be read",
        expected=f"dates written {best} as in other rows" if best else _EXAMPLES,
        actual="a year of two digits" if two_digits else None,
        next_step="write all times alike, best as 2017-04-03T22:00:00Z",
    )


def _order(texts: pa.Array, day_first: bool | None, where: str) -> bool:
    try:
        evidence = day_first_evidence(texts)
    except SourceError as error:
        raise SourceError(f"{where}: {error.what}", expected=error.expected, next_step=error.next_step) from error
    if evidence is None and day_first is None:
        raise SourceError(
            f"{where}: day and month cannot be told apart, {texts[0].as_py()!r} may be either",
            expected="a date with a day over 12, or the setting",
            setting="source.day_first",
            next_step="set source.day_first to true or false",
        )
    if None not in {evidence, day_first} and evidence != day_first:
        raise SourceError(
            f"{where}: dates are {'day' if evidence else 'month'}-first, as numbers over 12 show",
            expected=f"{'day' if day_first else 'month'}-first",
            setting="source.day_first",
            next_step="remove source.day_first or correct it",
        )
    return bool(day_first if evidence is None else evidence)


def _month(parts: pa.Array, style: str) -> Times:
    if "name" not in style:
        return _numbers(pc.struct_field(parts, "month"))
    found = pc.index_in(pc.utf8_lower(pc.struct_field(parts, "name")), value_set=pa.array(_MONTHS))
    return np.asarray(pc.fill_null(found, -1).to_numpy(zero_copy_only=False), np.int64) + 1


def _wall_clock(parts: pa.Array, day: Times, month: Times) -> tuple[Times, NDArray[np.bool_]]:
    fields = {field.name for field in parts.type}
    hour, minute, second = (_numbers(pc.struct_field(parts, name)) for name in ("hour", "minute", "second"))
    milliseconds = np.zeros(len(day), np.int64)
    valid = (month >= 1) & (month <= 12) & (day >= 1) & (hour < 24) & (minute < 60) & (second < 60)
    if "fraction" in fields:
        padded = pc.utf8_rpad(pc.struct_field(parts, "fraction"), 9, padding="0")
        milliseconds = _numbers(padded) // 1_000_000
        half = pc.utf8_lower(pc.struct_field(parts, "half"))
        afternoon, twelve_hours = (np.asarray(pc.equal(half, "pm")), np.asarray(pc.not_equal(half, "")))
        valid &= ~twelve_hours | ((hour >= 1) & (hour <= 12))
        hour = np.where(twelve_hours, hour % 12 + 12 * afternoon, hour)
    years = _numbers(pc.struct_field(parts, "year")) - 1970
    months = years.astype("datetime64[Y]").astype("datetime64[M]") + (np.clip(month, 1, 12) - 1)
    days = months.astype("datetime64[D]") + (day - 1)
    valid &= days.astype("datetime64[M]") == months
    wall = days.astype(np.int64) * 86_400_000 + hour * 3_600_000 + minute * 60_000 + second * 1000 + milliseconds
    return wall, np.asarray(valid)


def _offsets(parts: pa.Array, where: str, first_line: int) -> Times | None:
    zones = pc.utf8_trim_whitespace(pc.struct_field(parts, "zone"))
    named = np.asarray(pc.not_equal(zones, ""))
    if not named.any():
        return None
    if not named.all():
        raise SourceError(
            f"{where}, row {first_line + int(np.argmin(named))}: no time zone, but other rows name one",
            expected="a zone in every row or in none",
        )
    offset = pc.extract_regex(zones, r"(?P<sign>[+-])(?P<hours>\d{2}):?(?P<minutes>\d{2})$")
    sign = np.where(np.asarray(pc.fill_null(pc.equal(pc.struct_field(offset, "sign"), "-"), fill_value=False)), -1, 1)
    hours, minutes = (_numbers(pc.fill_null(pc.struct_field(offset, name), "0")) for name in ("hours", "minutes"))
    return np.asarray(sign * (hours * 3_600_000 + minutes * 60_000), np.int64)


def _numbers(texts: pa.Array) -> Times:
    filled = pc.if_else(pc.equal(texts, ""), "0", texts)
    return np.asarray(filled.cast(pa.int64()).to_numpy(zero_copy_only=False), np.int64)
