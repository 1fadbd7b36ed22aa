"""What was earned, against what was promised."""

import math
from typing import Final

from tidegate.backtest.metrics import BY_NAME, METRICS, Metric
from tidegate.bars.interval import DAY_MS
from tidegate.monitoring.page.charts.promise import PromisePicture, promise_chart
from tidegate.monitoring.page.parts import Folded, Part
from tidegate.monitoring.page.promise import Band, band, distance, promised
from tidegate.monitoring.page.record import MonitorRecord
from tidegate.report import formats
from tidegate.report.sections.section import Block, Figure, Legend, Section
from tidegate.report.table import Cell, Column, Table

_NAN = float("nan")
_COMPARED: Final = (
    "annual_return", "sharpe", "sharpe_standard_error", "win_rate", "payoff_ratio", "profit_factor", "trades_per_day",
    "turnover_per_day", "exposure", "average_bars_held", "mean_cost_bps", "break_even_cost_multiple",
)  # fmt: skip


def performance(record: MonitorRecord) -> Part:
    """Equity against the band of the promise, and every figure beside its promise."""
    series = None if record.live is None else record.live.series
    first, others = _figures(record)
    figures = Block(table=first, heading="Live against the backtest's promise", remark=_REMARK)
    heading = "Equity against the promise"
    if record.live is None or series is None or not len(series):
        lead = "No answer of the window named a position, so nothing was earned or lost."
        return Part(Section("equity", heading, lead))
    promise = band(record)
    total = math.fsum(series.net_return)
    days = (int(series.closed_at[-1]) - int(series.opened_at[0])) / DAY_MS
    lead = f"Net return {formats.percent(total, signed=True)} in {formats.decimal(days, 0 if days >= 10 else 1)} days. {_against(record, promise)}"
    changes = (
        [(each.first_bar_at, f"v{each.version}") for each in record.live.production]
        if len(record.live.production) > 1
        else []
    )
    picture = PromisePicture("Live equity and the band of the backtest's promise", lead, series.closed_at, series.equity, series.capital, promise, changes)  # fmt: skip
    legend = [Legend("main", "Live, net of costs", formats.percent(total, signed=True))]
    if promise is not None:
        end = (float(promise.mean[-1]) - promise.start) / series.capital
        legend += [
            Legend("rival", f"Promise of v{record.version}", formats.percent(end, signed=True)),
            Legend("promise", "1 and 2 standard errors around it", ""),
        ]
    markup = promise_chart(picture)
    caption = _caption(record, promise) if markup else ""
    figure = Figure("", markup, caption, "No equity is a number.", tuple(legend))
    folded = Folded("Other figures; sums are over different lengths of time, so they do not compare", others)
    return Part(Section("equity", heading, lead, (Block(figure=figure), figures)), (folded,), after=2)


_REMARK = (
    "A position that is still held is valued at the last bar and left out wherever trades are counted. "
    "Since it entered production: all bars that the version had not seen before, however long the window is. "
    "The win rate foretold is what its probabilities say of what was entered, before costs; the backtest promises none."
)


def _against(record: MonitorRecord, promise: Band | None) -> str:
    series = None if record.live is None else record.live.series
    if promise is None or series is None:
        return (
            "There is no promise to hold it against: the backtest's figures give none, or no version is in production."
        )
    off = distance(promise, series.equity)
    if not math.isfinite(off):
        return "How far that is from the promise is not measured."
    words = f"Version {record.version} stands {formats.decimal(abs(off), 1)} standard errors {'above' if off >= 0 else 'under'} its promise"
    if abs(off) <= 1:
        return f"{words}, as near as chance alone would bring two of three."
    return f"{words}, {'inside' if abs(off) <= 2 else 'outside'} the band that nineteen of twenty stay in."


def _caption(record: MonitorRecord, promise: Band | None) -> str:
    equal = "Profits are not reinvested, so equal distances are equal profits."
    if promise is None:
        return equal
    if promise.whole:
        said = "The band holds the chance of the bars and the uncertainty of the backtest's mean, both as if bars were independent."
    else:
        said = "The band holds the chance of the bars only: how sure the backtest is of its mean is not known."
    several = record.live is not None and len(record.live.production) > 1
    where = (
        f" It begins where v{record.version} answered first; upright lines: another version answers." if several else ""
    )
    return f"{said}{where} {equal}"


def _figures(record: MonitorRecord) -> tuple[Table, Table]:
    """Those that compare whatever the length of time, and the others."""
    columns = (
        Column("Figure", numeric=False),
        Column("Window", note=formats.span(record.window_start_at, record.as_of)),
        Column("Since it entered production", note=_since(record)),
        Column("Promised", note="out of sample"),
    )
    first = [_row(BY_NAME[name], record) for name in _COMPARED]
    first += [
        _fraction("Calibration error", record, "calibration_error"),
        _fraction("Win rate foretold", record, "estimated_win_rate"),
    ]
    others = [_row(metric, record) for metric in METRICS if metric.name not in _COMPARED]
    title = "of the version in production: live, since it entered production, promised"
    return Table(f"Figures {title}", columns, tuple(first)), Table(f"Other figures {title}", columns, tuple(others))


def _since(record: MonitorRecord) -> str:
    return "not measured" if record.since is None else f"from {formats.day(record.since.first_bar_at)}"


def _row(metric: Metric, record: MonitorRecord) -> tuple[Cell, ...]:
    values = [_NAN if part is None else part.metrics.get(metric.name, _NAN) for part in (record.own, record.since)]
    values.append(promised(record.promised, metric.name))
    return (Cell(metric.title), *(_cell(value, metric.unit) for value in values))


def _cell(value: float, unit: str) -> Cell:
    return Cell(formats.quantity(value, unit), value, "" if formats.known(value) else "muted")


def _fraction(title: str, record: MonitorRecord, name: str) -> tuple[Cell, ...]:
    found = []
    for part in (record.own, record.since):
        if part is None:
            found.append(_NAN)
        else:
            found.append(part.calibration.error if name == "calibration_error" else part.estimated_win_rate)
    return (Cell(title), *(_cell(value, "fraction") for value in found), Cell(formats.DASH, tone="muted"))
