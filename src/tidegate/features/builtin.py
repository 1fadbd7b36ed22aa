"""The built-in feature families. Each is dimensionless, so that price levels and currencies do not matter."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from tidegate.bars.bars import Floats
from tidegate.bars.interval import DAY_MS
from tidegate.features.window import Window, ratio

FeatureFunction = Callable[[Window, int], Floats]


@dataclass(frozen=True, slots=True)
class Family:
    """Features of one kind that differ in length.

    Attributes:
        name: as the strategy file's `use` names it.
        function: `(window, length) -> (rows,)`, without NaN for validated bars.
        lookback: bars needed for a length, the current one included.
        lengths: lengths of the standard set; (0,) for families without a length.
        about: one line for people.
    """

    name: str
    function: FeatureFunction
    lookback: Callable[[int], int]
    lengths: tuple[int, ...]
    about: str


FAMILIES: Final[dict[str, Family]] = {}


def _family(
    *lengths: int, extra: int = 0, factor: int = 1, name: str | None = None
) -> Callable[[FeatureFunction], FeatureFunction]:
    def register(function: FeatureFunction) -> FeatureFunction:
        title = name or function.__name__
        about = (function.__doc__ or "").strip().splitlines()[0]
        FAMILIES[title] = Family(
            title, function, lambda length: max(1, factor * length + extra), lengths or (0,), about
        )
        return function

    return register


@_family(1, 3, 6, 12, 24, 48, extra=1, name="return")
def log_return(window: Window, length: int) -> Floats:
    """Log return over `length` bars."""
    return window.now(window.log_close) - window.lag(window.log_close, length)


@_family(12, 48, 96, extra=1)
def volatility(window: Window, length: int) -> Floats:
    """Standard deviation of one-bar log returns."""
    return window.std(window.log_return, length)


@_family(12, 24, extra=1, factor=4)
def volatility_ratio(window: Window, length: int) -> Floats:
    """Volatility of `length` bars over that of four times as many."""
    return ratio(window.std(window.log_return, length), window.std(window.log_return, 4 * length), 1.0)


@_family(12, 48)
def parkinson(window: Window, length: int) -> Floats:
    """Volatility from the bars' ranges (Parkinson 1980)."""
    return np.asarray(np.sqrt(window.mean(window.log_range * window.log_range, length) / (4.0 * np.log(2.0))))


@_family(48, extra=1)
def standard_return(window: Window, length: int) -> Floats:
    """The newest one-bar return in volatilities of `length` bars."""
    return ratio(window.now(window.log_return), window.std(window.log_return, length))


@_family(12, 48, 96)
def range_position(window: Window, length: int) -> Floats:
    """Close within the range of `length` bars: 0 at the low, 1 at the high (stochastic oscillator)."""
    low, high = window.min(window.bars.low, length), window.max(window.bars.high, length)
    return ratio(window.now(window.bars.close) - low, high - low, 0.5)


@_family(12, 48, extra=1)
def efficiency(window: Window, length: int) -> Floats:
    """Net move over the sum of moves, signed: 1 a straight rise, -1 a straight fall, near 0 noise (Kaufman)."""
    path = window.sum(np.abs(window.log_return), length)
    return ratio(window.now(window.log_close) - window.lag(window.log_close, length), path)


@_family(24, 96, extra=1)
def trend_slope(window: Window, length: int) -> Floats:
    """Least-squares slope of the log close over `length` bars, in one-bar volatilities."""
    steps = np.arange(length, dtype=np.float64) - (length - 1) / 2.0
    slope = window.weighted(window.log_close, steps / (steps * steps).sum())
    return ratio(slope, window.std(window.log_return, length))


@_family(12, 48, 96, extra=1)
def mean_gap(window: Window, length: int) -> Floats:
    """Log distance of the close from its mean, in volatilities over `length` bars."""
    gap = window.now(window.log_close) - window.mean(window.log_close, length)
    return ratio(gap, window.std(window.log_return, length) * np.sqrt(float(length)))


@_family(24, factor=4)
def ema_gap(window: Window, length: int) -> Floats:
    """Log distance of the close from its exponential mean, cut off at four lengths."""
    weights = (1.0 - 2.0 / (length + 1.0)) ** np.arange(4 * length - 1, -1, -1, dtype=np.float64)
    return window.now(window.log_close) - window.weighted(window.log_close, weights / weights.sum())


@_family(14, 48, extra=1)
def rsi(window: Window, length: int) -> Floats:
    """Relative strength index by simple means, 0..1 (Cutler's form: its memory is finite)."""
    up = window.sum(np.maximum(window.log_return, 0.0), length)
    path = window.sum(np.abs(window.log_return), length)
    return ratio(up, path, 0.5)


