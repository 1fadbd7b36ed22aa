"""XGBoost's tables of training rows: in memory, or by its external memory for rows that lie in a file.

Both give the same model, byte for byte; tests hold that for the version in the lock. By external memory a fit needs memory for one batch of rows and one
page of bins, and a few numbers a row, however many features there are.
"""

import fcntl
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import xgboost
from numpy.typing import NDArray

from tidegate.dataset.spill import BLOCK_ROWS, folder_of, is_spilled, release

Matrix = NDArray[np.float32]
Rows = NDArray[np.intp]
Table = Callable[[Rows | None, "xgboost.DMatrix | None"], xgboost.DMatrix]
"""Makes a table of chosen rows (None: all), with the bins of another table (None: its own)."""

_PREFIX: Final = ".pages-"
_UNLOCKED: Final = ".new-pages-"
_HELD: Final = "held"


@contextmanager
def tables(x: Matrix, y: Matrix, weight: Matrix, parameters: Mapping[str, Any]) -> Iterator[Table]:
    """Make tables for XGBoost; those by external memory are gone afterwards, whatever was raised.

    Args:
        x: (m, F) float32. Where it lies in a file, tables go by external memory.
        y: (m,) float32, the labels.
        weight: (m,) float32.
        parameters: XGBoost's; `max_bin` and `nthread` are used.
    """
    how = {"max_bin": parameters["max_bin"], "nthread": parameters["nthread"]}

    def in_memory(chosen: Rows | None, like: xgboost.DMatrix | None) -> xgboost.DMatrix:
        rows: Any = slice(None) if chosen is None else chosen
        return xgboost.QuantileDMatrix(x[rows], y[rows], weight=weight[rows], ref=like, **how)

    if not is_spilled(x):
        yield in_memory
        return
    with _pages(folder_of(x)) as folder:

        def external(chosen: Rows | None, like: xgboost.DMatrix | None) -> xgboost.DMatrix:
            rows = np.arange(len(y)) if chosen is None else chosen
            return xgboost.ExtMemQuantileDMatrix(_Batches(x, y, weight, rows, folder), ref=like, **how)

        yield external


class _Batches(xgboost.DataIter):  # type: ignore[misc]  # XGBoost carries no types
    """Chosen rows, `BLOCK_ROWS` at a time, in order. XGBoost goes through them several times, and keeps their bins in files."""

    def __init__(self, x: Matrix, y: Matrix, weight: Matrix, rows: Rows, folder: Path) -> None:
        self._x, self._y, self._weight, self._rows = x, y, weight, rows
        self._at = 0
        super().__init__(cache_prefix=str(folder / "page"), release_data=True)

    def reset(self) -> None:
        """Begin anew."""
        self._at = 0

    def next(self, input_data: Callable[..., None]) -> bool:
        """Give the next batch; False when there is none."""
        rows = self._rows[self._at : self._at + BLOCK_ROWS]
        if not len(rows):
            return False
        self._at += len(rows)
        batch = self._x[rows]
        release(self._x)
        input_data(data=batch, label=self._y[rows], weight=self._weight[rows])
        return True


@contextmanager
def _pages(folder: Path) -> Iterator[Path]:
    """A folder for XGBoost's pages. One that a killed process has left is known by its lock, which nobody holds, and removed."""
    for left in folder.glob(f"{_PREFIX}*"):
        _remove_if_left(left)
    made = Path(tempfile.mkdtemp(prefix=_UNLOCKED, dir=folder))
    pages = made.with_name(made.name.replace(_UNLOCKED, _PREFIX))
    try:
        with (made / _HELD).open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            made.rename(pages)  # nobody sees it without its lock
            yield pages
    finally:
        shutil.rmtree(pages, ignore_errors=True)
        shutil.rmtree(made, ignore_errors=True)


def _remove_if_left(folder: Path) -> None:
    try:
        with (folder / _HELD).open("r+") as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)
    except OSError:
        return  # held by a living process, or gone
