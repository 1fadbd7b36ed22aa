"""Why live differs from the backtest's promise: causes that sum to the difference."""

import math
from typing import Final

from tidegate.monitoring.page.record import MonitorRecord
from tidegate.monitoring.result import Cause, Reconciliation
from tidegate.report import formats
from tidegate.report.sections.section import Block, Section
from tidegate.report.table import Cell, Column, Table, shares, sign_tone

_ROUNDING: Final = 1e-9
_NAMES: Final = {
    "market": "Market",
    "skew": "Skew of inputs",
    "missing": "Missing answers",
    "positions": "Positions",
    "costs": "Costs paid",
}


def difference(record: MonitorRecord) -> Section:
    """The reconciliation as a table from the promise down to what was earned."""
    found = None if record.live is None else record.live.reconciliation
    heading = "From promise to live"
    if found is None:
        return Section(
            "reconciliation",
            heading,
            "Not reconciled: the bundle, its promise or enough answers of the version in production are missing.",
        )
    rows = (
        (Cell("Promised by the backtest"), Cell(_percent(found.promised), found.promised), Cell("for as many bars")),
        *_causes(found.causes),
        (Cell("Live"), Cell(_percent(found.live), found.live), Cell("the promise and all effects together" if adds_up(found) else "NOT the sum of the rows above", tone="" if adds_up(found) else "bad")),
    )  # fmt: skip
    columns = (Column("", numeric=False), Column("Net return", note="over the capital"), Column("Why", numeric=False))
    table = Table("From the backtest's promise to what was earned live, cause by cause", columns, rows)
    return Section("reconciliation", heading, _lead(found), (Block(table=table, remark=_remark(found)),))


def adds_up(found: Reconciliation) -> bool:
    """Whether the promise and all effects give what was earned; what is not a number does not."""
    return abs(found.promised + math.fsum(cause.effect for cause in found.causes) - found.live) <= _ROUNDING


def _lead(found: Reconciliation) -> str:
    off = found.live - found.promised
    if not math.isfinite(off):
        return f"Version {found.version}: the difference between live and the promise is not measured."
    word = "more" if off >= 0 else "less"
    largest = max(
        found.causes, key=lambda cause: abs(cause.effect) if math.isfinite(cause.effect) else -1.0, default=None
    )
    why = (
        f" The largest cause is {_name(largest).lower()}, {_percent(largest.effect)}."
        if largest is not None and largest.effect
        else ""
    )
    return (
        f"Version {found.version} earned {formats.points(abs(off))} {word} than the backtest promised for "
        f"{formats.decimal(found.days, 0)} days of market time.{why}"
    )


def _causes(causes: tuple[Cause, ...]) -> list[tuple[Cell, ...]]:
    bars = shares([cause.effect for cause in causes])
    return [
        (
            Cell(_name(cause)),
            Cell(_percent(cause.effect), cause.effect, sign_tone(cause.effect), bar),
            Cell(cause.reason),
        )
        for cause, bar in zip(causes, bars, strict=True)
    ]


def _name(cause: Cause) -> str:
    return _NAMES.get(cause.name, cause.name)


def _percent(value: float) -> str:
    return formats.percent(value, signed=True)


def _remark(found: Reconciliation) -> str:
    paid = formats.quantity(found.cost_bps_paid, "bps")
    return (
        f"Each step changes one thing and runs the same engine on the same bars; an effect belongs to the first step that shows it. "
        f"Cost a side: paid {paid}, assumed {formats.quantity(found.cost_bps_assumed, 'bps')}. Largest difference between a logged and a recomputed "
        f"probability: {formats.tiny(found.largest_probability_difference)}."
    )
