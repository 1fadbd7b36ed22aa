"""The sections of the page, in the order in which people read them."""

from typing import Final

import numpy as np
from markupsafe import Markup

from tidegate.backtest.metrics import BY_NAME
from tidegate.backtest.result import Backtest, Floats
from tidegate.monitoring.page.charts import cusum_chart
from tidegate.monitoring.page.record import MonitorRecord
from tidegate.monitoring.result import VersionFigures
from tidegate.report import formats
from tidegate.report.charts.calibration import LEAST_COUNT, calibration_chart
from tidegate.report.charts.equity import EquityPicture, Line, equity_chart
from tidegate.report.sections.performance import drawdown
from tidegate.report.sections.section import Block, Figure, Legend, Section
from tidegate.report.table import Cell, Column, Table, shares, sign_tone

_Z_95: Final = 1.959964
_COMPARED: Final = (
    "total_return", "annual_return", "sharpe", "win_rate", "payoff_ratio", "profit_factor", "max_drawdown",
    "trades_per_day", "turnover_per_day", "exposure", "average_bars_held", "mean_cost_bps", "break_even_cost_multiple",
)  # fmt: skip
_CAUSES: Final = {
    "market": "Market",
    "skew": "Skew between training and serving",
    "missing": "Missing answers",
    "positions": "Positions",
    "costs": "Costs",
}


def sections(record: MonitorRecord) -> tuple[Section, ...]:
    """All sections that have something to show."""
    made = (
        equity(record),
        against_promise(record),
        sequential(record),
        reconciliation(record),
        calibration(record),
        drift(record),
        regimes(record),
        versions(record),
        balance(record),
    )
    return tuple(section for section in made if section is not None)


def equity(record: MonitorRecord) -> Section | None:
    """What production earned, against the band of what its backtest promised."""
    series = None if record.live is None else record.live.series
    if series is None or not len(series):
        return None
    total = float(np.sum(series.net_return))
    mean, spread = _promise(record, series)
    lines = [Line("Live", "main", series.equity)]
    legend = [Legend("main", "Live, net of costs, all versions", formats.percent(total, signed=True))]
    lead = f"Net return {formats.percent(total, signed=True)} since the first answer in the window."
    if mean is not None and spread is not None:
        lines += [
            Line("Promise", "rival", mean),
            Line("Low end", "market", mean - _Z_95 * spread),
            Line("High end", "market", mean + _Z_95 * spread),
        ]
        promised = float(mean[-1] / series.capital - 1.0)
        inside = abs(float(series.equity[-1] - mean[-1])) <= _Z_95 * float(spread[-1])
        legend += [
            Legend("rival", "Promised mean", formats.percent(promised, signed=True)),
            Legend("market", "Where 95 % of runs as good as the backtest end", ""),
        ]
        lead += f" The backtest promises {formats.percent(promised, signed=True)}; the end lies {'inside' if inside else 'outside'} the band."
    picture = EquityPicture(
        "equity", "Live equity against the promise", lead, series.closed_at, lines, series.capital, drawdown(series)
    )
    caption = (
        "Every trade uses the same capital. The band is the backtest's mean and variation, for independent returns; the position held at the end is "
        "valued at its close."
    )
    figure = Figure("", equity_chart(picture), caption, "No bar was answered.", tuple(legend))
    return Section("equity", "Equity against the promise", lead, (Block(figure=figure),))


def _promise(record: MonitorRecord, series: Backtest) -> tuple[Floats | None, Floats | None]:
    """Promised equity and its standard deviation at each bar, None where the manifest says too little."""
    annual, ratio = record.promised.get("annual_return"), record.promised.get("sharpe")
    if annual is None or ratio is None or not (formats.known(annual) and formats.known(ratio)) or annual * ratio <= 0:
        return None, None
    steps = np.arange(1, len(series) + 1, dtype=np.float64)
    periods = record.strategy.periods_per_year
    deviation = annual / ratio / np.sqrt(periods)
    mean = series.capital * (1.0 + annual / periods * steps)
    return mean, series.capital * deviation * np.sqrt(steps)


