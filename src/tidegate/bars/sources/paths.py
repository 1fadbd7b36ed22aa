"""Finds the files that a path in a strategy means, and reads them within a size limit."""

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from tidegate.bars.messages import reason
from tidegate.errors import SourceError
from tidegate.strategy.strategy import slug

MAX_BYTES = 4 << 30
"""Largest content of one file, unpacked. Ten years of one-minute bars as text are under 1 GB."""


class Readable(Protocol):
    """Gives bytes: an open file, packed or not."""

    def read(self, size: int, /) -> bytes:
        """Read up to `size` bytes."""
        ...


def find_files(template: str, symbol: str, root: Path, endings: Sequence[str]) -> list[Path]:
    """The files that a file, folder or pattern means for a symbol, sorted by name.

    Args:
        template: path from the strategy; `{symbol}` stands for the symbol without slashes, lower case.
        symbol: such as `BTC/USDT`.
        root: folder from which a relative path is taken.
        endings: of file names to take from a folder or pattern, lower case, such as `.csv`; case of the names does not matter.
    Raises:
        SourceError: there is no such file.
    """
    name = template.replace("{symbol}", slug(symbol))
    path = root / Path(name).expanduser()
    if path.is_file():
        return [path]
    if path.is_dir():
        candidates = list(path.iterdir())
    else:
        anchor = Path(path.anchor)
        candidates = list(anchor.glob(str(path.relative_to(anchor)))) if _is_pattern(name) else []
    found = sorted(
        file
        for file in candidates
        if file.is_file() and file.name.lower().endswith(tuple(endings)) and not file.name.startswith(".")
    )
    if not found:
        kind = "a pattern" if _is_pattern(name) else "a file or folder"
        raise SourceError(
            f"no file for {symbol}: looked for {kind} {path}",
            expected=f"files ending in {', '.join(endings)}",
            actual="an empty selection" if path.is_dir() or _is_pattern(name) else "nothing there",
            setting="source.path",
            next_step="{symbol} in the path stands for " + slug(symbol),
        )
    return found


def origin_of(paths: Sequence[Path], root: Path, kind: str = "") -> str:
    """Where bars came from, for the record: below `root` as a relative path, which reads the same on every machine.

    >>> origin_of([Path("/home/ann/p/data/a.csv")], Path("/home/ann/p"))
    'data/a.csv'
    """
    first = paths[0].relative_to(root) if paths[0].is_relative_to(root) else paths[0]
    named = f"{kind} files".strip()
    return str(first) if len(paths) == 1 else f"{len(paths)} {named}, {first} to {paths[-1].name}"


def _is_pattern(name: str) -> bool:
    return any(sign in name for sign in "*?[")


def read_limited(stream: Readable, where: str) -> bytes:
    """Read a stream to its end, but never more than `MAX_BYTES`.

    Raises:
        SourceError: the content is larger.
    """
    content = stream.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise SourceError(
            f"{where} is too large", expected=f"at most {MAX_BYTES >> 20} MiB unpacked", next_step="split it by month"
        )
    return content


def read_file(path: Path) -> bytes:
    """Read a file's content, unpacked when its name ends in `.gz`.

    Raises:
        SourceError: the file cannot be read, is damaged or too large.
    """
    try:
        if path.name.lower().endswith(".gz"):
            with gzip.open(path) as packed:
                return read_limited(packed, str(path))
        with path.open("rb") as plain:
            return read_limited(plain, str(path))
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(
            f"file {path} cannot be read: {reason(error)}", next_step="fetch it again and compare its size or checksum"
        ) from error
