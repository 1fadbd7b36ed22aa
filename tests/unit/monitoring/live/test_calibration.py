import numpy as np
import pytest

from tidegate.monitoring.calibration import BINS, calibration, estimated_win_rate


def test_two_bins_by_hand() -> None:
    found = calibration(np.array([0.2, 0.2, 0.8, 0.8]), np.array([0.0, 1.0, 1.0, 1.0]))
    assert (found.forecast.tolist(), found.observed.tolist(), found.count.tolist()) == ([0.2, 0.8], [0.5, 1.0], [2, 2])
    assert found.error == pytest.approx((2 * 0.3 + 2 * 0.2) / 4)


@pytest.mark.parametrize("chances", [[0.5], [0.5, 0.5, 0.5], [0.0, 1.0]])
def test_few_or_equal_forecasts(chances: list[float]) -> None:
    found = calibration(np.array(chances), np.zeros(len(chances)))
    assert found.count.sum() == len(chances)
    assert found.error == pytest.approx(np.mean(chances))


def test_what_is_not_known_is_not_counted() -> None:
    found = calibration(np.array([0.5, np.nan, 0.7]), np.array([np.nan, 1.0, 1.0]))
    assert found.count.tolist() == [1.0]
    assert found.error == pytest.approx(0.3)
    nothing = calibration(np.array([0.5]), np.array([np.nan]))
    assert len(nothing.count) == 0
    assert np.isnan(nothing.error)


def test_a_perfect_forecast_has_an_error_as_large_as_chance_makes_it() -> None:
    draw = np.random.default_rng(1)
    chances = draw.uniform(0.4, 0.6, 20_000)
    found = calibration(chances, (draw.uniform(size=20_000) < chances).astype(float))
    assert len(found.count) == BINS
    assert 0 < found.error < 3 * np.sqrt(BINS / (2 * np.pi * 20_000))


def test_the_estimated_win_rate_takes_each_side_s_own_chance() -> None:
    sides = np.array([1, -1, 1], dtype=np.int8)
    assert estimated_win_rate(np.array([0.7, 0.2, np.nan]), sides) == pytest.approx(0.75)
    assert np.isnan(estimated_win_rate(np.empty(0), np.empty(0, np.int8)))
