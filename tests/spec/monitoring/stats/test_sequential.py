"""What the sequential test says, in small tables."""

import math

import numpy as np
import pytest

from tidegate.bars.interval import DAY_MS
from tidegate.errors import FiguresRefused
from tidegate.monitoring import sequential
from tidegate.monitoring.sequential import Design, between, design

BACKTEST: dict[str, float | None] = {
    "win_rate": 0.6,
    "win_rate_low": 0.568,
    "payoff_ratio": 1.0,
    "trades": 900.0,
    "trades_per_day": 10.0,
}
# A loss adds 3 units of a quarter, a win takes 2 off, and 6 units alarm.
SMALL = Design(healthy=0.6, gone=0.5, unit=0.25, loss_steps=3, win_steps=2, threshold_steps=6, testable=True)


@pytest.mark.parametrize(
    ("won", "statistic", "alarm"),
    [
        ([], [], None),
        ([1, 1, 1], [0, 0, 0], None),
        ([0], [0.75], None),
        ([0, 0], [0.75, 1.5], 1),
        ([0, 1, 0], [0.75, 0.25, 1.0], None),
        ([0, 1, 0, 1, 0], [0.75, 0.25, 1.0, 0.5, 1.25], None),
        ([0, 1, 0, 0, 1], [0.75, 0.25, 1.0, 1.75, 1.25], 3),
        ([1, 1, 0, 0, 0], [0, 0, 0.75, 1.5, 2.25], 3),
    ],
    ids=str,
)
def test_losses_add_wins_take_off_and_nothing_is_saved_up(
    won: list[int], statistic: list[float], alarm: int | None
) -> None:
    found = sequential.test(SMALL, 7, won)
    assert found.statistic.tolist() == statistic
    assert found.alarm_trade == alarm
    assert (found.version, found.threshold, found.testable) == (7, 1.5, True)


@pytest.mark.parametrize(("trades_per_day", "days"), [(5, 42), (20, 14), (50, 7)])
def test_from_60_to_50_per_cent_at_one_false_alarm_in_ten_years(trades_per_day: float, days: float) -> None:
    found = between(0.6, 0.5, trades_per_day, 0.1)
    assert found.testable
    assert found.median_days_to_detection == pytest.approx(days, abs=0.7)
    assert 0.098 < found.false_alarms_per_year <= 0.1


@pytest.mark.parametrize(
    ("figures", "healthy", "gone"),
    [
        ({}, 0.568, 0.5),
        ({"payoff_ratio": 1.5}, 0.568, 0.4),
        # The backtest may be no better than nothing earned; then a model that is surely worse is looked for.
        ({"payoff_ratio": 0.7}, 0.568, 0.538),
        ({"win_rate_low": 0.51}, 0.51, 0.48),
        ({"win_rate_low": None}, 0.5676, 0.5),
        ({"win_rate_low": math.nan}, 0.5676, 0.5),
    ],
    ids=str,
)
def test_healthy_is_the_lower_end_and_gone_is_where_nothing_is_earned(
    figures: dict[str, float | None], healthy: float, gone: float
) -> None:
    found = design(BACKTEST | figures, 0.1)
    assert found.testable, found.reason
    assert (found.healthy, found.gone) == pytest.approx((healthy, gone), abs=5e-5)


@pytest.mark.parametrize(
    ("figures", "reason"),
    [
        ({"payoff_ratio": None}, "gives no payoff_ratio"),
        ({"trades_per_day": math.nan, "win_rate": None}, "gives no trades_per_day, win_rate"),
        ({"win_rate_low": None, "trades": None}, "gives no win_rate_low"),
        ({"payoff_ratio": math.inf}, "gives no payoff_ratio"),
        ({"trades_per_day": 0.0}, "allow no test"),
        ({"payoff_ratio": -1.0}, "allow no test"),
        ({"win_rate_low": 0.05}, "leaves no room"),
    ],
    ids=str,
)
def test_without_figures_there_is_no_test_and_no_alarm_and_a_reason(
    figures: dict[str, float | None], reason: str
) -> None:
    found = design(BACKTEST | figures, 0.1)
    assert not found.testable
    assert reason in found.reason
    result = sequential.test(found, 3, [0] * 500)
    assert (result.testable, result.alarm_trade, len(result.statistic)) == (False, None, 0)
    assert math.isnan(result.false_alarms_per_year)
    assert reason in sequential.error_rate_words(result)


def test_a_pair_that_no_threshold_of_use_tells_apart_is_not_testable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequential, "MOST_STATES", 100)
    found = between(0.6, 0.5, 5, 0.1)
    assert not found.testable
    assert found.reason == "0.600 and 0.500 are too near to be told apart at 0.1 false alarms a year"


