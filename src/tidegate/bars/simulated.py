"""A simulated market with a known, seeded edge. Nothing here pretends to be a real market, and its symbols say so.

How it works, bar by bar:

- **Regime**: one of trending, ranging, volatile; it lasts 3 days on average, then another one follows. It sets the volatility of a bar
  (0.8, 0.7 and 1.5 times `_VOLATILITY`) and the background drift: in a trend a small constant drift of either sign, in a range a
  pull back to where the range began, in a volatile spell none.
- **Noise**: Student's t with 5 degrees of freedom, so that tails are fat; volatility has a daily pattern.
- **Order flow**: a hidden pressure, now of buyers, now of sellers, with mean 0, variance 1 and a memory of `_FLOW_HOURS` (an AR(1) process).
  Volume shows it: a bar that moves with the pressure carries more volume than one that moves against it. When there is an edge the
  price gives way to the pressure: each bar drifts by `edge` times `_DRIFT` volatilities times the pressure at the bar's start. Without an
  edge volume shows the same pressure and the price does not follow.

A model that sees signed volume can tell the pressure roughly; where it is strong it wins about three trades of five, and costs leave it
a part of the gain. `edge_ends_at` switches the drift off from a date on: a change of concept that no feature shows.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tidegate.bars.bars import Bars, Floats, Times, parse_time
from tidegate.bars.interval import DAY_MS, Interval
from tidegate.strategy.strategy import SimulatedSource

_VOLATILITY: Final = 0.0018  # of one 15-minute bar
_REGIME_VOLATILITY: Final = np.array([0.8, 0.7, 1.5])
_REGIME_DAYS: Final = 3.0
_TREND_DRIFT: Final = 0.02  # volatilities a bar
_RANGE_PULL: Final = 0.01  # of the distance, a bar
_FLOW_HOURS: Final = 4.0
_FLOW_VOLUME: Final = 0.8  # log volume a unit of pressure
_DRIFT: Final = 0.14  # volatilities a bar and a unit of pressure, at edge 1
_REFERENCE_MS: Final = 900_000


@dataclass(frozen=True, slots=True, eq=False)
class Path:
    """What the generator drew, for tests and for explanations.

    Attributes:
        regime: (n,) 0 trending, 1 ranging, 2 volatile.
        pressure: (n,) float64, order flow at each bar's close, in standard deviations.
        drift: (n,) float64, log drift of each bar that comes from the pressure before it.
    """

    regime: NDArray[np.int8]
    pressure: Floats
    drift: Floats


def simulate(symbol: str, interval: Interval, source: SimulatedSource) -> Bars:
    """Bars of a simulated market.

    Args:
        symbol: must begin with SIM (the strategy file sees to it); each symbol has a path of its own.
        interval: 1 minute to 1 day.
        source: seed, length, edge and its end.
    Returns:
        bars that end at `source.ends_at`, aligned to the interval. Same arguments, same bits.
    """
    return _build(symbol, interval, source)[0]


def explain(symbol: str, interval: Interval, source: SimulatedSource) -> Path:
    """The hidden states behind `simulate`'s bars."""
    return _build(symbol, interval, source)[1]


def _build(symbol: str, interval: Interval, source: SimulatedSource) -> tuple[Bars, Path]:
    span = interval.milliseconds
    end = parse_time(source.ends_at) // span * span
    n = source.days * DAY_MS // span
    opened_at: Times = end - span * np.arange(n, 0, -1, dtype=np.int64)
    rng = np.random.default_rng([source.seed, *symbol.encode()])
    scale = np.sqrt(span / _REFERENCE_MS)

    regime = _regimes(rng, n, span)
    hour = (opened_at % DAY_MS) / DAY_MS
    volatility = _VOLATILITY * scale * _REGIME_VOLATILITY[regime] * (1.0 + 0.25 * np.sin(2 * np.pi * (hour - 0.3)))
    pressure = _pressure(rng, n, span)
    ends_at = np.iinfo(np.int64).max if source.edge_ends_at is None else parse_time(source.edge_ends_at)
    before = np.concatenate(([0.0], pressure[:-1]))
    drift = source.edge * _DRIFT * before * volatility * (opened_at < ends_at)

    noise = rng.standard_t(5, n) / np.sqrt(5.0 / 3.0)
    log_price = _path(rng, regime, volatility, volatility * noise + drift)
    bars = _candles(rng, symbol, interval, opened_at, log_price, volatility, pressure)
    return bars, Path(regime.astype(np.int8), pressure, drift)


def _regimes(rng: np.random.Generator, n: int, span: int) -> NDArray[np.intp]:
    switch = rng.random(n) < span / (_REGIME_DAYS * DAY_MS)
    step = np.where(switch, rng.integers(1, 3, n), 0)
    step[0] = rng.integers(0, 3)
    return np.cumsum(step).astype(np.intp) % 3


def _pressure(rng: np.random.Generator, n: int, span: int) -> Floats:
    memory = np.exp(-span / (_FLOW_HOURS * 3_600_000))
    shock = np.sqrt(1.0 - memory**2) * rng.standard_normal(n)
    pressure = np.empty(n)
    level = 0.0
    for at in range(n):
        level = memory * level + shock[at]
        pressure[at] = level
    return pressure


def _path(rng: np.random.Generator, regime: NDArray[np.intp], volatility: Floats, move: Floats) -> Floats:
    trend = rng.choice(np.array([-1.0, 1.0]), len(move))
    log_price = np.empty(len(move))
    level, anchor, direction = np.log(100.0), np.log(100.0), 1.0
    for at in range(len(move)):
        if at == 0 or regime[at] != regime[at - 1]:
            anchor, direction = level, float(trend[at])
        if regime[at] == 0:
            level += direction * _TREND_DRIFT * volatility[at]
        elif regime[at] == 1:
            level += _RANGE_PULL * (anchor - level)
        level += move[at]
        log_price[at] = level
    return log_price


def _candles(
    rng: np.random.Generator,
    symbol: str,
    interval: Interval,
    opened_at: Times,
    log_close: Floats,
    volatility: Floats,
    pressure: Floats,
) -> Bars:
    n = len(log_close)
    before = np.concatenate(([np.log(100.0)], log_close[:-1]))
    log_open = before + 0.02 * volatility * rng.standard_normal(n)
    top = np.maximum(log_open, log_close) + volatility * np.abs(rng.standard_normal(n)) * 0.4
    bottom = np.minimum(log_open, log_close) - volatility * np.abs(rng.standard_normal(n)) * 0.4
    busy = np.exp(_FLOW_VOLUME * np.sign(log_close - before) * pressure + 0.35 * rng.standard_normal(n))
    volume = 1000.0 * busy * np.sqrt(volatility / _VOLATILITY)
    prices: list[Floats] = [np.asarray(np.exp(part)).round(5) for part in (log_open, top, bottom, log_close)]
    return Bars(symbol, interval, opened_at, prices[0], prices[1], prices[2], prices[3], np.round(volume, 3))
