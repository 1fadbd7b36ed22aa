import math

import numpy as np
import pytest
from scipy.special import ndtri

from tidegate.bars.interval import DAY_MS
from tidegate.statistics.spending import Look, allowance, yearly_false_rate, yearly_pass_rate

SHARE = 0.05 / 12


def test_independent_looks_by_hand() -> None:
    assert yearly_false_rate(SHARE, 0.0, 12) == pytest.approx(1.0 - (1.0 - SHARE) ** 12, abs=1e-6)
    assert yearly_false_rate(0.05, 0.0, 1) == pytest.approx(0.05)


def test_looks_at_the_same_window_are_one_look() -> None:
    assert yearly_false_rate(SHARE, 1.0 - 1e-9, 12) == pytest.approx(SHARE, abs=1e-4)


@pytest.mark.parametrize(("distance", "level"), [(0.0, SHARE), (0.0, 0.05), (2.0, SHARE)])
def test_a_year_of_moving_windows_as_drawn(distance: float, level: float) -> None:
    # Twelve windows of twelve months each over 23 months of returns.
    worlds = 40_000
    months = np.random.default_rng(1).standard_normal((worlds, 23))
    running = np.concatenate((np.zeros((worlds, 1)), np.cumsum(months, axis=1)), axis=1)
    pooled = (running[:, 12:] - running[:, :-12]) / math.sqrt(12) + distance
    drawn = float(np.mean(pooled.max(axis=1) >= -ndtri(level)))
    found = yearly_pass_rate(level, 11 / 12, 12, distance)
    assert found == pytest.approx(drawn, abs=1e-3 + 4 * math.sqrt(drawn * (1 - drawn) / worlds))


def test_bonferroni_is_careful() -> None:
    rates = [yearly_false_rate(SHARE, overlap, 12) for overlap in (0.0, 0.5, 11 / 12)]
    assert rates == sorted(rates, reverse=True)
    assert all(SHARE < rate < 0.05 for rate in rates)


def test_same_answer_each_time() -> None:
    assert yearly_false_rate(SHARE, 11 / 12, 12) == yearly_false_rate(SHARE, 11 / 12, 12)


@pytest.mark.parametrize(
    ("level", "overlap", "looks", "distance"),
    [
        (0.0, 0.5, 12, 0.0),
        (1.0, 0.5, 12, 0.0),
        (math.nan, 0.5, 12, 0.0),
        (0.05, 1.0, 12, 0.0),
        (0.05, -0.1, 12, 0.0),
        (0.05, math.nan, 12, 0.0),
        (0.05, 0.5, 0, 0.0),
        (0.05, 0.5, 12, math.nan),
    ],
)
def test_out_of_range_is_nan(level: float, overlap: float, looks: int, distance: float) -> None:
    assert math.isnan(yearly_pass_rate(level, overlap, looks, distance))


def looked(day: int, key: str, level: float, share: float | None = None) -> Look:
    return Look(day * DAY_MS, key, level, share)


def level(looks: list[Look], key: str, day: int, error: float, per_year: int) -> float:
    return allowance(looks, key, day * DAY_MS, yearly_error=error, looks_per_year=per_year).level


def test_a_look_that_is_on_record_never_gets_more_than_todays_share() -> None:
    before = [looked(0, "a", 0.49, 0.49)]
    assert level(before, "a", 0, 0.01, 12) == 0.01 / 12
    assert level([looked(0, "a", 0.001, 0.001)], "a", 0, 0.05, 12) == 0.001


def test_a_larger_share_holds_once_the_looks_at_the_smaller_one_have_expired() -> None:
    small = 0.05 / 366
    peeks = [looked(30 * month, str(month), small, small) for month in range(12)]
    assert level(peeks, "new", 330, 0.05, 1) == small
    assert level(peeks, "new", 330 + 364, 0.05, 1) == small
    assert level(peeks, "new", 330 + 365, 0.05, 1) == 0.05
