"""Positions of a bot that is not always answered are those of the one position policy, with the state that its fills leave."""

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tidegate.backtest.positions import decide
from tidegate.bars.bars import Bars
from tidegate.monitoring.outcomes import replay
from tidegate.policy.policy import PositionPolicy, PositionState, target_position

PRICES = st.floats(90, 110)
STEPS = st.lists(st.tuples(st.none() | st.floats(0, 1), PRICES, PRICES), min_size=1, max_size=40)


def _bars(steps: list[tuple[float | None, float, float]]) -> Bars:
    opens, closes = [step[1] for step in steps], [step[2] for step in steps]
    n = len(steps)
    times = np.arange(n) * 60_000
    return Bars.of("A", "1m", opened_at=times, open=opens, close=closes, high=[120] * n, low=[80] * n, volume=[1] * n)


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # other tests may keep the processor busy
@given(steps=STEPS, hold=st.booleans(), flip=st.booleans(), held_bars=st.integers(1, 5))
def test_replay_is_the_policy_bar_by_bar(
    steps: list[tuple[float | None, float, float]], hold: bool, flip: bool, held_bars: int
) -> None:
    policy = PositionPolicy(
        long_at=0.6, short_at=0.4, take_profit=0.05, stop_loss=0.03, max_holding_bars=held_bars, flip=flip
    )
    bars = _bars(steps)
    expected = []
    target, state = 0, PositionState()
    for chance, opened, closed in steps:
        if target != state.side:
            state = PositionState(side=target, entry_price=opened if target else 0.0, bars_held=0)
        if state.side:
            state = state.model_copy(update={"bars_held": state.bars_held + 1})
        waiting = state.side if hold else 0
        target = waiting if chance is None else target_position(chance, closed, state, policy)
        expected.append(target)
    probability = np.array([np.nan if step[0] is None else step[0] for step in steps])
    answered = np.isfinite(probability)
    assert replay(probability, answered, bars, policy, hold=hold).tolist() == expected
    if answered.all():
        assert decide(probability, bars.close, bars.open, policy).tolist() == expected
