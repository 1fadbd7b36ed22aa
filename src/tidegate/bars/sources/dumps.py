"""Bars from an exchange's public dump files: 12 columns, zipped or not, a day or a month each."""

import hashlib
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tidegate.bars.interval import Interval
from tidegate.bars.messages import reason
from tidegate.bars.sources import text
from tidegate.bars.sources.assembly import Part, assemble, bars_from
from tidegate.bars.sources.paths import MAX_BYTES, find_files, origin_of, read_file, read_limited
from tidegate.bars.sources.source import RawBars
from tidegate.bars.sources.stamps import read_stamps
from tidegate.errors import SourceError
from tidegate.strategy.strategy import DumpSource, slug

WIDTH: Final = 12
MAX_RATIO: Final = 200
"""Largest ratio of unpacked to packed size: a month without a single trade packs 25 times smaller, a bomb about 1,000 times."""
_NAME: Final = re.compile(r"^(?P<symbol>[A-Za-z0-9]+(_PERP|_\d{6})?)-(?P<interval>\d+(s|m|h|d|w|mo))-\d{4}-\d{2}")


@dataclass(frozen=True, slots=True)
class DumpBars:
    """Dump files as a source."""

    source: DumpSource
    root: Path

    def fetch(
        self, symbol: str, interval: Interval, start_at: int | None, end_at: int | None, as_of_ms: int
    ) -> RawBars:
        """Read all dump files of the symbol and interval; files whose names say another are left out of a folder."""
        del as_of_ms
        paths = find_files(self.source.path, symbol, self.root, (".zip", ".csv", ".csv.gz"))
        fitting = [path for path in paths if _fits(path, symbol, interval)]
        if not fitting:
            raise SourceError(
                f"no dump file of {symbol} {interval} at {self.source.path}",
                expected=f"names like {slug(symbol).upper()}-{interval}-2024-01.zip",
                actual=f"{paths[0].name}{' and others' if len(paths) > 1 else ''}",
                setting="source.path",
            )
        parts = [_part(content, where, symbol, interval) for path in fitting for content, where in _contents(path)]
        raw = assemble(parts, origin_of(fitting, self.root, "dump"), start_at, end_at)
        left_out = len(paths) - len(fitting)
        more = (f"{left_out} files of other symbols or intervals left out",) if left_out else ()
        return RawBars(raw.bars, raw.notes + more, raw.origin)


def _fits(path: Path, symbol: str, interval: Interval) -> bool:
    match = _NAME.match(path.name)
    return match is None or (slug(match["symbol"]) == slug(symbol) and match["interval"] == interval.text)


def _contents(path: Path) -> Iterator[tuple[bytes, str]]:
    _check_digest(path)
    if path.name.lower().endswith(".zip"):
        yield from _unpacked(path)
    else:
        yield read_file(path), str(path)


def _check_digest(path: Path) -> None:
    """Exchanges put `NAME.zip.CHECKSUM` beside `NAME.zip`; where it is, it must be right."""
    beside = path.with_name(path.name + ".CHECKSUM")
    if not beside.exists():
        return
    expected = beside.read_text(encoding="utf-8", errors="replace").split()[:1]
    actual = hashlib.sha256(path.read_bytes()).hexdigest()
    if expected != [actual]:
        raise SourceError(
            f"file {path} differs from its checksum file", expected=expected[0] if expected else "a SHA-256",
            actual=actual, next_step="fetch the file again",
        )  # fmt: skip


def _unpacked(path: Path) -> Iterator[tuple[bytes, str]]:
    try:
        with zipfile.ZipFile(path) as packed:
            members = [member for member in packed.infolist() if member.filename.lower().endswith(".csv")]
            if not members:
                raise SourceError(f"file {path} holds no csv file", actual=packed.namelist()[:3])
            for member in members:
                if member.file_size > MAX_BYTES or member.file_size > MAX_RATIO * max(member.compress_size, 1):
                    raise SourceError(
                        f"file {path} unpacks to {member.file_size} bytes",
                        expected=f"at most {MAX_BYTES} and {MAX_RATIO} times its packed size",
                        next_step="fetch the file again from the exchange",
                    )
                with packed.open(member) as content:
                    where = f"{path}!{member.filename}"
                    yield read_limited(content, where), where
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError) as error:
        raise SourceError(
            f"zip file {path} cannot be read: {reason(error)}", next_step="fetch the file again"
        ) from error


def _part(content: bytes, where: str, symbol: str, interval: Interval) -> Part:
    content, notes = text.to_utf8(content, where)
    layout = text.find_layout(content, where)
    if len(layout.cells) != WIDTH:
        raise SourceError(
            f"{where} is no dump of bars", expected=f"{WIDTH} columns", actual=f"{len(layout.cells)} columns"
        )
    read = text.read_columns(content, layout, [0], [1, 2, 3, 4, 5], where)
    stamps = read_stamps(read[0], time_zone="UTC", day_first=None, where=where, first_line=layout.first_line)
    prices = [read[place].to_numpy(zero_copy_only=False) for place in range(1, 6)]
    header = ("header line",) if layout.names is not None else ()
    bars = bars_from(symbol, interval, stamps.opened_at, prices)
    return Part(bars, notes + layout.notes + header + stamps.notes, Path(where).name)
