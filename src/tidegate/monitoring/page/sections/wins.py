"""Wins and losses: win rates with their intervals, and the sequential test."""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tidegate.backtest.ratios import wilson_interval
from tidegate.bars.interval import DAY_MS
from tidegate.monitoring.page.charts.cusum import CusumPicture, cusum_chart
from tidegate.monitoring.page.charts.intervals import Interval, Level, intervals_chart
from tidegate.monitoring.page.promise import promised
from tidegate.monitoring.page.record import MonitorRecord
from tidegate.monitoring.result import Sequential
from tidegate.report import formats
from tidegate.report.charts.calibration import LEAST_COUNT, calibration_chart
from tidegate.report.sections.section import Block, Figure, Legend, Section

_NONE: Final = np.empty(0)


def wins(record: MonitorRecord) -> Section:
    """The sequential test on the version's closed trades, and win rates of several spans."""
    if record.sequential is None and record.own is None and record.since is None:
        return Section("wins", "Wins and losses", _lead(record))
    blocks = (
        Block(figure=_cusum(record)),
        Block(figure=_rates(record), half=True),
        Block(figure=_calibration(record), half=True),
    )
    return Section("wins", "Wins and losses", _lead(record), blocks)


def alarm_words(record: MonitorRecord) -> str:
    """When the sequential test alarmed; empty where it did not."""
    found = record.sequential
    if found is None or found.alarm_trade is None:
        return ""
    row, since = found.alarm_trade, record.since
    known = since is not None and len(since.trade_exit_at) == len(found.statistic)
    when = f", {formats.day(int(since.trade_exit_at[row]))}" if since is not None and known else ""
    return f"alarm at trade {formats.count(row + 1)}{when}"


def _lead(record: MonitorRecord) -> str:
    found = record.sequential
    if found is None:
        return "There is no sequential test: no version in production was judged."
    if not found.testable:
        return f"The sequential test cannot be made: {found.reason}."
    trades = len(found.statistic)
    if not trades:
        return f"No trade has been closed since version {found.version} entered production, so the test says nothing yet. {_rates_in_words(found)}"
    if found.alarm_trade is not None:
        return f"The sequential test says that the edge is gone: {alarm_words(record)}. {_rates_in_words(found)}"
    share = float(found.statistic[-1]) / found.threshold if found.threshold > 0 else math.nan
    if not math.isfinite(share):
        return "The statistic of the sequential test or its threshold is not a number, so it says nothing."
    return (
        f"The statistic stands at {formats.percent(share, 0)} of its threshold after {formats.plural(trades, 'closed trade')}. "
        f"{_rates_in_words(found)}"
    )


def _rates_in_words(found: Sequential) -> str:
    return (
        f"It tells a win rate of {formats.percent(found.healthy, 1)} from one of {formats.percent(found.gone, 1)}, the edge gone: "
        f"at most {_few(found.false_alarms_per_year)} false alarms a year while trades are independent, and half of all alarms within "
        f"{formats.decimal(found.median_days_to_detection, 0)} days of the edge's end."
    )


def _few(value: float) -> str:
    return f"{value:.2g}" if math.isfinite(value) else formats.decimal(value)


def _cusum(record: MonitorRecord) -> Figure:
    found = record.sequential
    heading = "Sequential test"
    if found is None or not found.testable or not len(found.statistic):
        return Figure(
            heading, cusum_chart(CusumPicture("", _NONE, math.nan, None, "")), missing="There is nothing to draw."
        )
    last = formats.decimal(float(found.statistic[-1]))
    description = (
        f"Now {last} of {formats.decimal(found.threshold)} after {formats.plural(len(found.statistic), 'trade')}"
    )
    markup = cusum_chart(
        CusumPicture(description, found.statistic, found.threshold, found.alarm_trade, alarm_words(record))
    )
    legend = (
        Legend("main", "Statistic after each closed trade", last),
        Legend("limit", "Alarm at or above", formats.decimal(found.threshold)),
    )
    caption = "CUSUM of the log likelihood ratio: a loss adds, a win takes off, and below zero it starts anew."
    return Figure(heading, markup, caption if markup else "", "The statistic or its threshold is not a number.", legend)


def _rates(record: MonitorRecord) -> Figure:
    bounds, since, own = record.strategy.rollback, record.since, record.own
    newest = record.as_of - bounds.win_rate_window_days * DAY_MS
    spans = {
        "Since production": None if since is None else since.trade_won,
        "Window": None if own is None else own.trade_won,
        f"Last {bounds.win_rate_window_days} days": None
        if since is None
        else since.trade_won[since.trade_exit_at > newest],
    }
    rows = [_rate(name, won) for name, won in spans.items()]
    found = record.sequential
    named = [
        ("threshold", "Promised", promised(record.promised, "win_rate")),
        ("limit", "Rule's bound", bounds.win_rate),
    ]
    if found is not None and found.testable:
        named.append(("ideal", "Edge gone", found.gone))
    levels = [Level(value, css) for css, _, value in named]
    legend = tuple(Legend(css, name, formats.percent(value, 1)) for css, name, value in named)
    markup = intervals_chart("win-rates", "Win rates of the version in production, with their intervals", rows, levels)
    short = [row.name.lower() for row in rows if not math.isfinite(row.value)]
    missing = f" Not measured: {formats.enumerate_words(short)}." if short and len(short) < len(rows) else ""
    caption = f"Of closed trades, with 95 % Wilson intervals as if trades were independent.{missing}"
    missing = "No trade of the version in production has been closed."
    return Figure("Win rate", markup, caption if markup else "", missing, legend)


def _rate(name: str, won: NDArray[np.bool_] | None) -> Interval:
    if won is None or not len(won):
        return Interval(name, math.nan, math.nan, math.nan, "")
    wins, trades = int(won.sum()), len(won)
    return Interval(name, wins / trades, *wilson_interval(wins, trades), formats.plural(trades, "trade"))


def _calibration(record: MonitorRecord) -> Figure:
    heading = "Calibration"
    own = record.own
    if own is None:
        return Figure(heading, calibration_chart(_NONE, _NONE, _NONE), missing="Not measured.")
    curve = own.calibration
    markup = calibration_chart(curve.forecast, curve.observed, curve.count)
    known = formats.count(float(curve.count.sum())) if len(curve.count) else "0"
    foretold = f"The probabilities foretell a win rate of {formats.percent(own.estimated_win_rate, 1)} for what was entered, before costs."
    caption = (
        f"Forecasts miss the share that came true by {formats.points(curve.error)} on average over {known} answers with a known outcome. "
        f"{foretold} Intervals are as if forecasts were independent; bins with fewer than {LEAST_COUNT} are not drawn."
    )
    legend = (Legend("main", "Share that came true", ""), Legend("ideal", "Perfectly calibrated", ""))
    return Figure(
        heading, markup, caption if markup else "", "No answer of the window has a known outcome yet.", legend
    )