def against_promise(record: MonitorRecord) -> Section | None:
    """Each metric, live and promised."""
    if record.own is None:
        return None
    own = record.own.metrics
    rows = []
    for name in _COMPARED:
        metric, live, promised = BY_NAME[name], own.get(name), record.promised.get(name)
        difference = live - promised if live is not None and promised is not None else None
        rows.append(
            (
                Cell(metric.title),
                Cell(formats.quantity(live, metric.unit), live),
                Cell(formats.quantity(promised, metric.unit), promised),
                Cell(
                    formats.quantity(difference, metric.unit) if formats.known(difference) else formats.DASH, difference
                ),
            )
        )
    title = f"Live against promise: version {record.own.version}"
    table = Table(
        title, (Column("Metric", False), Column("Live"), Column("Promised"), Column("Difference")), tuple(rows)
    )
    days = (record.own.last_bar_at - record.own.first_bar_at) / 86_400_000
    lead = (
        f"Version {record.own.version} has answered for {formats.decimal(days, 1)} days of the window. The total return is over different lengths of "
        "time on both sides; all others compare."
    )
    return Section("promise", title, lead, (Block(table=table),))


def sequential(record: MonitorRecord) -> Section | None:
    """The test whose error rate is known."""
    found = record.sequential
    if found is None:
        return None
    heading = "Sequential test"
    if not found.testable:
        return Section("sequential", heading, f"This version cannot be tested: {found.reason}.")
    alarmed = "It has alarmed" if found.alarm_trade is not None else "It has not alarmed"
    lead = (
        f"{alarmed} in {formats.plural(len(found.statistic), 'closed trade')}. It weighs a win rate of {formats.percent(found.gone, 1)}, at which nothing is "
        f"left to earn, against {formats.percent(found.healthy, 1)}, the low end of what the backtest found."
    )
    caption = (
        f"At most {formats.decimal(found.false_alarms_per_year)} false alarms a year at {formats.decimal(found.trades_per_day)} trades a day, computed for "
        f"independent trades; half of all losses of the edge are seen within {formats.decimal(found.median_days_to_detection, 0)} days."
    )
    figure = Figure("", cusum_chart(found), caption, "No trade has been closed yet.")
    return Section("sequential", heading, lead, (Block(figure=figure),))


def reconciliation(record: MonitorRecord) -> Section | None:
    """From promise to live, cause by cause."""
    found = None if record.live is None else record.live.reconciliation
    if found is None:
        return None
    bars = shares([cause.effect for cause in found.causes])
    rows = [
        (Cell("Promised by the backtest"), Cell(formats.percent(found.promised, signed=True)), Cell("for as many bars"))
    ]
    rows += [
        (
            Cell(_CAUSES.get(cause.name, cause.name)),
            Cell(formats.percent(cause.effect, signed=True), cause.effect, sign_tone(cause.effect), share),
            Cell(cause.reason),
        )
        for cause, share in zip(found.causes, bars, strict=True)
    ]
    rows.append((Cell("Live"), Cell(formats.percent(found.live, signed=True)), Cell("what the answers earned")))
    table = Table("From promise to live", (Column("Cause", False), Column("Return"), Column("Why", False)), tuple(rows))
    lead = f"Version {found.version} over {formats.decimal(found.days, 1)} days: why live differs from the promise. The parts add up."
    return Section("reconciliation", "Promise to live", lead, (Block(table=table),))


def calibration(record: MonitorRecord) -> Section | None:
    """Probabilities against outcomes."""
    if record.own is None:
        return None
    found = record.own.calibration
    lead = f"Expected calibration error {formats.percent(found.error)} over {formats.plural(float(np.sum(found.count)), 'answer')} whose outcome is known."
    chart = calibration_chart(found.forecast, found.observed, found.count) if len(found.forecast) else Markup("")
    caption = f"Dashed: perfect calibration. Whiskers: 95 %, for independent outcomes. Bins of fewer than {LEAST_COUNT} answers are not drawn."
    return Section(
        "calibration",
        "Calibration",
        lead,
        (Block(figure=Figure("", chart, caption, "No outcome is known yet."), half=True),),
    )


