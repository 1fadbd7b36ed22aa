"""Rules on what the model earns: the sequential test, the checklist's point rules on win rate and Sharpe ratio, drift.

They are judged once a day on figures of monitoring. A figure that is missing, NaN or infinite is `not_enough_evidence`, never `quiet`.
"""

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from tidegate.backtest.result import Floats, Times
from tidegate.bars.interval import DAY_MS
from tidegate.monitoring.result import Drift, Sequential
from tidegate.rollback.finding import Action, Finding
from tidegate.strategy.strategy import Rollback

UNKNOWN_RATE: Final = "not computed"


def sequential(found: Sequential | None, rules: Rollback, *, exit_at: Times | None = None) -> Finding:
    """The sequential test: fires once its statistic has been at or above its threshold.

    Args:
        found: the test on the closed trades of the version in production; None where there is none.
        rules: what is done about it.
        exit_at: (m,) int64, UTC ms, when each trade was closed, to say since when it alarms.
    """
    if found is None or not found.testable:
        reason = "there is no sequential test of this version" if found is None else f"not testable: {found.reason}"
        return _missing("sequential", rules.sequential_action, reason, "log-likelihood ratio")
    n = len(found.statistic)
    rate = (
        f"{found.false_alarms_per_year:.3g} a year on a healthy model at {found.trades_per_day:.3g} trades a day; once the win rate is "
        f"{found.gone:.1%}, it takes {found.median_days_to_detection:.3g} days in the median"
    )
    sound = math.isfinite(found.threshold) and found.threshold > 0 and math.isfinite(found.false_alarms_per_year)
    if not n or not sound or not bool(np.isfinite(found.statistic).all()):
        reason = "no trade has been closed yet" if not n else "its statistic, threshold or error rate is not a number"
        return _missing("sequential", rules.sequential_action, reason, "log-likelihood ratio", n, rate)
    above = np.flatnonzero(found.statistic >= found.threshold)
    first = int(above[0]) if len(above) else found.alarm_trade
    if first is None:
        return Finding(
            "sequential",
            rules.sequential_action,
            "quiet",
            float(found.statistic[-1]),
            found.threshold,
            "log-likelihood ratio",
            n,
            None,
            f"{n} closed trades speak no louder for a win rate of {found.gone:.1%} than chance may",
            rate,
        )
    since = int(exit_at[first]) if exit_at is not None and len(exit_at) == n else None
    return Finding(
        "sequential",
        rules.sequential_action,
        "fired",
        float(found.statistic[min(first, n - 1)]),
        found.threshold,
        "log-likelihood ratio",
        n,
        since,
        f"after trade {first + 1} of {n} the wins speak for a win rate of {found.gone:.1%} instead of {found.healthy:.1%}",
        rate,
        {"alarm_trade": first, "healthy": _finite(found.healthy), "gone": _finite(found.gone)},
    )


def win_rate(won: Floats, exit_at: Times, as_of: int, rules: Rollback, *, error_rate: str = UNKNOWN_RATE) -> Finding:
    """The checklist's rule: the win rate of the last `win_rate_window_days` was under the bound on `win_rate_days` days in a row.

    A day is a UTC day that has ended by `as_of`; its window holds the trades that were closed within the `win_rate_window_days` days that end
    with it, at least `min_trades` of them. A win rate at the bound is not under it.

    Args:
        won: (m,) one for a profit net of costs, zero for none, of the version's closed trades.
        exit_at: (m,) int64, UTC ms, when each was closed.
        as_of: UTC ms.
        rules: bound, days and action.
        error_rate: how often the rule fires on a healthy model, in words.
    """
    wins = np.asarray(won, np.float64)
    if len(wins) != len(exit_at) or not bool(np.isin(wins, (0.0, 1.0)).all()):
        return _missing("win_rate", rules.win_rate_action, "wins and exits do not add up", "fraction", 0, error_rate)
    newest_end = as_of // DAY_MS * DAY_MS
    rates, counts = [], []
    for back in range(rules.win_rate_days):
        end = newest_end - back * DAY_MS
        inside = (exit_at >= end - rules.win_rate_window_days * DAY_MS) & (exit_at < end)
        counts.append(int(inside.sum()))
        rates.append(float(wins[inside].mean()) if counts[-1] else math.nan)
    fewest = min(counts)
    days = {"days": [{"ended_at": newest_end - back * DAY_MS, "trades": counts[back], "win_rate": _finite(rates[back])} for back in range(len(rates))]}  # fmt: skip
    if fewest < rules.min_trades:
        reason = (
            f"a window of {rules.win_rate_window_days} days holds {fewest} closed trades, {rules.min_trades} are needed"
        )
        return _missing("win_rate", rules.win_rate_action, reason, "fraction", counts[0], error_rate, days)
    fired = all(rate < rules.win_rate for rate in rates)
    least = max(rates) if fired else rates[0]
    told = ", ".join(f"{rate:.1%}" for rate in rates)
    return Finding(
        "win_rate",
        rules.win_rate_action,
        "fired" if fired else "quiet",
        least,
        rules.win_rate,
        "fraction",
        counts[0],
        newest_end - (rules.win_rate_days - 1) * DAY_MS if fired else None,
        f"win rates of {rules.win_rate_window_days} days, newest day first: {told}",
        error_rate,
        days,
    )


