"""pandas at the border: arrays in, pandas objects out, for the libraries that insist on them. The only home of pandas here.

The time index carries no time zone, though its times are UTC: vectorbt is forty times slower on an aware index.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from tidegate.bars.bars import COLUMNS, Bars

TIME_NAME = "opened_at"


def time_index(times_ms: ArrayLike, name: str = TIME_NAME) -> pd.DatetimeIndex:
    """UTC milliseconds, in any order, as a naive millisecond index of the same order.

    >>> time_index([0, 60_000])[1].isoformat()
    '1970-01-01T00:01:00'
    """
    times = np.asarray(times_ms, dtype=np.int64)
    return pd.DatetimeIndex(times.astype("datetime64[ms]"), name=name)


def series(values: ArrayLike, times_ms: ArrayLike, *, name: str | None = None) -> "pd.Series[float]":
    """One value a time.

    Args:
        values: (n,), kept in their type and not copied where pandas allows it.
        times_ms: (n,) UTC milliseconds.
        name: the series' name.
    Raises:
        ValueError: the lengths differ.
    """
    return pd.Series(np.asarray(values), index=time_index(times_ms), name=name)


def table(columns: Mapping[str, ArrayLike], times_ms: ArrayLike) -> pd.DataFrame:
    """Named columns of (n,) values over one time index.

    Raises:
        ValueError: the lengths differ.
    """
    index = time_index(times_ms)
    arrays = {name: np.asarray(values) for name, values in columns.items()}
    for name, values in arrays.items():
        # pandas would spread a single value over all rows.
        if values.shape != index.shape:
            raise ValueError(f"length of column {name} is {values.shape}, of the times {index.shape}")
    return pd.DataFrame(arrays, index=index)


def bars_frame(bars: Bars) -> pd.DataFrame:
    """Bars as columns open, high, low, close and volume over the opening times."""
    return table({name: getattr(bars, name) for name in COLUMNS if name != TIME_NAME}, bars.opened_at)


def numbered_frame(columns: Mapping[str, NDArray[np.generic]]) -> pd.DataFrame:
    """Columns over the row numbers 0 to n-1: times stay a column of integers that rules can judge."""
    return pd.DataFrame(dict(columns), copy=False)
