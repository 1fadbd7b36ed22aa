"""All rows at once: the way in which training, backtest and a strategy's own features look at bars."""

from collections.abc import Callable
from typing import Final, Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tidegate.bars.bars import Bars, Floats
from tidegate.errors import ConfigurationError, NotEnoughHistory
from tidegate.features.view import View, ratio

__all__ = ["Window", "ratio"]

# Of a (rows, length) view, and of arrays with a number a row, to (..., rows).
Reduction = Callable[..., Floats]

# Numbers reduced at once: a MB, so that what is made of them stays in the processor's cache. It changes no bit of any row.
_CHUNK_NUMBERS: Final = 2**17


class Window(View[Floats]):
    """n bars of which the last `rows` get a feature value.

    Every reduction runs along the last axis of windows ending at a row, so a row's bits do not depend on how many rows are computed
    at once.

    Args:
        bars: n bars, ascending, validated.
        rows: how many of the newest bars get a value, 1..n.
    """

    def __init__(self, bars: Bars, rows: int) -> None:
        super().__init__(bars)
        self.rows = rows
        # Reductions of series that live as long as the window are kept: several features ask for the same ones. A series that a
        # feature made for itself may be gone, and its id taken by another one, so those are not kept.
        self._known: dict[tuple[int, str, int], Floats] = {}

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
        return self._recall("sum", series, length, _total)

    def mean(self, series: Floats, length: int) -> Floats:
        """(rows,) mean over the last `length` bars."""
        return self.sum(series, length) / length

    def std(self, series: Floats, length: int) -> Floats:
        """(rows,) population standard deviation over the last `length` bars."""
        return self._recall("std", series, length, _std, self.mean(series, length))

    def max(self, series: Floats, length: int) -> Floats:
        """(rows,) maximum over the last `length` bars."""
        return self._recall("max", series, length, lambda view: view.max(axis=-1))

    def min(self, series: Floats, length: int) -> Floats:
        """(rows,) minimum over the last `length` bars."""
        return self._recall("min", series, length, lambda view: view.min(axis=-1))

    def bars_since_max(self, series: Floats, length: int) -> Floats:
        """(rows,) bars since the newest maximum of the last `length` bars, 0..length-1."""
        return self._reduce(series, length, lambda view: view[:, ::-1].argmax(axis=-1).astype(np.float64))

    def bars_since_min(self, series: Floats, length: int) -> Floats:
        """(rows,) bars since the newest minimum of the last `length` bars, 0..length-1."""
        return self._reduce(series, length, lambda view: view[:, ::-1].argmin(axis=-1).astype(np.float64))

    def weighted(self, series: Floats, weights: Floats) -> Floats:
        """(rows,) sum of the last len(weights) bars times `weights`, the last weight on the newest bar."""
        return self._reduce(series, len(weights), lambda view: _total(view * weights))

    def product_sum(self, first: Floats, second: Floats, length: int) -> Floats:
        """(rows,) sum of products of two series over the last `length` bars."""
        return self.sum(first * second, length)

    def moment(self, series: Floats, length: int, power: Literal[3, 4]) -> Floats:
        """(rows,) standardised central moment, the third or fourth, over the last `length` bars; 0 where the series is constant."""
        if power not in {3, 4}:
            raise ConfigurationError("a feature asks for an unknown moment", expected="power 3 or 4", actual=power)
        # Who asks for one asks for the other most of the time.
        third, fourth = self._recall("moments", series, length, _moments, self.mean(series, length))
        moment: Floats = third if power == 3 else fourth
        return moment

    def turn(self, span_ms: int) -> Floats:
        """(rows,) how far each bar's close lies into spans of `span_ms` counted from 1970, in radians."""
        closed_at = self.bars.opened_at[len(self.bars) - self.rows :] + self.bars.interval.milliseconds
        return (closed_at % span_ms).astype(np.float64) * (2.0 * np.pi / span_ms)

    def _recall(self, name: str, series: Floats, length: int, reduction: Reduction, *by_row: Floats) -> Floats:
        if not self.lasts(series):
            return self._reduce(series, length, reduction, *by_row)
        key = (id(series), name, length)
        if key not in self._known:
            found = self._reduce(series, length, reduction, *by_row)
            found.setflags(write=False)
            self._known[key] = found
        return self._known[key]

    def _reduce(self, series: Floats, length: int, reduction: Reduction, *by_row: Floats) -> Floats:
        if length < 1:
            raise ConfigurationError("a feature looks at no bar", expected="a length of at least 1", actual=length)
        start = len(series) - self.rows - length + 1
        if start < 0:
            raise NotEnoughHistory(
                "a feature looks back too far", expected=f"{self.rows + length - 1} bars", actual=len(series)
            )
        if self.rows == 1:
            return reduction(series[start:][np.newaxis, :], *by_row)
        views = sliding_window_view(np.ascontiguousarray(series[start:]), length)
        step = max(1, _CHUNK_NUMBERS // length)
        if self.rows <= step:
            return reduction(views, *by_row)
        return np.concatenate(
            [
                reduction(views[at : at + step], *(known[at : at + step] for known in by_row))
                for at in range(0, self.rows, step)
            ],
            axis=-1,
        )


def _total(view: Floats) -> Floats:
    # Not `np.add.reduce`: `NewestRow` adds many windows of unlike lengths at once, which only `reduceat` can, and it starts otherwise.
    total: Floats = np.add.reduceat(view, (0,), axis=-1)[:, 0]
    return total


def _std(view: Floats, mean: Floats) -> Floats:
    centred = view - mean[:, np.newaxis]
    std: Floats = np.sqrt(_total(np.multiply(centred, centred, out=centred)) / view.shape[-1])
    return std


def _moments(view: Floats, mean: Floats) -> Floats:
    """(2, rows) the third and the fourth standardised central moment."""
    length = view.shape[-1]
    centred = view - mean[:, np.newaxis]
    squares = centred * centred
    spread = np.sqrt(_total(squares) / length)
    variance = spread * spread
    third = ratio(_total(np.multiply(squares, centred, out=centred)) / length, variance * spread)
    fourth = ratio(_total(np.multiply(squares, squares, out=squares)) / length, variance * variance)
    return np.stack((third, fourth))
