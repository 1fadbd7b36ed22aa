import numpy as np
import pytest

from tidegate.replay.yardstick import ratio_returns


def test_what_is_held_earns_on_what_it_was_worth_before() -> None:
    # 100 -> 150 -> 75: half more, then half of that lost.
    assert ratio_returns("hold", np.array([0.5, -0.75])).tolist() == [0.5, -0.5]
    assert len(ratio_returns("hold", np.empty(0))) == 0


def test_whoever_trades_the_same_capital_has_its_returns_already() -> None:
    net = np.array([0.5, -0.75])
    assert ratio_returns("deployed", net) is net


def test_nothing_is_earned_on_nothing() -> None:
    found = ratio_returns("hold", np.array([-0.5, -0.5, 0.5, 0.5]))
    assert found[:2] == pytest.approx([-0.5, -1.0])
    assert np.isnan(found[2:]).all()
