"""What features derive from the columns of the bars: one number a bar, worked out when first asked for and then kept."""

from collections.abc import Callable
from typing import Final, Self, overload

import numpy as np

from tidegate.bars.bars import COLUMNS, Bars, Floats

# The smallest float64 that is not denormal.
_LEAST: Final = float(np.finfo(np.float64).tiny)


class _Kept:
    """An attribute that is computed at its first use, as `functools.cached_property`, but read-only and without a lock.

    Args:
        compute: gives a new array.
    """

    def __init__(self, compute: "Callable[[Series], Floats]") -> None:
        self.compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(self, instance: "Series", owner: type) -> Floats: ...

    def __get__(self, instance: "Series | None", owner: type) -> "Self | Floats":
        if instance is None:
            return self
        series = self.compute(instance)
        series.setflags(write=False)
        # Found before this descriptor, which has no `__set__`, from now on.
        instance.__dict__[self.name] = series
        return series


class Series:
    """Series of n bars, each (n,) float64 and read-only.

    Every number depends on its own bar and the one or two before it, so it has the same bits however many bars there are.

    Args:
        bars: n bars, ascending, validated.
    """

    def __init__(self, bars: Bars) -> None:
        self.bars = bars

    def lasts(self, series: Floats) -> bool:
        """Whether an array is one of these or a column of the bars, so that it lives on and its id is not taken by another one."""
        return any(series is known for known in vars(self).values()) or any(
            series is getattr(self.bars, name) for name in COLUMNS
        )

    @_Kept
    def log_close(self) -> Floats:
        """(n,) natural logarithm of the close."""
        return np.log(self.bars.close)

    @_Kept
    def log_return(self) -> Floats:
        """(n,) log return from the previous close; the first is NaN and may not be used."""
        series = _behind_nan(len(self.bars), 1)
        np.subtract(self.log_close[1:], self.log_close[:-1], series[1:])
        return series

    @_Kept
    def absolute_return(self) -> Floats:
        """(n,) log return without its sign; the first is NaN and may not be used."""
        return np.abs(self.log_return)

    @_Kept
    def rise(self) -> Floats:
        """(n,) log return where it is above zero, else 0; the first is NaN and may not be used."""
        return np.maximum(self.log_return, 0.0)

    @_Kept
    def squared_return(self) -> Floats:
        """(n,) square of the log return; the first is NaN and may not be used."""
        return self.log_return * self.log_return

    @_Kept
    def neighbour_product(self) -> Floats:
        """(n,) log return times the one before; the first two are NaN and may not be used."""
        series = _behind_nan(len(self.bars), 2)
        np.multiply(self.log_return[2:], self.log_return[1:-1], series[2:])
        return series

    @_Kept
    def squared_log_range(self) -> Floats:
        """(n,) square of the log of high over low."""
        return self.log_range * self.log_range

    @_Kept
    def log_range(self) -> Floats:
        """(n,) log of high over low."""
        return np.log(self.bars.high / self.bars.low)

    @_Kept
    def true_range(self) -> Floats:
        """(n,) true range over the previous close; the first is NaN and may not be used."""
        high, low, before = self.bars.high[1:], self.bars.low[1:], self.bars.close[:-1]
        series = _behind_nan(len(self.bars), 1)
        np.divide(np.maximum(high, before) - np.minimum(low, before), before, series[1:])
        return series

    @_Kept
    def typical_price(self) -> Floats:
        """(n,) mean of high, low and close."""
        bars = self.bars
        return (bars.high + bars.low + bars.close) / 3.0

    @_Kept
    def log_volume(self) -> Floats:
        """(n,) log(1 + volume)."""
        return np.log1p(self.bars.volume)

    @_Kept
    def directed_volume(self) -> Floats:
        """(n,) volume, negative in bars that fall, 0 in those that close where they began; the first is NaN and may not be used."""
        return np.sign(self.log_return) * self.bars.volume

    @_Kept
    def close_location(self) -> Floats:
        """(n,) where the close lies in the bar's range: -1 at the low, 1 at the high, 0 in a flat bar."""
        bars = self.bars
        # A flat bar gives 0 over the least number; any other span is larger, as prices of that size do not exist.
        return (2.0 * bars.close - bars.high - bars.low) / np.maximum(bars.high - bars.low, _LEAST)

    @_Kept
    def located_volume(self) -> Floats:
        """(n,) volume times where the close lies in the bar's range."""
        return self.close_location * self.bars.volume


def _behind_nan(n: int, unknown: int) -> Floats:
    series = np.empty(n)
    series[:unknown] = np.nan
    return series
