import numpy as np
import pytest
from tests.unit.monitoring.live.market import AS_OF, OTHER, START, SYMBOL, bars_of, model

from tidegate.labels.labels import label
from tidegate.monitoring.calibration import BINS, calibration, estimated_win_rate, known_labels
from tidegate.monitoring.live import regimes


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


def test_labels_and_regimes_of_a_window_are_those_of_all_history() -> None:
    strategy, bars = model().strategy, bars_of(SYMBOL).until(AS_OF)
    part = bars.between(START, AS_OF)
    whole = label(bars, strategy.labels, strategy.costs).won
    assert known_labels(bars, part.closed_at, strategy).tobytes() == whole[-len(part) :].tobytes()
    last = known_labels(bars, part.closed_at, strategy)[-1]
    assert np.isnan(last)
    elsewhere = known_labels(bars, part.closed_at[:3] + 1, strategy)
    assert np.isnan(elsewhere).all()
    assert np.isnan(known_labels(bars.take(slice(0, 5)), part.closed_at[:3], strategy)).all()
    found = regimes(bars, part, model().bundle)
    assert set(found.tolist()) == {0, 1, 2}
    later = part.take(slice(1000, None))
    assert regimes(bars, later, model().bundle).tolist() == found[1000:].tolist()
    assert set(regimes(bars.with_symbol(OTHER), later.with_symbol(OTHER), model().bundle).tolist()) == {-1}
