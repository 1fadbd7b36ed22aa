"""A monitoring run as Markdown with a small plot of characters, for a Prefect artifact."""

import re
from typing import Final

import numpy as np

from tidegate.backtest.result import Floats
from tidegate.monitoring.page.record import MonitorRecord
from tidegate.monitoring.page.words import MarkedRow, basis, checklist_rows, headline, rule_rows, tiles
from tidegate.report import formats

_SPECIAL: Final = re.compile(r"([\\`*_{}\[\]#|~!])")
_BARS: Final = "\u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588"
_LONGEST: Final = 400


def markdown_summary(record: MonitorRecord) -> str:
    """Verdict, key figures, rules, checklist: what people look at first."""
    said = headline(record)
    lines = [f"# {said.word}: {_text(record.strategy.name)}", ""]
    if record.strategy.kind == "simulated":
        lines += ["> **SIMULATED MARKET: this says nothing about real markets.**", ""]
    lines += [
        _text(said.sentence),
        "",
        f"{record.period}, as of {formats.moment(record.as_of)}. {_text(basis(record))}",
        "",
    ]
    lines += [f"- {_text(alert)}" for alert in record.alerts]
    series = None if record.live is None else record.live.series
    if series is not None and len(series):
        lines += [
            f"Equity `{sparkline(series.equity)}` {formats.percent(float(np.sum(series.net_return)), signed=True)}",
            "",
        ]
    if record.sequential is not None and len(record.sequential.statistic):
        found = record.sequential
        plot = sparkline(found.statistic, top=found.threshold)
        lines += [
            f"Evidence against the promise `{plot}` {formats.decimal(float(found.statistic[-1]))} of {formats.decimal(found.threshold)}",
            "",
        ]
    lines += ["", "| Figure | Live | |", "|:--|--:|:--|"]
    lines += [
        f"| {tile.title} | {_text(tile.value)} | {_text('; '.join(filter(None, (tile.detail, tile.threshold))))} |"
        for tile in tiles(record)
    ]
    lines += _table("Rule", rule_rows(record.findings)) + _table("Checklist", checklist_rows(record.checklist))
    return "\n".join([*lines, ""])


def sparkline(values: Floats, width: int = 48, *, top: float | None = None) -> str:
    """Values as a line of blocks, each the last of its part; what is not finite is a space.

    Args:
        values: (n,).
        width: characters at most.
        top: value of a full block; None: the highest value.

    >>> sparkline(np.array([0.0, 1.0, 2.0]))
    '\u2581\u2585\u2588'
    """
    if not len(values):
        return ""
    ends = np.unique(np.linspace(0, len(values), min(width, len(values)) + 1).astype(np.intp))[1:] - 1
    shown = values[ends]
    finite = shown[np.isfinite(shown)]
    if not len(finite):
        return " " * len(shown)
    low, high = (float(finite.min()), float(finite.max())) if top is None else (0.0, top)
    reach = high - low if high > low else 1.0
    steps = [
        round((value - low) / reach * (len(_BARS) - 1)) if np.isfinite(value) else None for value in shown.tolist()
    ]
    return "".join(" " if step is None else _BARS[min(max(step, 0), len(_BARS) - 1)] for step in steps)


def _table(title: str, rows: tuple[MarkedRow, ...]) -> list[str]:
    if not rows:
        return []
    labels = [label for label, _ in rows[0].values]
    lines = ["", f"| Verdict | {title} | {' | '.join(labels)} | Reason |", f"|:--|:--|{'--:|' * len(labels)}:--|"]
    for row in rows:
        values = " | ".join(_text(value) for _, value in row.values)
        lines.append(f"| {row.mark.icon} {row.mark.word} | {_text(row.title)} | {values} | {_text(row.reason)} |")
    return lines


def _text(text: str) -> str:
    """Text that Markdown and HTML take literally, on one line."""
    flat = " ".join(text.split(None)).strip()
    cut = flat if len(flat) <= _LONGEST else f"{flat[: _LONGEST - 1]}\u2026"
    return _SPECIAL.sub(r"\\\1", cut.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))
