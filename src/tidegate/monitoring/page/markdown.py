"""The verdict, the figures that matter, two small plots, rules and checklist as Markdown, for a Prefect artifact."""

import math

from tidegate.monitoring.page.headline import basis, headline
from tidegate.monitoring.page.record import MonitorRecord
from tidegate.monitoring.page.sections.judgement import CheckRow, FindingRow, check_rows, finding_rows
from tidegate.monitoring.page.sections.wins import alarm_words
from tidegate.monitoring.page.sparkline import sparkline
from tidegate.monitoring.page.tiles import tiles
from tidegate.report import formats
from tidegate.report.markdown_text import MOST_BYTES, fitting, literal


def markdown_summary(record: MonitorRecord) -> str:
    """Verdict first, under 20 kB; long reasons are cut, and what does not fit is said to be missing."""
    said = headline(record)
    lines = [f"# {said.word}: {literal(record.strategy.name)}", ""]
    if record.strategy.kind == "simulated":
        lines += ["> **SIMULATED MARKET: this says nothing about real markets.**", ""]
    now = "nothing in production" if record.now is None else f"v{record.now} in production"
    place = (f"{literal(record.period)} run", literal(", ".join(record.strategy.symbols)), record.strategy.interval, now, f"as of {formats.moment(record.as_of)}")  # fmt: skip
    lines += [literal(said.sentence, longest=1500), "", " \u00b7 ".join(place), "", literal(basis(record)), ""]
    lines += [f"> {literal(alert)}" for alert in record.alerts[:10]] + ([""] if record.alerts else [])
    if record.own is not None:
        lines += ["| Figure | Live | Promised | |", "|:--|--:|:--|:--|"]
        for tile in tiles(record):
            verdict = f"{tile.mark.icon} {tile.mark.word}; " if tile.mark else ""
            lines.append(
                f"| {tile.title} | {literal(tile.value)} | {literal(tile.threshold)} | {verdict}{literal(tile.detail)} |"
            )
        lines.append("")
    lines += [*_plots(record), *_tables(record, MOST_BYTES - 400 - len("\n".join(lines).encode()))]
    return "\n".join([*lines, ""])


def _plots(record: MonitorRecord) -> list[str]:
    lines = []
    series = None if record.live is None else record.live.series
    if series is not None and len(series):
        total = formats.percent(math.fsum(series.net_return), signed=True)
        lines += [f"Equity `{sparkline(series.equity)}` {total}", ""]
    found = record.sequential
    if found is not None and found.testable and len(found.statistic):
        last = formats.decimal(float(found.statistic[-1]))
        alarm = f", {alarm_words(record)}" if found.alarm_trade is not None else ""
        plot = sparkline(found.statistic, low=0.0, high=found.threshold)
        lines += [
            f"Sequential test `{plot}` {last} of {formats.decimal(found.threshold)} (full height: alarm){alarm}",
            "",
        ]
    return lines


def _tables(record: MonitorRecord, room: int) -> list[str]:
    """Rules and checklist, as many rows as there is room for."""
    heads = {
        "rules": [
            "| Verdict | Rule | Observed | Threshold | n | Fires | Reason | How often it errs |",
            "|:--|:--|--:|--:|--:|:--|:--|:--|",
        ],
        "rows of the checklist": [
            "| Verdict | Checklist | Observed | Required | Period | Reason |",
            "|:--|:--|--:|--:|:--|:--|",
        ],
    }
    bodies = {
        "rules": [_finding(row) for row in finding_rows(record)],
        "rows of the checklist": [_check(row) for row in check_rows(record)],
    }
    lines: list[str] = []
    for name, body in bodies.items():
        if not body:
            lines += [f"No {name} were judged.", ""]
            continue
        room -= len("\n".join(heads[name]).encode()) + 80
        kept = fitting(body, room)
        room -= sum(len(row.encode()) + 1 for row in body[:kept])
        lines += [*heads[name], *body[:kept], ""]
        if kept < len(body):
            lines += [f"{len(body) - kept} further {name} do not fit here: see the HTML page.", ""]
    return lines


def _finding(row: FindingRow) -> str:
    return (
        f"| {row.mark.icon} {literal(row.mark.word)} | {literal(row.title)} | {literal(row.observed)} | {literal(row.threshold)} | {row.n} | "
        f"{literal(row.acts)} | {literal(row.reason)} | {literal(row.error_rate)} |"
    )


def _check(row: CheckRow) -> str:
    return (
        f"| {row.mark.icon} {literal(row.mark.word)} | {literal(row.row)} | {literal(row.observed)} | {literal(row.threshold)} | {literal(row.period)} | "
        f"{literal(row.reason)} |"
    )
