"""A market whose model says what the test wants, for trading rules: bars and probabilities are arrays."""

from typing import Any

import numpy as np

from tidegate.bars.bars import Bars, Floats
from tidegate.policy.policy import PositionPolicy
from tidegate.strategy.strategy import Strategy

START = 1_514_764_800_000  # 2018-01-01
HOUR = 3_600_000


class Scripted:
    """What trading asks of a market."""

    def __init__(self, bars: dict[str, Bars], probability: dict[str, Floats], strategy: Strategy) -> None:
        self.strategy = strategy
        self._bars = bars
        self._probability = probability

    def span(self, symbol: str, start_ms: int, end_ms: int) -> Bars:
        return self._bars[symbol].take(self._rows(symbol, start_ms, end_ms))

    def before(self, symbol: str, start_ms: int, count: int) -> Bars:
        stop = self._rows(symbol, 0, start_ms).stop
        return self._bars[symbol].take(slice(max(0, stop - count), stop))

    def probability(self, _bundle: object, symbol: str, start_ms: int, end_ms: int) -> Floats:
        return self._probability[symbol][self._rows(symbol, start_ms, end_ms)]

    def _rows(self, symbol: str, start_ms: int, end_ms: int) -> slice:
        opened = self._bars[symbol].opened_at
        first, last = np.searchsorted(opened, (start_ms, end_ms)).tolist()
        return slice(first, max(first, last))


class Model:
    """A bundle of which only the policy is looked at."""

    def __init__(self, policy: PositionPolicy, expires_at: int = 2**60) -> None:
        self.manifest = _Manifest(policy, expires_at)
        self.digest = "d"


class _Manifest:
    def __init__(self, policy: PositionPolicy, expires_at: int) -> None:
        self.policy = policy
        self.expires_at = expires_at


def strategy(symbols: tuple[str, ...] = ("BTC/USDT",), **costs: float) -> Strategy:
    content: dict[str, Any] = {
        "version": 1,
        "name": "scripted",
        "kind": "real",
        "symbols": symbols,
        "interval": "1h",
        "source": {"type": "file", "path": "{symbol}.csv"},
        "costs": {"fee_bps": 5.0, **costs},
        "capital": 1000.0,
    }
    return Strategy.model_validate(content)


def walk(rng: np.random.Generator, symbol: str, count: int, missing: float = 0.0) -> Bars:
    """A random walk, with gaps."""
    close = 100.0 * np.exp(np.cumsum(rng.normal(0, 0.01, count)))
    opened = np.concatenate(([100.0], close[:-1])) * np.exp(rng.normal(0, 0.001, count))
    high, low = np.maximum(opened, close) * 1.002, np.minimum(opened, close) * 0.998
    bars = Bars.of(
        symbol, "1h", opened_at=START + HOUR * np.arange(count), open=opened, high=high, low=low, close=close,
        volume=rng.uniform(5, 50, count),
    )  # fmt: skip
    return bars.take(rng.random(count) >= missing)
