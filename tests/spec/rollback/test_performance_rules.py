"""The sequential test, win rate, Sharpe ratio and drift, one row a case."""

import math
from typing import Any

import numpy as np
import pytest

from tidegate.monitoring.result import Drift, DriftItem, Sequential
from tidegate.rollback.finding import Finding
from tidegate.rollback.rules import drift, sequential, sharpe, win_rate
from tidegate.strategy.strategy import Rollback

DAY = 86_400_000
AS_OF = 100 * DAY
RULES = Rollback(win_rate_days=2, win_rate_window_days=3, min_trades=4)
NAN, INF = math.nan, math.inf


def cusum(statistic: list[float], **changes: Any) -> Sequential:  # noqa: ANN401  fields of many types
    values = np.array(statistic, np.float64)
    above = np.flatnonzero(values >= 5.0)
    fields: dict[str, Any] = {
        "version": 3,
        "healthy": 0.6,
        "gone": 0.5,
        "threshold": 5.0,
        "statistic": values,
        "alarm_trade": int(above[0]) if len(above) else None,
        "trades_per_day": 20.0,
        "false_alarms_per_year": 0.1,
        "median_days_to_detection": 14.0,
        "testable": True,
        "reason": "",
    }
    return Sequential(**{**fields, **changes})


SEQUENTIAL = [
    # what it shows, statistic, changes, verdict, observed
    ("under the threshold", [0.0, 4.99], {}, "quiet", 4.99),
    ("at the threshold", [0.0, 5.0], {}, "fired", 5.0),
    ("at the threshold, though no alarm is named", [0.0, 5.0], {"alarm_trade": None}, "fired", 5.0),
    ("was above it and fell", [0.0, 6.0, 1.0], {}, "fired", 6.0),
    ("an alarm that the statistic does not show", [0.0, 1.0], {"alarm_trade": 1}, "fired", 1.0),
    ("no trade yet", [], {}, "not_enough_evidence", None),
    ("NaN among them", [0.0, NAN, 4.0], {}, "not_enough_evidence", None),
    ("NaN as threshold", [9.0], {"threshold": NAN}, "not_enough_evidence", None),
    ("infinite threshold", [9.0], {"threshold": INF}, "not_enough_evidence", None),
    ("no threshold", [9.0], {"threshold": 0.0}, "not_enough_evidence", None),
    ("error rate not known", [9.0], {"false_alarms_per_year": NAN}, "not_enough_evidence", None),
    ("not testable", [9.0], {"testable": False, "reason": "no payoff"}, "not_enough_evidence", None),
]  # fmt: skip


@pytest.mark.parametrize(("statistic", "changes", "verdict", "observed"), [row[1:] for row in SEQUENTIAL], ids=[row[0] for row in SEQUENTIAL])  # fmt: skip
def test_sequential(statistic: list[float], changes: dict[str, Any], verdict: str, observed: float | None) -> None:
    exits = np.arange(len(statistic), dtype=np.int64) * DAY
    found = sequential(cusum(statistic, **changes), RULES, exit_at=exits)
    require(found, verdict, observed, "roll_back")
    if verdict == "fired":
        assert found.since == found.evidence["alarm_trade"] * DAY
        assert "0.1 a year" in found.error_rate


def test_no_sequential_test_at_all() -> None:
    require(sequential(None, RULES), "not_enough_evidence", None, "roll_back")


WIN_RATE = [
    # what it shows, trades a day before as_of, newest day first: wins/trades, verdict, observed
    ("under the bound on both days", "1/2 1/2 1/2 1/2", "fired", 0.5),
    ("at the bound", "13/25 13/25 13/25 13/25", "quiet", 0.52),
    ("just under it", "51/100 51/100 51/100 51/100", "fired", 0.51),
    ("one day of two is good", "0/2 1/2 2/2 2/2", "quiet", 0.5),
    ("the newest day is good", "2/2 2/2 0/2 0/2", "quiet", 4 / 6),
    ("good, then bad on both", "0/2 0/2 0/2 2/2", "fired", 1 / 3),
    ("exactly enough trades", "0/1 0/1 0/2 0/1", "fired", 0.0),
    ("one too few on the newest day", "0/1 0/1 0/1 0/2", "not_enough_evidence", None),
    ("one too few on the day before", "0/2 0/1 0/1 0/1", "not_enough_evidence", None),
    ("no trade", "", "not_enough_evidence", None),
]  # fmt: skip


