"""The daily look: which rules are judged, on what, and when they speak."""

from typing import Any, cast

import numpy as np
import pytest
from tests.property.replay.scripted import strategy

from tidegate.bars.bars import parse_time
from tidegate.bars.interval import DAY_MS
from tidegate.monitoring import sequential
from tidegate.replay.trading import Stint
from tidegate.replay.watching import Watch, asks, closed_before
from tidegate.strategy.strategy import Strategy

ENTERED = parse_time("2018-01-01")
PROMISED = {"win_rate": 0.6, "win_rate_low": 0.58, "payoff_ratio": 1.0, "trades": 900, "trades_per_day": 5.0}


class _Bundle:
    digest = "a"

    class manifest:  # noqa: N801  an attribute of a bundle
        out_of_sample = PROMISED


BUNDLE = cast("Any", _Bundle())


def watch(**rollback: Any) -> Watch:  # noqa: ANN401  parts of a strategy file
    content = strategy().model_dump() | {"rollback": rollback}
    return Watch(cast("Any", None), Strategy.model_validate(content))


def stint(won: list[bool], a_day: int = 5) -> Stint:
    """Trades closed evenly, `a_day` of them each day."""
    exits = tuple(ENTERED + (number + 1) * DAY_MS // a_day for number in range(len(won)))
    return Stint(1, ENTERED, {"BTC/USDT": ENTERED}, exits, tuple(won))


def no_returns() -> tuple[Any, Any]:
    return np.empty(0, np.int64), np.empty(0)


def test_a_day_is_looked_at_when_it_has_ended() -> None:
    days = [day - ENTERED for day in watch().days(ENTERED, ENTERED + 3 * DAY_MS)]
    assert days == [DAY_MS, 2 * DAY_MS, 3 * DAY_MS]
    assert [day - ENTERED for day in watch().days(ENTERED + 1, ENTERED + DAY_MS - 1)] == []


def test_the_sequential_test_is_production_s_on_the_trades_known_by_then() -> None:
    judge, traded = watch(), stint([False] * 40)
    design = judge.design(BUNDLE)
    alarm = sequential.test(design, 1, np.zeros(40)).alarm_trade
    assert alarm is not None
    first = next(
        day
        for day in judge.days(ENTERED, ENTERED + 8 * DAY_MS)
        if asks(judge.findings(BUNDLE, traded, day, *no_returns()))
    )
    assert first == (traded.exit_at[alarm] // DAY_MS + 1) * DAY_MS


def test_a_trade_that_is_closed_at_midnight_is_known_a_day_later() -> None:
    traded = stint([False, True, False], a_day=1)
    assert traded.exit_at[0] == ENTERED + DAY_MS
    for day, known in ((1, [0]), (2, [0]), (3, [0, 1])):
        exits, won = closed_before(traded, ENTERED + day * DAY_MS)
        assert exits.tolist() == list(traded.exit_at[: day - 1])
        assert won.tolist() == known[: day - 1]


def test_wins_raise_no_alarm() -> None:
    judge = watch()
    assert not asks(judge.findings(BUNDLE, stint([True] * 40), ENTERED + 8 * DAY_MS, *no_returns()))


def test_rules_that_only_alert_are_not_judged() -> None:
    judge = watch(sequential_action="alert")
    assert judge.findings(BUNDLE, stint([False] * 40), ENTERED + 8 * DAY_MS, *no_returns()) == ()


def test_the_win_rate_rolls_back_where_the_strategy_says_so() -> None:
    judge = watch(sequential_action="alert", win_rate_action="roll_back")
    losing = judge.findings(BUNDLE, stint([False] * 60), ENTERED + 12 * DAY_MS, *no_returns())
    assert [finding.rule for finding in losing] == ["win_rate"]
    assert asks(losing)
    assert not asks(judge.findings(BUNDLE, stint([True] * 60), ENTERED + 12 * DAY_MS, *no_returns()))


@pytest.mark.parametrize(("drift", "fires"), [(-0.001, True), (0.001, False)])
def test_the_sharpe_ratio_is_that_of_the_path_s_returns_since_the_version_entered(drift: float, fires: bool) -> None:
    judge = watch(sequential_action="alert", sharpe_action="roll_back")
    assert judge.looks_at_returns
    assert not watch().looks_at_returns
    end = ENTERED + 31 * DAY_MS
    closed = np.arange(ENTERED - 10 * DAY_MS, end + 1, 3_600_000)
    rng = np.random.default_rng(1)
    # What was earned before the version entered says nothing about it.
    earned = np.where(closed <= ENTERED, -drift * 100, drift) + rng.normal(0, 1e-3, len(closed))
    (finding,) = judge.findings(BUNDLE, stint([True] * 150), end, closed, earned)
    assert (finding.rule, finding.verdict) == ("sharpe", "fired" if fires else "quiet")


def test_a_sharpe_ratio_over_too_few_days_says_nothing() -> None:
    judge = watch(sequential_action="alert", sharpe_action="roll_back")
    (finding,) = judge.findings(BUNDLE, stint([True] * 40), ENTERED + 8 * DAY_MS, *no_returns())
    assert finding.verdict == "not_enough_evidence"