def test_a_test_that_sees_nothing_in_time_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequential, "MOST_TRADES", 200)
    found = between(0.6, 0.5, 5, 0.1)  # half of the alarms come after 212 trades
    assert not found.testable
    assert "still be unnoticed after 200 trades" in found.reason
    assert sequential.test(found, 1, [0] * 300).alarm_trade is None


@pytest.mark.parametrize("won", [[0.5], [math.nan, 1.0], [2], [[1, 0]]], ids=str)
def test_what_is_neither_win_nor_loss_is_refused(won: list[float]) -> None:
    with pytest.raises(FiguresRefused):
        sequential.test(SMALL, 1, won)


@pytest.mark.parametrize(
    ("rate", "days", "wide"), [(0.0, 365.0, 1.0), (math.nan, 365.0, 1.0), (0.1, 0.0, 1.0), (0.1, 365.0, 0.9)]
)
def test_a_rate_that_is_none_is_refused(rate: float, days: float, wide: float) -> None:
    with pytest.raises(FiguresRefused):
        design(BACKTEST, rate, days_per_year=days, dispersion=wide)


def test_trades_that_win_together_raise_the_threshold_as_much_as_they_spread() -> None:
    once, twice = (design(BACKTEST, 0.1, dispersion=wide) for wide in (1.0, 2.0))
    assert twice.threshold_steps == 2 * once.threshold_steps
    assert twice.median_days_to_detection > 1.5 * once.median_days_to_detection
    unknown = design(BACKTEST, 0.1, dispersion=math.nan)
    assert (unknown.testable, "too few days" in unknown.reason) == (False, True)


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        # A day's wins of 2 at a share of 1/2 have variance 1/2. Always one of two: none. All or none: 1, over 1/2, by 30/29.
        ([[1, 0]] * 30, 1.0),
        ([[1, 1], [0, 0]] * 15, 2.0 * 30 / 29),
        ([[1], [0]] * 15, 30 / 29),
        ([[1, 1, 1, 1], [0, 0, 0, 0]] * 10, 4.0 * 20 / 19),
        ([[1, 1], [0, 0]] * 9, math.nan),
        ([[1, 1]] * 30, math.nan),
        ([], math.nan),
    ],
    ids=["even", "together", "one a day", "four together", "few days", "all win", "none"],
)
def test_dispersion_by_hand(days: list[list[int]], expected: float) -> None:
    won = [win for day in days for win in day]
    exit_at = [index * DAY_MS + place for index, day in enumerate(days) for place in range(len(day))]
    found = sequential.dispersion(won, np.array(exit_at, np.int64))
    assert found == pytest.approx(expected, nan_ok=True)


def test_dispersion_of_clusters_is_known_and_keeps_the_rate() -> None:
    chance = np.random.default_rng(8)
    size, correlation = 4, 0.4

    def trades(days: int, paths: int) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        weight = (1 - correlation) / correlation
        rate = chance.beta(0.6 * weight, 0.4 * weight, (paths, days))
        return chance.random((paths, days, size)) < rate[:, :, None]

    seen = [sequential.dispersion(one.ravel(), np.repeat(np.arange(200), size) * DAY_MS) for one in trades(200, 50)]
    assert np.mean(seen) == pytest.approx(1 + (size - 1) * correlation, abs=0.1)
    # 100 years, ten at a time.
    rates = []
    for wide in (1.0, 2.2):
        plan = between(0.6, 0.5, size, 1.0, dispersion=wide)
        steps = np.where(trades(3650, 10).reshape(10, -1), -plan.win_steps, plan.loss_steps)
        rates.append(sum(_alarms(one, plan.threshold_steps) for one in steps) / 100)
    assert rates[0] > 2
    assert rates[1] <= 1


def _alarms(steps: np.ndarray[tuple[int, ...], np.dtype[np.int_]], threshold: int) -> int:
    found = level = 0
    for step in steps.tolist():
        level = max(0, level + step)
        if level >= threshold:
            found, level = found + 1, 0
    return found


def test_a_year_of_fewer_market_days_has_fewer_trades() -> None:
    found, fx = between(0.6, 0.5, 10, 0.1), between(0.6, 0.5, 10, 0.1, days_per_year=260)
    assert fx.trades_per_year == 2600
    assert fx.threshold_steps < found.threshold_steps
    assert fx.median_days_to_detection > found.median_days_to_detection


def test_the_words_hold_the_figures() -> None:
    words = sequential.error_rate_words(sequential.test(between(0.6, 0.5, 5, 0.1), 1, []))
    assert words == (
        "at most 0.099 false alarms a year while 60.0% of trades win (computed for independent trades); half of all alarms within 42 days "
        "once only 50.0% win"
    )