def trades(text: str) -> tuple[Any, Any]:
    """Wins and exits; trades of a day are closed at its very start, which belongs to it."""
    won: list[float] = []
    exits: list[int] = []
    for back, word in enumerate(text.split()):
        wins, _, count = word.partition("/")
        won += [1.0] * int(wins) + [0.0] * (int(count) - int(wins))
        exits += [AS_OF - (back + 1) * DAY] * int(count)
    order = np.argsort(exits, kind="stable")
    return np.array(won)[order] if won else np.array([]), np.array(exits, np.int64)[order]


@pytest.mark.parametrize("late_ms", [0, DAY - 1])
@pytest.mark.parametrize(("text", "verdict", "observed"), [row[1:] for row in WIN_RATE], ids=[row[0] for row in WIN_RATE])  # fmt: skip
def test_win_rate(text: str, verdict: str, observed: float | None, late_ms: int) -> None:
    found = win_rate(*trades(text), AS_OF + late_ms, RULES, error_rate="often")
    require(found, verdict, observed, "alert")
    assert found.since == (AS_OF - DAY if verdict == "fired" else None)


def test_trades_of_a_day_that_has_not_ended_do_not_count() -> None:
    won, exits = trades("0/9 0/9 0/9 0/9")
    assert win_rate(won, exits + DAY, AS_OF, RULES).n == 27


@pytest.mark.parametrize("value", [NAN, 0.5, 2.0])
def test_a_win_that_is_neither_yes_nor_no(value: float) -> None:
    won, exits = trades("1/2 1/2 1/2 1/2")
    won[0] = value
    assert win_rate(won, exits, AS_OF, RULES).verdict == "not_enough_evidence"


SHARPE = [
    ("at the bound", 1.0, 4, 30.0, "quiet"),
    ("just under it", 0.999, 4, 30.0, "fired"),
    ("good", 2.0, 4, 30.0, "quiet"),
    ("too few trades", 0.0, 3, 30.0, "not_enough_evidence"),
    ("too few days", 0.0, 4, 29.9, "not_enough_evidence"),
    ("NaN", NAN, 4, 30.0, "not_enough_evidence"),
    ("infinite", INF, 4, 30.0, "not_enough_evidence"),
    ("days not known", 0.0, 4, NAN, "not_enough_evidence"),
]


@pytest.mark.parametrize(("observed", "count", "days", "verdict"), [row[1:] for row in SHARPE], ids=[row[0] for row in SHARPE])  # fmt: skip
def test_sharpe(observed: float, count: int, days: float, verdict: str) -> None:
    found = sharpe(observed, trades=count, days=days, since=7, rules=RULES)
    require(found, verdict, None if verdict == "not_enough_evidence" else observed, "alert")
    assert found.since == (7 if verdict == "fired" else None)


DRIFT = [
    # what it shows, items: effect, q, drifted; verdict, observed
    ("none drifted", [(0.1, 0.5, False), (0.0, 0.9, False)], "quiet", 0.0),
    ("one drifted", [(0.3, 0.01, True), (0.0, 0.9, False)], "fired", 1.0),
    ("one drifted, one is not known", [(0.3, 0.01, True), (NAN, 0.9, False)], "fired", 1.0),
    ("one is not known", [(0.1, 0.5, False), (NAN, 0.9, False)], "not_enough_evidence", None),
    ("a q-value is not known", [(0.1, NAN, False)], "not_enough_evidence", None),
    ("drifted by an effect that is no number", [(NAN, 0.01, True)], "not_enough_evidence", None),
    ("no items", [], "not_enough_evidence", None),
]


@pytest.mark.parametrize(("items", "verdict", "observed"), [row[1:] for row in DRIFT], ids=[row[0] for row in DRIFT])
def test_drift(items: list[tuple[float, float, bool]], verdict: str, observed: float | None) -> None:
    made = tuple(
        DriftItem(f"f{at}", "feature", effect, 0.01, q, drifted, 100, 0.0, 0.0)
        for at, (effect, q, drifted) in enumerate(items)
    )
    require(drift(Drift(3, made, 5, 9, "too few rows" if not made else ""), RULES), verdict, observed, "alert")


def test_no_drift_tests_at_all() -> None:
    require(drift(None, RULES), "not_enough_evidence", None, "alert")


def require(found: Finding, verdict: str, observed: float | None, action: str) -> None:
    assert (found.verdict, found.action) == (verdict, action), found.reason
    assert found.observed == (None if observed is None else pytest.approx(observed))
    assert found.reason
