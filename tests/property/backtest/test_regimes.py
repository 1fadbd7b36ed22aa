"""Regimes look back a stated number of bars and never ahead."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.property.backtest.markets import random_bars, seeds

from tidegate.backtest.regimes import classify, fit_regimes

FEW = settings(max_examples=40, deadline=None)


@FEW
@given(seeds, st.integers(60, 300), st.sampled_from([5, 12]), st.integers(1, 300))
def test_a_regime_depends_on_its_lookback_only(seed: int, n: int, window: int, last: int) -> None:
    bars = random_bars(seed, n)
    definition = fit_regimes(random_bars(seed + 1, 400), window)
    whole = classify(bars, definition)
    end = definition.lookback + last % (n - definition.lookback)
    np.testing.assert_array_equal(classify(bars.take(slice(0, end)), definition), whole[:end])
    alone = classify(bars.take(slice(end - definition.lookback, end)), definition)
    assert alone[-1] == whole[end - 1] >= 0


@FEW
@given(seeds, st.integers(200, 600))
def test_training_bars_fall_into_the_planned_shares(seed: int, n: int) -> None:
    bars = random_bars(seed, n)
    regime = classify(bars, fit_regimes(bars, 12))
    shares = [float(np.mean(regime[12:] == index)) for index in range(3)]
    np.testing.assert_allclose(shares, [0.375, 0.375, 0.25], atol=0.02)