@_family(20)
def cci(window: Window, length: int) -> Floats:
    """Distance of the typical price from its mean, in standard deviations (Lambert's CCI with the standard deviation)."""
    typical = (window.bars.high + window.bars.low + window.bars.close) / 3.0
    return ratio(window.now(typical) - window.mean(typical, length), window.std(typical, length))


@_family(48, extra=1)
def skewness(window: Window, length: int) -> Floats:
    """Skewness of one-bar log returns."""
    return window.moment(window.log_return, length, 3)


@_family(48, extra=1)
def kurtosis(window: Window, length: int) -> Floats:
    """Kurtosis of one-bar log returns (3 for a normal distribution)."""
    return window.moment(window.log_return, length, 4)


@_family(48, extra=2)
def autocorrelation(window: Window, length: int) -> Floats:
    """Sum of products of neighbouring returns over the sum of their squares."""
    before = np.concatenate(([np.nan], window.log_return[:-1]))
    return ratio(
        window.product_sum(window.log_return, before, length),
        window.product_sum(window.log_return, window.log_return, length),
    )


@_family(24, 96)
def volume_z(window: Window, length: int) -> Floats:
    """Log volume in standard deviations from its mean."""
    volume = window.log_volume
    return ratio(window.now(volume) - window.mean(volume, length), window.std(volume, length))


@_family(12, factor=4)
def volume_trend(window: Window, length: int) -> Floats:
    """Mean volume of `length` bars over that of four times as many."""
    return ratio(window.mean(window.bars.volume, length), window.mean(window.bars.volume, 4 * length), 1.0)


@_family(3, 12, 24, extra=1)
def signed_volume(window: Window, length: int) -> Floats:
    """Volume of rising less that of falling bars, over all volume."""
    signed = np.sign(window.log_return) * window.bars.volume
    return ratio(window.sum(signed, length), window.sum(window.bars.volume, length))


@_family(12, 24)
def money_flow(window: Window, length: int) -> Floats:
    """Volume weighted by where each close lies in its bar (Chaikin)."""
    flow = window.close_location * window.bars.volume
    return ratio(window.sum(flow, length), window.sum(window.bars.volume, length))


@_family(24, extra=1)
def range_ratio(window: Window, length: int) -> Floats:
    """The newest true range over its mean."""
    return ratio(window.now(window.true_range), window.mean(window.true_range, length), 1.0)


@_family(48)
def drawdown(window: Window, length: int) -> Floats:
    """Log distance of the close from its highest close."""
    return window.now(window.log_close) - window.max(window.log_close, length)


@_family(24)
def since_high(window: Window, length: int) -> Floats:
    """Bars since the highest high, as a share of `length` (Aroon)."""
    return window.bars_since_max(window.bars.high, length) / length


@_family(24)
def since_low(window: Window, length: int) -> Floats:
    """Bars since the lowest low, as a share of `length` (Aroon)."""
    return window.bars_since_max(-window.bars.low, length) / length


@_family()
def body(window: Window, length: int) -> Floats:
    """Close less open over the bar's range: the candle's body, signed."""
    del length
    bars = window.bars
    return ratio(window.now(bars.close - bars.open), window.now(bars.high - bars.low))


@_family()
def upper_shadow(window: Window, length: int) -> Floats:
    """Upper shadow over the bar's range."""
    del length
    bars = window.bars
    return ratio(window.now(bars.high - np.maximum(bars.open, bars.close)), window.now(bars.high - bars.low))


@_family()
def hour_sin(window: Window, length: int) -> Floats:
    """Time of day of the bar's close, sine."""
    del length
    return np.sin(_turns(window, DAY_MS))


@_family()
def hour_cos(window: Window, length: int) -> Floats:
    """Time of day of the bar's close, cosine."""
    del length
    return np.cos(_turns(window, DAY_MS))


@_family()
def weekday_sin(window: Window, length: int) -> Floats:
    """Time of week of the bar's close, sine."""
    del length
    return np.sin(_turns(window, 7 * DAY_MS))


@_family()
def weekday_cos(window: Window, length: int) -> Floats:
    """Time of week of the bar's close, cosine."""
    del length
    return np.cos(_turns(window, 7 * DAY_MS))


def _turns(window: Window, span_ms: int) -> Floats:
    into = (window.bars.closed_at[len(window.bars) - window.rows :] % span_ms).astype(np.float64)
    return into * (2.0 * np.pi / span_ms)
