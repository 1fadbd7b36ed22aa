"""A feature row has the same bits in a batch, alone, and with the future cut off."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.bars.bars import Bars
from tidegate.features.features import from_specs, resolve

FEATURES = resolve(())


def walk(seed: int, n: int) -> Bars:
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(0.003 * rng.standard_normal(n)))
    opened = np.concatenate(([100.0], close[:-1]))
    high = np.maximum(opened, close) * (1 + 0.002 * rng.random(n))
    low = np.minimum(opened, close) * (1 - 0.002 * rng.random(n))
    volume = np.where(rng.random(n) < 0.05, 0.0, rng.lognormal(3, 1, n))
    opened_at = 1_700_000_400_000 + 300_000 * np.arange(n)
    return Bars.of("BTC/USDT", "5m", opened_at=opened_at, open=opened, high=high, low=low, close=close, volume=volume)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), back=st.integers(0, 400))
def test_the_newest_row_alone_has_the_bits_of_the_batch(seed: int, back: int) -> None:
    bars = walk(seed, FEATURES.lookback + 400)
    batch = FEATURES.matrix(bars)
    end = len(bars) - back
    alone = FEATURES.newest(bars.take(slice(end - FEATURES.lookback, end)))
    assert (alone[0] == batch[end - 1]).all()


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**32 - 1), cut=st.integers(FEATURES.lookback, FEATURES.lookback + 300))
def test_cutting_the_future_off_changes_no_row(seed: int, cut: int) -> None:
    bars = walk(seed, FEATURES.lookback + 300)
    whole, past = FEATURES.matrix(bars)[:cut], FEATURES.matrix(bars.take(slice(0, cut)))
    assert np.array_equal(whole, past, equal_nan=True)


def test_validated_bars_give_finite_features_even_when_flat_and_without_volume() -> None:
    n = FEATURES.lookback + 5
    flat = np.full(n, 7.0)
    opened_at = 1_700_000_400_000 + 300_000 * np.arange(n)
    bars = Bars.of("X/Y", "5m", opened_at=opened_at, open=flat, high=flat, low=flat, close=flat, volume=np.zeros(n))
    assert np.isfinite(FEATURES.matrix(bars)[FEATURES.lookback - 1 :]).all()


def test_the_standard_set_has_at_least_thirty_features_and_rebuilds_from_its_specification() -> None:
    assert len(FEATURES.names) >= 30
    assert from_specs(FEATURES.specs).digest() == FEATURES.digest()


@pytest.mark.parametrize("name", FEATURES.names)
def test_every_feature_varies(name: str) -> None:
    column = FEATURES.matrix(walk(5, 800))[FEATURES.lookback - 1 :, FEATURES.names.index(name)]
    assert column.std() > 0