def sharpe(
    observed: float, *, trades: int, days: float, since: int, rules: Rollback, error_rate: str = UNKNOWN_RATE
) -> Finding:
    """The checklist's rule: the annual Sharpe ratio of the last `sharpe_window_days` is under the bound. At the bound it is not.

    Args:
        observed: the ratio, NaN where it is not known.
        trades: closed trades of the window.
        days: calendar days that the figure covers; fewer than `sharpe_window_days` say nothing.
        since: start of the window, UTC ms.
        rules: bound, days and action.
        error_rate: how often the rule fires on a healthy model, in words.
    """
    lacking = [f"{trades} closed trades, {rules.min_trades} are needed"] if trades < rules.min_trades else []
    if not (math.isfinite(days) and days >= rules.sharpe_window_days):
        lacking.append(f"{days:.3g} days, {rules.sharpe_window_days} are needed")
    if not math.isfinite(observed):
        lacking.append("the ratio is not a number")
    if lacking:
        return _missing("sharpe", rules.sharpe_action, "; ".join(lacking), "ratio", trades, error_rate)
    fired = observed < rules.sharpe
    return Finding(
        "sharpe",
        rules.sharpe_action,
        "fired" if fired else "quiet",
        observed,
        rules.sharpe,
        "ratio",
        trades,
        since if fired else None,
        f"annual Sharpe ratio of {rules.sharpe_window_days} days is {observed:.2f}",
        error_rate,
    )


def drift(found: Drift | None, rules: Rollback, *, error_rate: str = UNKNOWN_RATE) -> Finding:
    """Drift: fires when any item drifted. An item without an effect or a q-value is not known, so nothing is quiet then.

    Args:
        found: all comparisons of one run; None where there is none.
        rules: the action.
        error_rate: how often the tests fire on a stationary market, in words.
    """
    if found is None or not found.items:
        reason = "there is no comparison" if found is None else found.reason or "nothing could be compared"
        return _missing("drift", rules.drift_action, reason, "items", 0, error_rate)
    sound = [item for item in found.items if math.isfinite(item.effect) and math.isfinite(item.q_value)]
    drifted = [item for item in sound if item.drifted]
    unknown = [item.name for item in found.items if item not in sound]
    n = min(item.n for item in found.items)
    evidence = {"drifted": {item.name: item.effect for item in drifted}, "unknown": unknown}
    if not drifted and unknown:
        reason = f"not comparable: {', '.join(unknown)}"
        return _missing("drift", rules.drift_action, reason, "items", n, error_rate, evidence)
    told = ", ".join(f"{item.name} {item.effect:.2f}" for item in sorted(drifted, key=lambda each: -each.effect))
    return Finding(
        "drift",
        rules.drift_action,
        "fired" if drifted else "quiet",
        float(len(drifted)),
        1.0,
        "items",
        n,
        found.current_start_at if drifted else None,
        f"drifted, by effect: {told}" if drifted else f"none of {len(sound)} items drifted",
        error_rate,
        evidence,
    )


def _missing(
    rule: str,
    action: Action,
    reason: str,
    unit: str,
    n: int = 0,
    error_rate: str = UNKNOWN_RATE,
    evidence: Mapping[str, Any] | None = None,
) -> Finding:
    return Finding(rule, action, "not_enough_evidence", None, None, unit, n, None, reason, error_rate, evidence or {})


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
