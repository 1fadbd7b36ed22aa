import math

import numpy as np
import pytest

from tidegate.backtest.positions import decide
from tidegate.errors import DataError, ModelError
from tidegate.policy.policy import PositionPolicy

POLICY = PositionPolicy(long_at=0.6, short_at=0.4, take_profit=0.5, stop_loss=0.25, max_holding_bars=3)
FLAT = [100.0] * 6


def test_missing_probability_enters_nothing_and_exits_still_apply() -> None:
    nan = math.nan
    assert decide([nan] * 6, FLAT, FLAT, POLICY).tolist() == [0] * 6
    # Entered at bar 1's open; held at the closes of bars 1, 2, 3, then the holding time is over.
    assert decide([0.7, nan, nan, nan, nan, nan], FLAT, FLAT, POLICY).tolist() == [1, 1, 1, 0, 0, 0]
    stopped = [100.0, 100.0, 75.0, 75.0, 75.0, 75.0]
    assert decide([0.7, nan, nan, nan, nan, nan], stopped, FLAT, POLICY).tolist() == [1, 1, 0, 0, 0, 0]


def test_entry_price_is_the_next_open() -> None:
    # Signalled at a close of 100, filled at 200: a close of 150 is the stop, whatever the signal's close was.
    assert decide([0.7, 0.5, 0.5], [100.0, 150.0, 150.0], [100.0, 200.0, 150.0], POLICY).tolist() == [1, 0, 0]


def test_asked_again_at_the_time_exit_the_count_goes_on() -> None:
    # At bar 3 the time is over but the signal asks again; at bar 4 it no longer does and the position goes at once.
    assert decide([0.7, 0.5, 0.5, 0.7, 0.5, 0.5], FLAT, FLAT, POLICY).tolist() == [1, 1, 1, 1, 0, 0]


def test_a_flip_starts_a_new_count() -> None:
    assert decide([0.7, 0.5, 0.3, 0.5, 0.5, 0.5], FLAT, FLAT, POLICY).tolist() == [1, 1, -1, -1, -1, 0]


def test_nothing_in_nothing_out() -> None:
    assert decide([], [], [], POLICY).tolist() == []
    assert decide([0.7], [1.0], [1.0], POLICY).dtype == np.int8


@pytest.mark.parametrize("wrong", [1.0000001, -0.1, math.inf, -math.inf])
def test_probability_outside_its_range_is_refused(wrong: float) -> None:
    with pytest.raises(ModelError, match="probability of bar 1"):
        decide([0.5, wrong], [1.0, 1.0], [1.0, 1.0], POLICY)


@pytest.mark.parametrize("wrong", [0.0, -1.0, math.nan, math.inf])
def test_prices_that_are_none_are_refused(wrong: float) -> None:
    with pytest.raises(DataError, match="close holds"):
        decide([0.5], [wrong], [1.0], POLICY)
    with pytest.raises(DataError, match="open holds"):
        decide([0.5], [1.0], [wrong], POLICY)


def test_other_lengths_are_refused() -> None:
    with pytest.raises(DataError, match="do not fit"):
        decide([0.5], [1.0, 1.0], [1.0], POLICY)
