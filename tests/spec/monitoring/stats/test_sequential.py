"""What the sequential test says, in small tables."""

import math

import pytest

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


def test_a_pair_that_no_threshold_of_use_tells_apart_is_not_testable() -> None:
    found = between(0.5, 0.4999, 50, 0.1)
    assert not found.testable
    assert "too near to be told apart" in found.reason


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


@pytest.mark.parametrize(("rate", "days"), [(0.0, 365.0), (math.nan, 365.0), (0.1, 0.0)])
def test_a_rate_that_is_none_is_refused(rate: float, days: float) -> None:
    with pytest.raises(FiguresRefused):
        design(BACKTEST, rate, days_per_year=days)


def test_a_year_of_fewer_market_days_has_fewer_trades() -> None:
    found, fx = between(0.6, 0.5, 10, 0.1), between(0.6, 0.5, 10, 0.1, days_per_year=260)
    assert fx.trades_per_year == 2600
    assert fx.threshold_steps < found.threshold_steps
    assert fx.median_days_to_detection > found.median_days_to_detection


def test_the_words_hold_the_figures() -> None:
    words = sequential.error_rate_words(sequential.test(between(0.6, 0.5, 5, 0.1), 1, []))
    assert words == (
        "at most 0.099 false alarms a year while 60.0% of trades win, independently; half of all alarms within 42 days once only 50.0% win"
    )
