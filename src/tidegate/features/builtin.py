"""The built-in feature families. Each is dimensionless, so that price levels and currencies do not matter."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Protocol

import numpy as np

from tidegate.bars.bars import Floats
from tidegate.bars.interval import DAY_MS
from tidegate.features.view import V, View, cosine, larger, ratio, root, sine

_FOUR_LOG_2: Final = 4.0 * math.log(2.0)


class BuiltinFunction(Protocol):
    """A feature as a function of any view, so that one text serves all rows and one."""

    @property
    def __name__(self) -> str:
        """The family's name, unless another is given."""

    def __call__(self, window: View[V], length: int, /) -> V:
        """The feature at each row that the view looks at, without NaN for validated bars."""


@dataclass(frozen=True, slots=True)
class Family:
    """Features of one kind that differ in length.

    Attributes:
        name: as the strategy file's `use` names it.
        function: what it is.
        lookback: bars needed for a length, the current one included.
        lengths: lengths of the standard set; (0,) for families without a length.
        about: one line for people.
    """

    name: str
    function: BuiltinFunction
    lookback: Callable[[int], int]
    lengths: tuple[int, ...]
    about: str


FAMILIES: Final[dict[str, Family]] = {}


def _family(
    *lengths: int, extra: int = 0, factor: int = 1, name: str | None = None
) -> Callable[[BuiltinFunction], BuiltinFunction]:
    def register(function: BuiltinFunction) -> BuiltinFunction:
        title = name or function.__name__
        about = (function.__doc__ or "").strip().splitlines()[0]
        FAMILIES[title] = Family(
            title, function, lambda length: max(1, factor * length + extra), lengths or (0,), about
        )
        return function

    return register


@_family(1, 3, 6, 12, 24, 48, extra=1, name="return")
def log_return(window: View[V], length: int) -> V:
    """Log return over `length` bars."""
    return window.now(window.log_close) - window.lag(window.log_close, length)


@_family(12, 48, 96, extra=1)
def volatility(window: View[V], length: int) -> V:
    """Standard deviation of one-bar log returns."""
    return window.std(window.log_return, length)


@_family(12, 24, extra=1, factor=4)
def volatility_ratio(window: View[V], length: int) -> V:
    """Volatility of `length` bars over that of four times as many."""
    return ratio(window.std(window.log_return, length), window.std(window.log_return, 4 * length), 1.0)


@_family(12, 48)
def parkinson(window: View[V], length: int) -> V:
    """Volatility from the bars' ranges (Parkinson 1980)."""
    return root(window.mean(window.squared_log_range, length) / _FOUR_LOG_2)


@_family(48, extra=1)
def standard_return(window: View[V], length: int) -> V:
    """The newest one-bar return in volatilities of `length` bars."""
    return ratio(window.now(window.log_return), window.std(window.log_return, length))


@_family(12, 48, 96)
def range_position(window: View[V], length: int) -> V:
    """Close within the range of `length` bars: 0 at the low, 1 at the high (stochastic oscillator)."""
    low, high = window.min(window.bars.low, length), window.max(window.bars.high, length)
    return ratio(window.now(window.bars.close) - low, high - low, 0.5)


@_family(12, 48, extra=1)
def efficiency(window: View[V], length: int) -> V:
    """Net move over the sum of moves, signed: 1 a straight rise, -1 a straight fall, near 0 noise (Kaufman)."""
    path = window.sum(window.absolute_return, length)
    return ratio(window.now(window.log_close) - window.lag(window.log_close, length), path)


@_family(24, 96, extra=1)
def trend_slope(window: View[V], length: int) -> V:
    """Least-squares slope of the log close over `length` bars, in one-bar volatilities."""
    slope = window.weighted(window.log_close, _slope_weights(length))
    return ratio(slope, window.std(window.log_return, length))


@_family(12, 48, 96, extra=1)
def mean_gap(window: View[V], length: int) -> V:
    """Log distance of the close from its mean, in volatilities over `length` bars."""
    gap = window.now(window.log_close) - window.mean(window.log_close, length)
    return ratio(gap, window.std(window.log_return, length) * math.sqrt(length))


@_family(24, factor=4)
def ema_gap(window: View[V], length: int) -> V:
    """Log distance of the close from its exponential mean, cut off at four lengths."""
    return window.now(window.log_close) - window.weighted(window.log_close, _exponential_weights(length))


@_family(14, 48, extra=1)
def rsi(window: View[V], length: int) -> V:
    """Relative strength index by simple means, 0..1 (Cutler's form: its memory is finite)."""
    up = window.sum(window.rise, length)
    path = window.sum(window.absolute_return, length)
    return ratio(up, path, 0.5)


