"""Tables that are too big for the memory lie in a file of their own, mapped, so that the system may take their pages back at any time."""

import mmap
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from tidegate.errors import DataError

Number = TypeVar("Number", np.float32, np.float64)

_MEGABYTE: Final = 1_000_000
BLOCK_ROWS: Final = 32_768
"""Rows moved at once: some MB, so that no step needs a second table."""


@dataclass(frozen=True, slots=True)
class Spill:
    """Which tables lie in a file, and where.

    Attributes:
        folder: of the files; made when the first is needed. They have no names, so that nothing is left of them, however the process ends.
        above_mb: a table of more megabytes (10^6 bytes) lies in a file.
    """

    folder: Path
    above_mb: float

    def table(self, rows: int, columns: int, kind: type[Number]) -> NDArray[Number]:
        """(rows, columns) of no particular content, in memory or in a file.

        Raises:
            DataError: the disk has no room for it.
        """
        size = rows * columns * np.dtype(kind).itemsize
        if size <= self.above_mb * _MEGABYTE:
            return np.empty((rows, columns), kind)
        self.folder.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=".table-", dir=self.folder)
        try:
            # Room is taken now: a page for which there is none later would end the process, without a word.
            os.posix_fallocate(descriptor, 0, size)
            mapped: NDArray[Number] = np.memmap(name, kind, "r+", shape=(rows, columns))
        except OSError as error:
            raise DataError(
                f"{self.folder} has no room for a table of {size / _MEGABYTE:,.0f} MB: {error.strerror}",
                setting="compute.max_training_mb",
                next_step="make room there, name another folder (paths.cache), or keep it in memory by a higher limit",
            ) from error
        finally:
            os.close(descriptor)
            Path(name).unlink()  # the mapping keeps the file alive
        return mapped

    def keep(self, values: NDArray[Number]) -> NDArray[Number]:
        """The same numbers, in a file if they are too many.

        Raises:
            DataError: the disk has no room for them.
        """
        kept = self.table(len(values), values.shape[1], values.dtype.type)
        if not is_spilled(kept):
            return values
        for block in blocks(len(values)):
            kept[block] = values[block]
            release(kept)
        return kept


IN_MEMORY: Final = Spill(Path(), float("inf"))
"""Every table stays in memory."""


def is_spilled(values: NDArray[Any]) -> bool:
    """Whether a table lies in a file."""
    return getattr(values, "_mmap", None) is not None


def folder_of(values: NDArray[Any]) -> Path:
    """The folder of a spilled table's file."""
    assert isinstance(values, np.memmap)
    assert values.filename is not None
    return Path(values.filename).parent


def blocks(rows: int) -> Iterator[slice]:
    """Rows in blocks of `BLOCK_ROWS`."""
    return (slice(start, min(rows, start + BLOCK_ROWS)) for start in range(0, rows, BLOCK_ROWS))


def release(values: NDArray[Any]) -> None:
    """Give the memory of a spilled table's pages back; what stands in them stays in the file."""
    mapped = getattr(values, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)
