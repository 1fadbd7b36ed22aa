"""Several targets at once give, bit for bit, what each gives alone."""

from dataclasses import fields

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.property.replay.scripted import strategy, walk

from tidegate.backtest.result import Backtest, Trades
from tidegate.backtest.vectorbt_engine import run, run_each


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 10_000),
    bars=st.integers(1, 80),
    shares=st.lists(st.sampled_from([0.0, 0.1, 0.6, 1.0]), min_size=1, max_size=4),
)
def test_columns_do_not_touch_each_other(seed: int, bars: int, shares: list[float]) -> None:
    rng = np.random.default_rng(seed)
    market, costs = walk(rng, "BTC/USDT", bars), strategy(impact_coefficient=0.4).costs
    targets = [np.where(rng.random(bars) < share, rng.choice((-1, 1), bars), 0).astype(np.int8) for share in shares]
    regime = np.zeros(bars, np.int8)
    together = run_each(market, targets, costs, 1000.0, regime)
    assert len(together) == len(targets)
    for found, target in zip(together, targets, strict=True):
        alone = run(market, target, costs, 1000.0, regime)
        for field in fields(Backtest):
            if field.name not in {"trades", "capital"}:
                assert getattr(found, field.name).tobytes() == getattr(alone, field.name).tobytes(), field.name
        for name in Trades.names():
            assert getattr(found.trades, name).tobytes() == getattr(alone.trades, name).tobytes(), name
