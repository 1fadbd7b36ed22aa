"""A simulated market with a known, seeded edge. Nothing here pretends to be a real market, and its symbols say so.

How it works, bar by bar:

- **Regime**: one of trending, ranging, volatile; it lasts 3 days on average, then another one follows. It sets the volatility of a bar
  (0.8, 0.7 and 1.5 times `_VOLATILITY`) and the background drift: in a trend a small constant drift of either sign, in a range a
  pull back to where the range began, in a volatile spell none.
- **Noise**: Student's t with 5 degrees of freedom, so that tails are fat; volatility has a daily pattern.
- **Impulses**: at random times, four times a day on average, a large order arrives. Its bar shows it: volume is several times the usual
  and the price moves by 1.5 to 2.5 volatilities in the order's direction. When there is an edge the order is worked off over the next
  `_WORKED_BARS` bars: the price drifts on in its direction by `edge` times `_DRIFT` volatilities a bar. Without an edge the very same bars
  come, without the drift.
- **Decoys**: as often, volume of the same size comes with a small move that means nothing.

A model that sees volume and returns can find the impulses; it wins about three trades of five, and costs leave it a part of the gain.
`edge_ends_at` switches the drift off from a date on, which is a drift of concept that no feature shows.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tidegate.bars.bars import Bars, Floats, Times, parse_time
from tidegate.bars.interval import DAY_MS, Interval
from tidegate.strategy.strategy import SimulatedSource

_VOLATILITY: Final = 0.0022  # of one 15-minute bar
_REGIME_VOLATILITY: Final = np.array([0.8, 0.7, 1.5])
_REGIME_DAYS: Final = 3.0
_TREND_DRIFT: Final = 0.02  # volatilities a bar
_RANGE_PULL: Final = 0.01  # of the distance, a bar
_IMPULSES_PER_DAY: Final = 4.0
_WORKED_BARS: Final = 12
_DRIFT: Final = 0.16  # volatilities a bar, at edge 1
_REFERENCE_MS: Final = 900_000


@dataclass(frozen=True, slots=True, eq=False)
class Path:
    """What the generator drew, for tests and for explanations.

    Attributes:
        regime: (n,) 0 trending, 1 ranging, 2 volatile.
        impulse: (n,) -1, 0, 1: direction of the large order that arrived in the bar.
        drift: (n,) float64, log drift of each bar that comes from impulses.
    """

    regime: NDArray[np.int8]
    impulse: NDArray[np.int8]
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
    impulse = _impulses(rng, n, span)
    decoy = np.abs(_impulses(rng, n, span)) * (impulse == 0)
    ends_at = np.iinfo(np.int64).max if source.edge_ends_at is None else parse_time(source.edge_ends_at)
    drift = _impulse_drift(impulse, volatility, source.edge) * (opened_at < ends_at)

    noise = rng.standard_t(5, n) / np.sqrt(5.0 / 3.0)
    move = impulse * rng.uniform(1.5, 2.5, n)
    noise = np.where(impulse != 0, move, np.where(decoy != 0, 0.3 * noise, noise))
    log_price = _path(rng, regime, volatility, volatility * noise + drift)
    bars = _candles(rng, symbol, interval, opened_at, log_price, volatility, impulse, decoy)
    return bars, Path(regime.astype(np.int8), impulse.astype(np.int8), drift)


def _regimes(rng: np.random.Generator, n: int, span: int) -> NDArray[np.intp]:
    switch = rng.random(n) < span / (_REGIME_DAYS * DAY_MS)
    step = np.where(switch, rng.integers(1, 3, n), 0)
    step[0] = rng.integers(0, 3)
    return np.cumsum(step).astype(np.intp) % 3


def _impulses(rng: np.random.Generator, n: int, span: int) -> NDArray[np.intp]:
    arrives = rng.random(n) < _IMPULSES_PER_DAY * span / DAY_MS
    return np.where(arrives, rng.choice(np.array([-1, 1]), n), 0).astype(np.intp)


def _impulse_drift(impulse: NDArray[np.intp], volatility: Floats, edge: float) -> Floats:
    drift = np.zeros(len(impulse))
    for at in np.flatnonzero(impulse):
        worked = slice(at + 1, at + 1 + _WORKED_BARS)
        drift[worked] = impulse[at] * edge * _DRIFT * volatility[worked]  # a newer order replaces an older one
    return drift


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
    impulse: NDArray[np.intp],
    decoy: NDArray[np.intp],
) -> Bars:
    n = len(log_close)
    before = np.concatenate(([np.log(100.0)], log_close[:-1]))
    log_open = before + 0.02 * volatility * rng.standard_normal(n)
    top = np.maximum(log_open, log_close) + volatility * np.abs(rng.standard_normal(n)) * 0.4
    bottom = np.minimum(log_open, log_close) - volatility * np.abs(rng.standard_normal(n)) * 0.4
    busy = np.where((impulse != 0) | (decoy != 0), rng.uniform(4.0, 8.0, n), 1.0)
    volume = 1000.0 * busy * np.exp(0.35 * rng.standard_normal(n)) * (volatility / _VOLATILITY) ** 0.5
    prices = [np.round(np.exp(part), 5) for part in (log_open, top, bottom, log_close)]
    return Bars(symbol, interval, opened_at, prices[0], prices[1], prices[2], prices[3], np.round(volume, 3))
