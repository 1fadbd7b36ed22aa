"""Finds the six columns of bars among a file's columns, by name or, without names, by their number and their prices."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tidegate.bars.bars import COLUMNS
from tidegate.errors import SourceError
from tidegate.strategy.strategy import slug

_OPENING: Final = {
    "openedat",
    "opentime",
    "opentimestamp",
    "opentimems",
    "starttime",
    "starttimestamp",
    "begin",
    "candlebegintime",
}
_TIMES: Final = {
    "timestamp", "timestampms", "time", "date", "datetime", "ts", "t", "dt", "unix", "unixtime", "unixtimestamp", "epoch",
    "gmttime", "utctime", "timeutc", "dateutc", "datetimeutc", "localtime", "candletime",
}  # fmt: skip
_CLOSING: Final = {"closetime", "closedat", "endtime", "closetimestamp", "end"}
_VALUES: Final = {
    "open": {"open", "o", "openprice", "priceopen"},
    "high": {"high", "h", "highprice", "pricehigh", "max"},
    "low": {"low", "l", "lowprice", "pricelow", "min"},
    "close": {"close", "c", "closeprice", "priceclose"},
    "volume": {"volume", "vol", "v", "basevolume", "volumebase", "volumefrom"},
}
_TICK_VOLUMES: Final = {"tickvol", "tickvolume"}
_SYMBOLS: Final = {"symbol", "pair", "ticker", "instrument"}
_EPOCH: Final = re.compile(r"^\s*\d{9,19}(\.\d+)?\s*$")
_CLOCK: Final = re.compile(r"^\s*\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?\s*$")
_INDEX_NAMES: Final = {"", "index", "unnamed0", "indexlevel0"}


@dataclass(frozen=True, slots=True)
class Assignment:
    """Which column of a file (counted from 0) is what.

    Attributes:
        time: the opening time, or its date when `clock` is set.
        clock: a column with the time of day, to be joined with `time`.
        values: open, high, low, close, volume.
        symbol: a column that names the symbol.
        notes: what was detected.
    """

    time: int
    clock: int | None
    values: tuple[int, int, int, int, int]
    symbol: int | None = None
    notes: tuple[str, ...] = field(default=())


def by_name(names: Sequence[str], cells: Sequence[str], own: Mapping[str, str], symbol: str, where: str) -> Assignment:
    """Find the columns by their names.

    Args:
        names: as the file has them.
        cells: the first row as text, which tells numbers, dates and times of day apart.
        own: the strategy's own names, such as `{"opened_at": "Date"}`.
        symbol: such as `BTC/USDT`; a column `Volume BTC` is then its volume.
        where: the file, for messages.
    Raises:
        SourceError: a column is missing, or several could be it.
    """
    plain = [_plain(name) for name in names]
    chosen = _own(names, own, where)
    notes: list[str] = []
    base = slug(symbol.partition("/")[0])
    for column, spellings in _VALUES.items():
        if column in chosen:
            continue
        wanted = spellings | ({f"volume{base}"} if column == "volume" and "/" in symbol else set())
        found = [place for place, name in enumerate(plain) if name in wanted and place not in chosen.values()]
        if column == "volume" and not found:
            found = [place for place, name in enumerate(plain) if name in _TICK_VOLUMES]
            notes += ["volume counts ticks"] * bool(found)
        chosen[column] = _only(column, found, names, where)
    clock = None
    if "opened_at" not in chosen:
        chosen["opened_at"], clock, note = _time(plain, names, cells, where)
        notes += [note] if note else []
    symbols = [place for place, name in enumerate(plain) if name in _SYMBOLS]
    values = tuple(chosen[name] for name in COLUMNS[1:])
    return Assignment(chosen["opened_at"], clock, values, symbols[0] if symbols else None, tuple(notes))  # type: ignore[arg-type]


def by_position(cells: Sequence[str], own: Mapping[str, str], where: str) -> Assignment:
    """Find the columns of a file without names by their number: 6, 7 with date and time of day apart, or the 12 of exchange dumps.

    The strategy may give positions counted from 1 instead, such as `{"opened_at": "1", "open": "2", ...}`.

    Raises:
        SourceError: the number of columns tells nothing.
    """
    width = len(cells)
    if own:
        places = _own([str(place + 1) for place in range(width)], own, where)
        missing = [name for name in COLUMNS if name not in places]
        if missing:
            raise SourceError(
                f"{where} has no column names", expected="the position of every column", actual=f"none for {missing[0]}",
                setting="source.columns", next_step="give positions counted from 1, such as {opened_at: '1', open: '2', ...}",
            )  # fmt: skip
        values = tuple(places[name] for name in COLUMNS[1:])
        return Assignment(places["opened_at"], None, values)  # type: ignore[arg-type]
    split = width >= 7 and bool(_CLOCK.match(cells[1]))
    note = ("no column names: taken as time, open, high, low, close, volume",)
    if width == 7 and split:
        return Assignment(0, 1, (2, 3, 4, 5, 6), None, note)
    if width in {6, 12} and not split:
        return Assignment(0, None, (1, 2, 3, 4, 5), None, note)
    raise SourceError(
        f"{where} has {width} columns without names",
        expected="6 (time, open, high, low, close, volume), 7 with date and time of day apart, or the 12 of exchange dumps",
        setting="source.columns",
        next_step="add a first line with column names, or give positions, such as {opened_at: '1', open: '2', ...}",
    )


def _time(plain: Sequence[str], names: Sequence[str], cells: Sequence[str], where: str) -> tuple[int, int | None, str]:
    opening = [place for place, name in enumerate(plain) if name in _OPENING]
    if opening:
        return _only("opened_at", opening, names, where), None, ""
    found = [place for place, name in enumerate(plain) if name in _TIMES]
    clocks = [place for place in found if _CLOCK.match(cells[place])]
    days = [place for place in found if place not in clocks]
    epochs = [place for place in days if _EPOCH.match(cells[place]) and len(cells[place].strip()) != 8]
    if len(found) == 2 and len(clocks) == 1 and not epochs:
        return days[0], clocks[0], f"date and time of day joined from {names[days[0]]} and {names[clocks[0]]}"
    if len(found) > 1 and len(epochs) == 1:
        others = ", ".join(names[place] for place in found if place != epochs[0])
        return epochs[0], None, f"time taken from {names[epochs[0]]}, not from {others}"
    if not found:
        found = [
            place
            for place, name in enumerate(plain)
            if name in _INDEX_NAMES and re.match(r"\d{4}-\d|\d{9}", cells[place])
        ]
    if not found and any(name in _CLOSING for name in plain):
        raise SourceError(
            f"{where} names only the closing time of its bars", expected="an opening time",
            setting="source.columns", next_step="add a column with the opening time",
        )  # fmt: skip
    return _only("opened_at", found, names, where), None, ""


def _own(names: Sequence[str], own: Mapping[str, str], where: str) -> dict[str, int]:
    unknown = sorted(set(own) - set(COLUMNS))
    if unknown:
        raise SourceError(f"source.columns names {unknown[0]!r}", expected=", ".join(COLUMNS), setting="source.columns")
    chosen = {}
    for column, name in own.items():
        chosen[column] = _only(
            column, [place for place, given in enumerate(names) if given.strip() == name], names, where, name
        )
    return chosen


def _only(column: str, found: Sequence[int], names: Sequence[str], where: str, wanted: str = "") -> int:
    if len(found) == 1:
        return found[0]
    shown = ", ".join(name.strip() or "(empty)" for name in names)
    if found:
        raise SourceError(
            f"{where}: several columns could be {column}", expected="one",
            actual=", ".join(names[place] for place in found), setting="source.columns",
            next_step=f"say which, such as {{{column}: {names[found[0]]}}}",
        )  # fmt: skip
    raise SourceError(
        f"{where} has no column for {column}", expected=wanted or "a usual name", actual=shown,
        setting="source.columns", next_step=f"name it, such as {{{column}: {names[0].strip() or 'Name'}}}",
    )  # fmt: skip


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
