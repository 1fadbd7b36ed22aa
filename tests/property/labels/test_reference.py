"""The fast labels equal the slow judgement of one row, and know nothing before they end."""

import numpy as np
import pytest
from tests.property.features.test_rows import walk

from tidegate.labels.labels import label, uniqueness
from tidegate.labels.reference import gain_of_row
from tidegate.strategy.strategy import Costs, Labels


@pytest.mark.parametrize("method", ["triple_barrier", "fixed_horizon"])
@pytest.mark.parametrize("seed", range(5))
def test_every_label_equals_the_slow_judgement(method: str, seed: int) -> None:
    bars = walk(seed, 400)
    rule = Labels.model_validate({"method": method, "horizon_bars": 7, "volatility_bars": 30, "barrier_sigmas": 0.7})
    labels = label(bars, rule, Costs())
    known = np.flatnonzero(labels.known())
    assert len(known) > 300
    for row in known:
        gain = gain_of_row(bars, int(row), rule, float(labels.width[row]))
        assert gain == pytest.approx(labels.gain[row], abs=1e-15)
        assert labels.ends_at[row] > bars.closed_at[row]
        assert labels.won[row] == float(labels.gain[row] > 0)


def test_uniqueness_of_overlapping_trades_by_hand() -> None:
    weights = uniqueness(np.array([0, 1, 5]), np.array([1, 2, 5]))
    assert weights.tolist() == [0.75, 0.75, 1.0]