@_family(20)
def cci(window: View[V], length: int) -> V:
    """Distance of the typical price from its mean, in standard deviations (Lambert's CCI with the standard deviation)."""
    typical = window.typical_price
    return ratio(window.now(typical) - window.mean(typical, length), window.std(typical, length))


@_family(48, extra=1)
def skewness(window: View[V], length: int) -> V:
    """Skewness of one-bar log returns."""
    return window.moment(window.log_return, length, 3)


@_family(48, extra=1)
def kurtosis(window: View[V], length: int) -> V:
    """Kurtosis of one-bar log returns (3 for a normal distribution)."""
    return window.moment(window.log_return, length, 4)


@_family(48, extra=2)
def autocorrelation(window: View[V], length: int) -> V:
    """Sum of products of neighbouring returns over the sum of their squares."""
    return ratio(window.sum(window.neighbour_product, length), window.sum(window.squared_return, length))


@_family(24, 96)
def volume_z(window: View[V], length: int) -> V:
    """Log volume in standard deviations from its mean."""
    volume = window.log_volume
    return ratio(window.now(volume) - window.mean(volume, length), window.std(volume, length))


@_family(12, factor=4)
def volume_trend(window: View[V], length: int) -> V:
    """Mean volume of `length` bars over that of four times as many."""
    return ratio(window.mean(window.bars.volume, length), window.mean(window.bars.volume, 4 * length), 1.0)


@_family(3, 12, 24, extra=1)
def signed_volume(window: View[V], length: int) -> V:
    """Volume of rising less that of falling bars, over all volume."""
    return ratio(window.sum(window.directed_volume, length), window.sum(window.bars.volume, length))


@_family(12, 24)
def money_flow(window: View[V], length: int) -> V:
    """Volume weighted by where each close lies in its bar (Chaikin)."""
    return ratio(window.sum(window.located_volume, length), window.sum(window.bars.volume, length))


@_family(24, extra=1)
def range_ratio(window: View[V], length: int) -> V:
    """The newest true range over its mean."""
    return ratio(window.now(window.true_range), window.mean(window.true_range, length), 1.0)


@_family(48)
def drawdown(window: View[V], length: int) -> V:
    """Log distance of the close from its highest close."""
    return window.now(window.log_close) - window.max(window.log_close, length)


@_family(24)
def since_high(window: View[V], length: int) -> V:
    """Bars since the highest high, as a share of `length` (Aroon)."""
    return window.bars_since_max(window.bars.high, length) / length


@_family(24)
def since_low(window: View[V], length: int) -> V:
    """Bars since the lowest low, as a share of `length` (Aroon)."""
    return window.bars_since_min(window.bars.low, length) / length


@_family()
def body(window: View[V], length: int) -> V:
    """Close less open over the bar's range: the candle's body, signed."""
    del length
    bars = window.bars
    return ratio(window.now(bars.close) - window.now(bars.open), window.now(bars.high) - window.now(bars.low))


@_family()
def upper_shadow(window: View[V], length: int) -> V:
    """Upper shadow over the bar's range."""
    del length
    high = window.now(window.bars.high)
    return ratio(
        high - larger(window.now(window.bars.open), window.now(window.bars.close)), high - window.now(window.bars.low)
    )


@_family()
def hour_sin(window: View[V], length: int) -> V:
    """Time of day of the bar's close, sine."""
    del length
    return sine(window.turn(DAY_MS))


@_family()
def hour_cos(window: View[V], length: int) -> V:
    """Time of day of the bar's close, cosine."""
    del length
    return cosine(window.turn(DAY_MS))


@_family()
def weekday_sin(window: View[V], length: int) -> V:
    """Time of week of the bar's close, sine."""
    del length
    return sine(window.turn(7 * DAY_MS))


@_family()
def weekday_cos(window: View[V], length: int) -> V:
    """Time of week of the bar's close, cosine."""
    del length
    return cosine(window.turn(7 * DAY_MS))


@lru_cache(maxsize=256)
def _slope_weights(length: int) -> Floats:
    """(length,) whose weighted sum is the least-squares slope a bar; one bar has none, which counts as 0."""
    steps = np.arange(length, dtype=np.float64) - (length - 1) / 2.0
    weights: Floats = steps / ((steps * steps).sum() or 1.0)
    weights.setflags(write=False)
    return weights


@lru_cache(maxsize=256)
def _exponential_weights(length: int) -> Floats:
    """(4 length,) of an exponential mean, the largest last, with sum 1."""
    weights = (1.0 - 2.0 / (length + 1.0)) ** np.arange(4 * length - 1, -1, -1, dtype=np.float64)
    weights /= weights.sum()
    weights.setflags(write=False)
    return weights
