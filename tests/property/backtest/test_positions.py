"""The quick way to positions gives what the policy gives, bar by bar."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.property.backtest.markets import random_bars, seeds

from tidegate.backtest.positions import decide
from tidegate.backtest.result import Sides
from tidegate.bars.bars import Bars
from tidegate.policy.policy import PositionPolicy, PositionState, target_position

policies = st.builds(
    PositionPolicy,
    long_at=st.sampled_from([0.55, 0.6, 1.01]),
    short_at=st.sampled_from([0.45, 0.4, -0.01]),
    take_profit=st.sampled_from([0.005, 0.02, 0.2]),
    stop_loss=st.sampled_from([0.005, 0.02, 0.2]),
    max_holding_bars=st.sampled_from([1, 3, 20]),
    flip=st.booleans(),
)
# Values on the thresholds themselves are as likely as others.
probabilities = st.lists(
    st.sampled_from([0.0, 0.4, 0.45, 0.5, 0.5, 0.5, 0.5, 0.55, 0.6, 1.0, float("nan")]), min_size=1, max_size=120
)


def policy_at_each_bar(probability: list[float], bars: Bars, policy: PositionPolicy) -> Sides:
    """The definition: ask the policy at every close, fill at the next open, count the bars held."""
    no_signal = min(1.0, max(0.0, (policy.long_at + policy.short_at) / 2))
    state = PositionState()
    target: list[int] = []
    for bar, chance in enumerate(probability):
        if bar and target[-1] != state.side:
            state = PositionState(side=target[-1], entry_price=float(bars.open[bar]), bars_held=0)
        if state.side:
            state = state.model_copy(update={"bars_held": state.bars_held + 1})
        asked = no_signal if np.isnan(chance) else chance
        target.append(target_position(asked, float(bars.close[bar]), state, policy))
    return np.array(target, dtype=np.int8)


@settings(max_examples=300, deadline=None)
@given(seeds, probabilities, policies)
def test_decide_equals_the_policy_at_each_bar(seed: int, probability: list[float], policy: PositionPolicy) -> None:
    bars = random_bars(seed, len(probability))
    decided = decide(probability, bars.close, bars.open, policy)
    np.testing.assert_array_equal(decided, policy_at_each_bar(probability, bars, policy))


@settings(max_examples=100, deadline=None)
@given(seeds, probabilities, policies, st.floats(0, 1))
def test_cutting_off_the_future_changes_no_position(
    seed: int, probability: list[float], policy: PositionPolicy, share: float
) -> None:
    bars, cut = random_bars(seed, len(probability)), int(share * len(probability))
    whole = decide(probability, bars.close, bars.open, policy)
    part = decide(probability[:cut], bars.close[:cut], bars.open[:cut], policy)
    np.testing.assert_array_equal(part, whole[:cut])
