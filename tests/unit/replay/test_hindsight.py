"""Right, wrong or undecided, by small worked cases: what each version earns alone is given."""

from typing import Any, cast

import numpy as np
import pytest
from tests.property.replay.scripted import Model, strategy

from tidegate.policy.policy import PositionPolicy
from tidegate.replay.hindsight import Hindsights
from tidegate.replay.result import Act, Live, MonthRecord, Outcome

DAY = 86_400_000
END = 90 * DAY
POLICY = PositionPolicy(long_at=0.6, short_at=0.4, take_profit=0.02, stop_loss=0.02, max_holding_bars=6)


class Known(Hindsights):
    """Versions earn a tenth of their number a month of 30 days, to the day."""

    def __init__(self, expires: dict[int, int]) -> None:
        versions = {version: _Month(Model(POLICY, expires_at)) for version, expires_at in expires.items()}
        super().__init__(cast("Any", _Market()), cast("Any", versions), END)

    def alone(self, version: int | None, start_ms: int, end_ms: int) -> float:
        if version is None:
            return 0.0
        end_ms = min(end_ms, self._versions[version].bundle.manifest.expires_at)
        return version / 10 * max(0, end_ms - start_ms) / (30 * DAY)


class _Market:
    strategy = strategy()


class _Month:
    def __init__(self, bundle: Model) -> None:
        self.bundle = bundle


def month(
    at: int, outcome: Outcome, version: int | None, before: int | None, after: int | None, *acts: Act
) -> MonthRecord:
    live = Live(at * DAY, (at + 30) * DAY, 0.0, 0.0, 0, None, None)
    return MonthRecord(f"m{at}", at * DAY, outcome, version, before, after, (), {}, live, acts)


def judged(months: list[MonthRecord], daily: float, expires: dict[int, int]) -> list[tuple[str, int, str, float]]:
    closed = np.arange(1, 91) * DAY
    found = Known(expires).judge(months, closed, np.full(90, daily))
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


def test_months_without_a_decision_have_no_hindsight() -> None:
    months = [
        month(0, "failed", None, None, None),
        month(30, "none", 1, None, None, Act(31 * DAY, "expiry", 1, None, "old")),
    ]
    assert judged(months, 0.0, {1: END}) == []
