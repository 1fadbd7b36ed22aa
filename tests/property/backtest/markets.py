"""Random bars, positions and costs for the backtest's properties."""

import numpy as np
from hypothesis import strategies as st

from tidegate.backtest.result import Sides
from tidegate.bars.bars import Bars
from tidegate.strategy.strategy import Costs

FIVE_MINUTES = 300_000


def random_bars(seed: int, n: int, step: float = 0.02, scale: float = 100.0, symbol: str = "X/Y") -> Bars:
    """n bars whose opens gap, with some missing bars and some without volume."""
    rng = np.random.default_rng(seed)
    close = scale * np.exp(np.cumsum(rng.normal(0, step, n)))
    previous = np.concatenate(([scale], close[:-1]))
    opens = previous * np.exp(rng.normal(0, step / 4, n))
    high = np.maximum(opens, close) * np.exp(rng.exponential(step / 2, n))
    low = np.minimum(opens, close) * np.exp(-rng.exponential(step / 2, n))
    times = np.cumsum(rng.choice([1, 1, 1, 5], n)) * FIVE_MINUTES
    volume = rng.lognormal(3, 2, n) * rng.choice([0.0, 1.0, 1.0], n)
    return Bars.of(symbol, "5m", opened_at=times, open=opens, high=high, low=low, close=close, volume=volume)


def random_target(seed: int, n: int, stay: float) -> Sides:
    """(n,) sides that change with probability 1 - stay at each bar."""
    rng = np.random.default_rng(seed)
    fresh, sides = rng.random(n) >= stay, rng.integers(-1, 2, n)
    last_change = np.maximum.accumulate(np.where(fresh, np.arange(n), 0))
    return sides[last_change].astype(np.int8)


def bps(most: float) -> st.SearchStrategy[float]:
    """No cost, or one a market could have: at 1e-311 bps the break-even multiple is no float any more."""
    return st.just(0.0) | st.floats(1e-6, most)


costs = st.builds(
    Costs,
    fee_bps=bps(100),
    half_spread_bps=bps(20),
    slippage_bps=bps(20),
    impact_coefficient=st.sampled_from([0.0, 0.1, 0.3]),
)
seeds = st.integers(0, 2**32 - 1)
lengths = st.integers(1, 250)
stays = st.sampled_from([0.0, 0.5, 0.9])
