"""Bars from files that freqtrade downloaded: feather, or json (plain or gz)."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.feather as pa_feather

from tidegate.bars.interval import Interval
from tidegate.bars.messages import reason
from tidegate.bars.sources.assembly import Part, assemble, bars_from
from tidegate.bars.sources.paths import find_files, origin_of, read_file
from tidegate.bars.sources.source import RawBars
from tidegate.bars.sources.stamps import read_stamps
from tidegate.errors import SourceError
from tidegate.strategy.strategy import FreqtradeSource, slug

_ENDINGS: Final = (".feather", ".json", ".json.gz")
_NAME: Final = re.compile(r"^(?P<pair>.+?)-(?P<interval>\d+[smhdwM])(?P<kind>-[a-z_]+)?\.(feather|json|json\.gz)$")
_COLUMNS: Final = ("date", "open", "high", "low", "close", "volume")


@dataclass(frozen=True, slots=True)
class FreqtradeBars:
    """Files downloaded by freqtrade as a source."""

    source: FreqtradeSource
    root: Path

    def fetch(
        self, symbol: str, interval: Interval, start_at: int | None, end_at: int | None, as_of_ms: int
    ) -> RawBars:
        """Read the one file of the symbol and interval; mark prices, funding rates and other pairs are left out."""
        del as_of_ms
        paths = find_files(self.source.path, symbol, self.root, _ENDINGS)
        fitting = [path for path in paths if _fits(path, symbol, interval)]
        if len(fitting) != 1:
            raise SourceError(
                f"{'several files' if fitting else 'no freqtrade file'} of {symbol} {interval} at {self.source.path}",
                expected=f"one, named like {re.sub(r'[^A-Z0-9]', '_', symbol)}-{interval}.feather",
                actual=", ".join(path.name for path in (fitting or paths)[:5]),
                setting="source.path",
                next_step="name the file itself" if fitting else "download it with freqtrade download-data",
            )
        path = fitting[0]
        part = _feather(path, symbol, interval) if path.suffix == ".feather" else _json(path, symbol, interval)
        return assemble([part], origin_of([path], self.root), start_at, end_at)


def _fits(path: Path, symbol: str, interval: Interval) -> bool:
    match = _NAME.match(path.name)
    if match is None or match["kind"] not in {None, "-futures"}:
        return False
    return slug(match["pair"]) == slug(symbol) and match["interval"] == interval.text


def _feather(path: Path, symbol: str, interval: Interval) -> Part:
    try:
        table = pa_feather.read_table(path, memory_map=False)
    except (OSError, pa.ArrowInvalid) as error:
        raise SourceError(
            f"file {path} cannot be read as feather: {reason(error)}", next_step="download it again"
        ) from error
    missing = [name for name in _COLUMNS if name not in table.column_names]
    if missing:
        raise SourceError(
            f"file {path} has no column {missing[0]}", expected=", ".join(_COLUMNS), actual=table.column_names
        )
    stamps = read_stamps(table["date"], time_zone="UTC", day_first=None, where=str(path))
    prices = [table[name].cast(pa.float64()).to_numpy() for name in _COLUMNS[1:]]
    return Part(bars_from(symbol, interval, stamps.opened_at, prices), stamps.notes, path.name)


def _json(path: Path, symbol: str, interval: Interval) -> Part:
    try:
        rows = json.loads(read_file(path))
        table = np.array(rows, dtype=np.float64).reshape(-1, len(_COLUMNS))
    except (ValueError, TypeError) as error:
        raise SourceError(
            f"file {path} cannot be read as freqtrade's json: {reason(error)}",
            expected="a list of [ms, open, high, low, close, volume]",
            next_step="download it again",
        ) from error
    if not isinstance(rows, list) or len(rows) != len(table):
        raise SourceError(
            f"file {path} is not freqtrade's json", expected="a list of [ms, open, high, low, close, volume]"
        )
    stamps = read_stamps(pa.array(table[:, 0]), time_zone="UTC", day_first=None, where=str(path))
    return Part(bars_from(symbol, interval, stamps.opened_at, list(table[:, 1:].T)), stamps.notes, path.name)
