"""Right, wrong or undecided, by small worked cases: what each version earns alone is given."""

from typing import Any, cast

import numpy as np
import pytest
from tests.property.replay.scripted import Model, strategy

from tidegate.bars.bars import Bars
from tidegate.policy.policy import PositionPolicy
from tidegate.replay.hindsight import Hindsights
from tidegate.replay.result import Act, Live, MonthRecord, Outcome

DAY = 86_400_000
END = 90 * DAY
POLICY = PositionPolicy(long_at=0.6, short_at=0.4, take_profit=0.02, stop_loss=0.02, max_holding_bars=6)


class Known(Hindsights):
    """Versions earn a tenth of their number a month of 30 days, to the day."""

    def __init__(self, expires: dict[int, int], **costs: float) -> None:
        versions = {version: _Month(Model(POLICY, expires_at)) for version, expires_at in expires.items()}
        super().__init__(cast("Any", _Market(**costs)), cast("Any", versions), END)

    def alone(self, version: int | None, start_ms: int, end_ms: int) -> float:
        if version is None:
            return 0.0
        end_ms = min(end_ms, self._versions[version].bundle.manifest.expires_at)
        return version / 10 * max(0, end_ms - start_ms) / (30 * DAY)


class _Market:
    """Bars whose close swings by a percent, with a volume of 1,000 units."""

    def __init__(self, **costs: float) -> None:
        self.strategy = strategy(("BTC/USDT",), **costs)

    def before(self, symbol: str, start_ms: int, count: int) -> Bars:
        close = np.where(np.arange(count) % 2, 100.0, 101.0)
        at = start_ms - 3_600_000 * np.arange(count, 0, -1)
        return Bars.of(
            symbol, "1h", opened_at=at, open=close, high=close, low=close, close=close, volume=np.full(count, 1000.0)
        )


class _Month:
    def __init__(self, bundle: Model) -> None:
        self.bundle = bundle


def month(
    at: int, outcome: Outcome, version: int | None, before: int | None, after: int | None, *acts: Act
) -> MonthRecord:
    live = Live(at * DAY, (at + 30) * DAY, 0.0, 0.0, 0, None, None)
    return MonthRecord(f"m{at}", at * DAY, outcome, version, before, after, (), {}, live, acts)


def judged(
    months: list[MonthRecord], daily: float, expires: dict[int, int], **costs: float
) -> list[tuple[str, int, str, float]]:
    closed = np.arange(1, 91) * DAY
    found = Known(expires, **costs).judge(months, closed, np.full(90, daily))
    return [
        (each.decision, each.version, each.judgement, round(each.difference, 6))
        for record in found
        for each in record.hindsight
    ]


def test_a_promotion_is_compared_with_the_version_before_it_until_that_expires() -> None:
    months = [month(0, "promoted", 1, None, 1), month(30, "promoted", 2, 1, 2)]
    found = judged(months, 0.0, {1: 45 * DAY, 2: 200 * DAY})
    # v1 stood for 30 days against nothing; v2 for 60 days to the end, against 15 more days of v1.
    assert found == [("promotion", 1, "right", 0.1), ("promotion", 2, "right", 0.35)]


def test_a_promotion_ends_when_the_version_is_left() -> None:
    act = Act(40 * DAY, "rollback", 2, 1, "the test alarmed")
    months = [month(0, "promoted", 1, None, 1), month(30, "promoted", 2, 1, 2, act)]
    found = judged(months, 0.002, {1: 200 * DAY, 2: 75 * DAY})
    # v2 stood for 10 days; had it stayed, until it expired after 35 days more, it would have earned 7/30, and the path did 0.07.
    assert found[1] == ("promotion", 2, "right", round(10 / 30 * (0.2 - 0.1), 6))
    assert found[2] == ("rollback", 2, "wrong", round(0.07 - 0.2 * 35 / 30, 6))


def test_a_refusal_is_compared_with_the_next_month_of_the_path() -> None:
    months = [month(0, "refused", 1, None, None), month(30, "refused", 2, None, None)]
    found = judged(months, 0.005, {1: END, 2: END})
    assert found == [("refusal", 1, "right", 0.05), ("refusal", 2, "wrong", -0.05)]


@pytest.mark.parametrize(("daily", "said"), [(0.1 / 30 + 0.0011 / 30, "undecided"), (0.1 / 30 + 0.0013 / 30, "right")])
def test_less_than_a_round_trip_is_undecided(daily: float, said: str) -> None:
    found = judged([month(0, "refused", 1, None, None)], daily, {1: END})
    assert found[0][2] == said  # a round trip at 6 bps a side costs 0.0012 of the capital


def test_what_earned_the_same_is_undecided_also_where_trading_is_free() -> None:
    free = {"fee_bps": 0.0, "half_spread_bps": 0.0, "slippage_bps": 0.0}
    assert judged([month(0, "refused", 1, None, None)], 0.1 / 30, {1: END}, **free)[0][2] == "undecided"
    assert judged([month(0, "refused", 1, None, None)], 0.11 / 30, {1: END}, **free)[0][2] == "right"


def test_a_round_trip_costs_its_impact_too() -> None:
    # 10 units of 1,000 a bar, a volatility of a percent: 0.5 * 0.01 * sqrt(0.01) a side, and the 6 bps.
    impact = 2 * (0.5 * np.log(1.01) * np.sqrt(10.0 / 1000.0) + 0.0006)
    for more, said in ((0.99, "undecided"), (1.01, "right")):
        found = judged(
            [month(30, "refused", 1, None, None)], (0.1 + more * impact) / 30, {1: END}, impact_coefficient=0.5
        )
        assert found[0][2] == said


def test_a_rollback_at_the_moment_of_a_promotion_left_nothing_to_compare() -> None:
    act = Act(30 * DAY, "rollback", 1, None, "the test alarmed")
    months = [month(0, "promoted", 1, None, 1, act), month(30, "promoted", 2, None, 2)]
    assert judged(months, -0.01, {1: 200 * DAY, 2: 200 * DAY})[1] == ("rollback", 1, "undecided", 0.0)


def test_months_without_a_decision_have_no_hindsight() -> None:
    months = [
        month(0, "failed", None, None, None),
        month(30, "none", 1, None, None, Act(31 * DAY, "expiry", 1, None, "old")),
    ]
    assert judged(months, 0.0, {1: END}) == []