def drift(record: MonitorRecord) -> Section | None:
    """Every comparison of reference and current window."""
    found = record.drift
    if found is None:
        return None
    if not found.items:
        return Section("drift", "Drift", f"Nothing was compared: {found.reason}.")
    items = sorted(found.items, key=lambda item: -item.effect if formats.known(item.effect) else 0.0)
    rows = tuple(
        (
            Cell(item.name),
            Cell(formats.decimal(item.effect, 3), item.effect, "bad" if item.drifted else "", share),
            Cell(formats.tiny(item.q_value), item.q_value),
            Cell(
                "drifted" if item.drifted else "no" if formats.known(item.q_value) else formats.NOT_MEASURED,
                tone="bad" if item.drifted else "",
            ),
            Cell(formats.decimal(item.reference_mean, 4), item.reference_mean),
            Cell(formats.decimal(item.current_mean, 4), item.current_mean),
        )
        for item, share in zip(items, shares([item.effect for item in items]), strict=True)
    )
    columns = (
        Column("Item", False), Column("Effect", note="PSI; label rate: difference"), Column("q", note="Benjamini-Hochberg"),
        Column("Drifted", False), Column("Mean before"), Column("Mean now"),
    )  # fmt: skip
    count = sum(item.drifted for item in items)
    lead = (
        f"{count} of {len(items)} items drifted between the bars that the model knows and "
        f"{formats.span(found.current_start_at, found.current_end_at)}."
    )
    remark = "Drifted is what is both far (effect) and sure (q). Drift alone says nothing about profit."
    return Section("drift", "Drift", lead, (Block(table=Table("Drift", columns, rows), remark=remark),))


def regimes(record: MonitorRecord) -> Section | None:
    """The version in production by regime."""
    if record.own is None or not record.own.regimes:
        return None
    names = ("trades", "win_rate", "sharpe", "total_return")
    rows = tuple(
        (
            Cell(regime),
            *(Cell(formats.quantity(found.get(name), BY_NAME[name].unit), found.get(name)) for name in names),
        )
        for regime, found in record.own.regimes.items()
    )
    columns = (Column("Regime", False), *(Column(BY_NAME[name].title) for name in names))
    lead = f"Version {record.own.version}, by the regime of the bar whose signal opened the trade."
    return Section("regimes", "Regimes", lead, (Block(table=Table("By regime", columns, rows)),))


def versions(record: MonitorRecord) -> Section | None:
    """Every version that answered, in production and as a shadow."""
    live = record.live
    if live is None or not (live.production or live.shadow):
        return None
    rows = tuple(_version(each) for each in (*live.production, *live.shadow))
    titles = ("Win rate", "Sharpe ratio", "Net return", "Trades", "Answers", "Abstained", "Calibration error")
    columns = (Column("Version", False), Column("Role", False), Column("Bars", False), *map(Column, titles))
    shadow = (
        "The shadow challenger is what its position policy would have done."
        if live.shadow
        else "No challenger answered in the shadow."
    )
    return Section("versions", "Versions", shadow, (Block(table=Table("Versions that answered", columns, rows)),))


def _version(each: VersionFigures) -> tuple[Cell, ...]:
    metrics = each.metrics
    return (
        Cell(f"v{each.version}"),
        Cell(each.role),
        Cell(formats.span(each.first_bar_at, each.last_bar_at)),
        Cell(formats.percent(metrics.get("win_rate")), metrics.get("win_rate")),
        Cell(formats.decimal(metrics.get("sharpe")), metrics.get("sharpe")),
        Cell(formats.percent(metrics.get("total_return"), signed=True), metrics.get("total_return")),
        Cell(formats.count(metrics.get("trades")), metrics.get("trades")),
        Cell(formats.count(each.predictions), each.predictions),
        Cell(formats.count(sum(each.abstentions.values())), sum(each.abstentions.values())),
        Cell(formats.percent(each.calibration.error), each.calibration.error),
    )


def balance(record: MonitorRecord) -> Section | None:
    """Where every row of the log went."""
    if record.live is None:
        return None
    found = record.live.balance
    parts = (
        ("Counted", found.counted, "answers that figures are computed from"),
        ("Repeated", found.repeated, "retries and replicas: another row stands for them"),
        ("Superseded", found.superseded, "another version answered the same bar first"),
        ("Abstained", found.abstained, "the service named no position"),
        ("Refused", found.refused, "the service answered with a problem"),
        ("Not yet known", found.not_yet_known, "the next bar had not closed"),
        ("Unmatched", found.unmatched, "bars that the store does not hold"),
        ("About no bar", found.without_bar, "refusals before the bar was known, and answers of a halted strategy"),
        ("All rows", found.rows, "the sum of those above"),
        (
            "Bars without an answer",
            found.bars_without_answer,
            "not rows: what production did not answer since its first answer",
        ),
        ("Damaged places", found.damaged, "places of the log that could not be read"),
    )
    rows = tuple((Cell(title), Cell(formats.count(number), number), Cell(why)) for title, number, why in parts)
    table = Table("Rows of the log", (Column("Rows", False), Column("Number"), Column("What they are", False)), rows)
    return Section(
        "balance",
        "Where every row went",
        "Every row of the log is counted once; the parts add up.",
        (Block(table=table),),
    )
