import math
from dataclasses import replace

import numpy as np
import pytest
from tests import monitoring_records

from tidegate.monitoring.page.promise import Band, band, distance, promised
from tidegate.monitoring.page.record import MonitorRecord


def record(**promise: float | None) -> MonitorRecord:
    return replace(monitoring_records.healthy(), promised=promise)


def test_mean_and_error_are_those_of_the_backtest() -> None:
    made = record(annual_return=0.6, sharpe=2.0, sharpe_standard_error=0.5)
    found = band(made)
    assert found is not None
    assert made.live is not None
    assert made.live.series is not None
    capital, k = made.live.series.capital, len(found.mean)
    assert (found.first, found.start, k) == (0, capital, len(made.live.series))
    years = k / made.strategy.periods_per_year
    # Annual deviation 0.6 / 2 = 0.3; its mean is known to 0.5 x 0.3 a year.
    assert found.mean[-1] == pytest.approx(capital * (1 + 0.6 * years))
    assert found.error[-1] == pytest.approx(capital * math.sqrt(0.3**2 * years + (0.15 * years) ** 2))
    assert found.whole


def test_without_a_standard_error_the_band_is_of_the_bars_alone_and_says_so() -> None:
    found, whole = (
        band(record(annual_return=0.6, sharpe=2.0)),
        band(record(annual_return=0.6, sharpe=2.0, sharpe_standard_error=1.0)),
    )
    assert found is not None
    assert whole is not None
    assert not found.whole
    assert (found.error < whole.error).all()


@pytest.mark.parametrize(
    "promise",
    [
        {},
        {"annual_return": 0.3},
        {"annual_return": None, "sharpe": 1.0},
        {"annual_return": math.nan, "sharpe": 1.0},
        {"annual_return": 0.3, "sharpe": math.inf},
        {"annual_return": 0.3, "sharpe": 0.0},
        {"annual_return": 0.3, "sharpe": -1.0},
    ],
)
def test_no_band_from_figures_that_give_none(promise: dict[str, float | None]) -> None:
    assert band(record(**promise)) is None


def test_no_band_without_a_version_or_a_series() -> None:
    made = monitoring_records.healthy()
    assert made.live is not None
    assert band(replace(made, own=None)) is None
    assert band(replace(made, live=replace(made.live, series=None))) is None
    assert band(monitoring_records.nothing()) is None


def test_it_begins_where_the_version_answered_first() -> None:
    made = monitoring_records.several()
    found = band(made)
    assert found is not None
    assert made.own is not None
    assert made.live is not None
    assert made.live.series is not None
    assert made.live.series.closed_at[found.first] == made.own.first_bar_at
    assert found.first > 0
    assert found.start == made.live.series.equity[found.first - 1]
    assert len(found.mean) == len(made.live.series) - found.first


def test_distance_is_in_standard_errors_and_unknown_stays_unknown() -> None:
    found = Band(1, 100.0, np.array([101.0, 102.0]), np.array([1.0, 2.0]), whole=True)
    assert distance(found, np.array([100.0, 101.0, 97.0])) == -2.5
    assert math.isnan(distance(found, np.array([100.0, 101.0, math.nan])))
    assert math.isnan(distance(found, np.empty(0)))
    assert math.isnan(promised({"sharpe": None}, "sharpe"))
    assert math.isnan(promised({"sharpe": math.inf}, "sharpe"))
