"""The one way in which features look at bars: windows that end at each row and never reach past it."""

from collections.abc import Callable
from functools import cached_property
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tidegate.bars.bars import COLUMNS, Bars, Floats
from tidegate.errors import NotEnoughHistory

Reduction = Callable[[Floats], Floats]

# Rows reduced at once. It bounds memory (2,048 rows of 5,000 bars are 80 MB) and changes no bit of any row.
_CHUNK_ROWS: Final = 2048


def ratio(numerator: Floats, denominator: Floats, otherwise: float = 0.0) -> Floats:
    """Divide where the denominator is not zero; `otherwise` elsewhere, so that flat or empty bars give a number, not NaN."""
    safe = denominator != 0.0
    result: Floats = np.where(safe, numerator / np.where(safe, denominator, 1.0), otherwise)
    return result


class Window:
    """n bars of which the last `rows` get a feature value.

    Every reduction runs along the last axis of windows ending at a row, so a row's bits do not depend on how many rows are computed
    at once. Sums over a running total or BLAS products do not have this property and are not offered.

    Args:
        bars: n bars, ascending, validated.
        rows: how many of the newest bars get a value, 1..n.
    """

    def __init__(self, bars: Bars, rows: int) -> None:
        self.bars = bars
        self.rows = rows
        # Reductions of series that live as long as the window are kept: several features ask for the same ones. A series that a
        # feature made for itself may be gone, and its id taken by another one, so those are not kept.
        self._lasting = {id(getattr(bars, name)) for name in COLUMNS}
        self._known: dict[tuple[int, str, int], Floats] = {}

    @cached_property
    def log_close(self) -> Floats:
        """(n,) natural logarithm of the close."""
        return self._keep(np.log(self.bars.close))

    @cached_property
    def log_return(self) -> Floats:
        """(n,) log return from the previous close; the first is NaN and may not be used."""
        return self._from_previous(self.log_close[1:] - self.log_close[:-1])

    @cached_property
    def log_range(self) -> Floats:
        """(n,) log of high over low."""
        return self._keep(np.log(self.bars.high / self.bars.low))

    @cached_property
    def true_range(self) -> Floats:
        """(n,) true range over the previous close; the first is NaN and may not be used."""
        high, low, before = self.bars.high[1:], self.bars.low[1:], self.bars.close[:-1]
        return self._from_previous((np.maximum(high, before) - np.minimum(low, before)) / before)

    @cached_property
    def log_volume(self) -> Floats:
        """(n,) log(1 + volume)."""
        return self._keep(np.log1p(self.bars.volume))

    @cached_property
    def close_location(self) -> Floats:
        """(n,) where the close lies in the bar's range: -1 at the low, 1 at the high, 0 in a flat bar."""
        bars = self.bars
        return self._keep(ratio(2.0 * bars.close - bars.high - bars.low, bars.high - bars.low))

    def now(self, series: Floats) -> Floats:
        """(rows,) the series at each row."""
        return self.lag(series, 0)

    def lag(self, series: Floats, bars: int) -> Floats:
        """(rows,) the series `bars` before each row."""
        end = len(series) - bars
        start = end - self.rows
        if start < 0:
            raise NotEnoughHistory(
                "a feature looks back too far", expected=f"{self.rows + bars} bars", actual=len(series)
            )
        return series[start:end]

    def sum(self, series: Floats, length: int) -> Floats:
        """(rows,) sum over the last `length` bars."""
        return self._recall("sum", series, length, lambda view: view.sum(axis=-1))

    def mean(self, series: Floats, length: int) -> Floats:
        """(rows,) mean over the last `length` bars."""
        return self.sum(series, length) / length

    def std(self, series: Floats, length: int) -> Floats:
        """(rows,) population standard deviation over the last `length` bars."""
        return self._recall("std", series, length, lambda view: view.std(axis=-1))

    def max(self, series: Floats, length: int) -> Floats:
        """(rows,) maximum over the last `length` bars."""
        return self._recall("max", series, length, lambda view: view.max(axis=-1))

    def min(self, series: Floats, length: int) -> Floats:
        """(rows,) minimum over the last `length` bars."""
        return self._recall("min", series, length, lambda view: view.min(axis=-1))

    def bars_since_max(self, series: Floats, length: int) -> Floats:
        """(rows,) bars since the newest maximum of the last `length` bars, 0..length-1."""
        return self._reduce(series, length, lambda view: view[:, ::-1].argmax(axis=-1).astype(np.float64))

    def weighted(self, series: Floats, weights: Floats) -> Floats:
        """(rows,) sum of the last len(weights) bars times `weights`, the last weight on the newest bar."""
        return self._reduce(series, len(weights), lambda view: (view * weights).sum(axis=-1))

    def product_sum(self, first: Floats, second: Floats, length: int) -> Floats:
        """(rows,) sum of products of two series over the last `length` bars."""
        return self.sum(first * second, length)

    def moment(self, series: Floats, length: int, power: int) -> Floats:
        """(rows,) standardised central moment over the last `length` bars; 0 where the series is constant."""

        def reduction(view: Floats) -> Floats:
            centred = view - view.mean(axis=-1, keepdims=True)
            squares = centred * centred
            spread = np.sqrt(squares.mean(axis=-1))
            raised = squares * centred if power == 3 else squares * squares
            return ratio(raised.mean(axis=-1), spread * spread * spread if power == 3 else spread**2 * spread**2)

        return self._reduce(series, length, reduction)

    def _from_previous(self, values: Floats) -> Floats:
        return self._keep(np.concatenate(([np.nan], values)))

    def _keep(self, series: Floats) -> Floats:
        series.flags.writeable = False
        self._lasting.add(id(series))
        return series

    def _recall(self, name: str, series: Floats, length: int, reduction: Reduction) -> Floats:
        if id(series) not in self._lasting:
            return self._reduce(series, length, reduction)
        key = (id(series), name, length)
        if key not in self._known:
            found = self._reduce(series, length, reduction)
            found.flags.writeable = False
            self._known[key] = found
        return self._known[key]

    def _reduce(self, series: Floats, length: int, reduction: Reduction) -> Floats:
        start = len(series) - self.rows - length + 1
        if start < 0:
            raise NotEnoughHistory(
                "a feature looks back too far", expected=f"{self.rows + length - 1} bars", actual=len(series)
            )
        if self.rows == 1:
            return reduction(series[start:][np.newaxis, :])
        views = sliding_window_view(np.ascontiguousarray(series[start:]), length)
        if self.rows <= _CHUNK_ROWS:
            return reduction(views)
        return np.concatenate([reduction(views[at : at + _CHUNK_ROWS]) for at in range(0, self.rows, _CHUNK_ROWS)])
