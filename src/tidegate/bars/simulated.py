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

from tidegate.bars.bars import Bars, Floats, Times, iso, parse_time
from tidegate.bars.interval import DAY_MS, Interval
from tidegate.errors import SourceError
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


def simulate(symbol: str, interval: Interval, source: SimulatedSource, as_of_ms: int) -> Bars:
    """Bars of a simulated market.

    The market opens at `source.starts_at` and its past never changes: asking later gives the same bars and newer ones.

    Args:
        symbol: must begin with SIM (the strategy file sees to it); each symbol has a path of its own.
        interval: 1 minute to 1 day.
        source: seed, length, edge and its end.
        as_of_ms: the newest bar closes at or before this time.
    Returns:
        the last `source.days` of bars. Same arguments, same bits.
    Raises:
        SourceError: the market has not been open for a day.
    """
    bars, _ = _build(symbol, interval, source, as_of_ms)
    return bars.take(slice(max(0, len(bars) - source.days * DAY_MS // interval.milliseconds), None))


def explain(symbol: str, interval: Interval, source: SimulatedSource, as_of_ms: int) -> tuple[Bars, Path]:
    """All bars since the market opened, with the hidden states behind them."""
    return _build(symbol, interval, source, as_of_ms)


def _build(symbol: str, interval: Interval, source: SimulatedSource, as_of_ms: int) -> tuple[Bars, Path]:
    span = interval.milliseconds
    start = -(-parse_time(source.starts_at) // span) * span
    n = (as_of_ms - start) // span
    if n * span < DAY_MS:
        raise SourceError(
            f"simulated market {symbol} is not open yet",
            expected=f"a time at least a day after {source.starts_at}",
            actual=iso(as_of_ms),
            setting="source.starts_at",
        )
    opened_at: Times = start + span * np.arange(n, dtype=np.int64)
    draws = _Draws(source.seed, symbol, n)
    scale = np.sqrt(span / _REFERENCE_MS)

    regime = _regimes(draws, span)
    hour = (opened_at % DAY_MS) / DAY_MS
    volatility = _VOLATILITY * scale * _REGIME_VOLATILITY[regime] * (1.0 + 0.25 * np.sin(2 * np.pi * (hour - 0.3)))
    pressure = _pressure(draws, span)
    ends_at = np.iinfo(np.int64).max if source.edge_ends_at is None else parse_time(source.edge_ends_at)
    before = np.concatenate(([0.0], pressure[:-1]))
    drift = source.edge * _DRIFT * before * volatility * (opened_at < ends_at)

    noise = draws.of("noise").standard_t(5, n) / np.sqrt(5.0 / 3.0)
    log_price = _path(draws, regime, volatility, volatility * noise + drift)
    bars = _candles(draws, symbol, interval, opened_at, log_price, volatility, pressure)
    return bars, Path(regime.astype(np.int8), pressure, drift)


class _Draws:
    """A random stream for each part of the market, so that more bars never change the earlier ones."""

    def __init__(self, seed: int, symbol: str, n: int) -> None:
        self.n = n
        self._key = [seed, *symbol.encode()]

    def of(self, part: str) -> np.random.Generator:
        return np.random.default_rng([*self._key, 0, *part.encode()])

    def normal(self, part: str) -> Floats:
        return self.of(part).standard_normal(self.n)


def _regimes(draws: _Draws, span: int) -> NDArray[np.intp]:
    switch = draws.of("switch").random(draws.n) < span / (_REGIME_DAYS * DAY_MS)
    step = np.where(switch, draws.of("regime").integers(1, 3, draws.n), 0)
    step[0] = draws.of("first regime").integers(0, 3)
    return np.cumsum(step).astype(np.intp) % 3


def _pressure(draws: _Draws, span: int) -> Floats:
    memory = np.exp(-span / (_FLOW_HOURS * 3_600_000))
    shock = np.sqrt(1.0 - memory**2) * draws.normal("pressure")
    pressure = np.empty(draws.n)
    level = 0.0
    for at in range(draws.n):
        level = memory * level + shock[at]
        pressure[at] = level
    return pressure


def _path(draws: _Draws, regime: NDArray[np.intp], volatility: Floats, move: Floats) -> Floats:
    trend = 2.0 * draws.of("trend").integers(0, 2, draws.n) - 1.0
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
    draws: _Draws,
    symbol: str,
    interval: Interval,
    opened_at: Times,
    log_close: Floats,
    volatility: Floats,
    pressure: Floats,
) -> Bars:
    before = np.concatenate(([np.log(100.0)], log_close[:-1]))
    log_open = before + 0.02 * volatility * draws.normal("open")
    top = np.maximum(log_open, log_close) + volatility * np.abs(draws.normal("high")) * 0.4
    bottom = np.minimum(log_open, log_close) - volatility * np.abs(draws.normal("low")) * 0.4
    busy = np.exp(_FLOW_VOLUME * np.sign(log_close - before) * pressure + 0.35 * draws.normal("volume"))
    volume = 1000.0 * busy * np.sqrt(volatility / _VOLATILITY)
    prices: list[Floats] = [np.asarray(np.exp(part)).round(5) for part in (log_open, top, bottom, log_close)]
    return Bars(symbol, interval, opened_at, prices[0], prices[1], prices[2], prices[3], np.round(volume, 3))
