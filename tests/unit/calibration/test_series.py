"""Formulas over many rows are the originals' on each row."""

import numpy as np
import pytest

from tidegate.backtest import ratios as original
from tidegate.calibration.draws import Values
from tidegate.calibration.series import divided, drawdown, probability_above, ratios, track_record, wilson
from tidegate.statistics.sharpe import minimum_track_record, moments, probabilistic_sharpe

YEAR = 365.0


def rows(worlds: int = 40, days: int = 120) -> Values:
    rng = np.random.default_rng(9)
    skewed = rng.gamma(0.5, 0.01, (worlds, days)) - 0.0045
    skewed[:, 1:] += 0.3 * skewed[:, :-1]
    return (skewed * rng.binomial(1, 0.7, (worlds, days))).astype(np.float32)


def test_ratio_error_and_moments() -> None:
    returns = rows()
    found = ratios(returns, YEAR)
    for world, row in enumerate(returns.astype(np.float64)):
        assert found.mean[world] == pytest.approx(row.mean(), abs=1e-9)
        assert found.annual[world] == pytest.approx(original.sharpe(row, YEAR), abs=1e-4)
        assert found.error[world] == pytest.approx(original.sharpe_standard_error(row, YEAR), rel=1e-4)
        known = moments(row)
        assert found.skewness[world] == pytest.approx(known.skewness, abs=1e-4)
        assert found.kurtosis[world] == pytest.approx(known.kurtosis, rel=1e-4)


def test_probability_and_track_record() -> None:
    returns = rows()
    found = ratios(returns, YEAR)
    chance, needed = probability_above(found, 0.0, YEAR), track_record(found, YEAR, 1.6448536269514722)
    both = [world for world, row in enumerate(returns) if row.mean() > 0]
    assert 5 < len(both) < len(returns)  # ratios of both signs are compared
    for world, row in enumerate(returns.astype(np.float64)):
        assert chance[world] == pytest.approx(probabilistic_sharpe(row, YEAR), abs=1e-4)
        expected = minimum_track_record(row, YEAR)
        assert needed[world] == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("flat", [np.zeros((2, 30), np.float32), np.full((2, 30), 0.01, np.float32)])
def test_nothing_is_told_of_returns_that_never_change(flat: Values) -> None:
    found = ratios(flat, YEAR)
    for values in (found.annual, found.error, found.skewness, probability_above(found, 0.0, YEAR)):
        assert bool(np.isnan(values).all())
    assert bool(np.isnan(track_record(found, YEAR, 1.64)).all())


def test_drawdown() -> None:
    returns = rows()
    for found, row in zip(drawdown(returns), returns.astype(np.float64), strict=True):
        equity = 1.0 + np.cumsum(row)
        assert found == pytest.approx(original.max_drawdown(equity, equity, 1.0), abs=1e-5)
    assert drawdown(np.array([[-0.1, 0.2, -0.33]], np.float32)) == pytest.approx([0.3])
    assert drawdown(np.array([[0.1, 0.2]], np.float32)) == pytest.approx([0.0])


def test_wilson() -> None:
    low, high = wilson(np.array([0.0, 6.0, 10.0, 0.0]), np.array([10.0, 10.0, 10.0, 0.0]))
    for at, (wins, n) in enumerate([(0, 10), (6, 10), (10, 10)]):
        assert (low[at], high[at]) == pytest.approx(original.wilson_interval(wins, n))
    assert np.isnan([low[3], high[3]]).all()


def test_quotients_of_nothing() -> None:
    found = divided(np.array([1.0, 0.0, 1.0]), np.array([2.0, 0.0, 0.0]))
    assert found[0] == 0.5
    assert np.isnan(found[1])
    assert np.isinf(found[2])
