"""The deployed procedure against each other path over the same days: whether one history can tell them apart."""

import math
from typing import Final

import numpy as np

from tidegate.bars.bars import Floats
from tidegate.replay.page_figures import daily, deployed, too_few
from tidegate.replay.result import PathResult, ReplayResult
from tidegate.replay.yardstick import ratio_returns
from tidegate.report import formats
from tidegate.report.sections.section import Block
from tidegate.report.table import Cell, Column, Table, Tone, sign_tone
from tidegate.statistics.paired import SharpeDifference, sharpe_difference

LEVEL: Final = 0.05
"""Chance of telling two paths apart that are equal, over all comparisons of the table."""


def compared(result: ReplayResult) -> Block | None:
    """Differences of net return and of Sharpe ratio, paired day by day; nothing where there is nobody to compare with."""
    own = deployed(result)
    others = [path for path in result.paths if path is not own and path.name != "flat" and np.any(path.net_return)]
    if not others or not np.any(own.net_return):
        return None
    days = _daily(own)
    year = result.periods_per_year * len(days) / len(own.net_return)
    few = too_few(own)
    found = [
        None if few or too_few(path) else sharpe_difference(days, _daily(path), year, seed=result.seed)
        for path in others
    ]
    level = LEVEL / len(others)
    rows = tuple(_row(own, path, each, level) for path, each in zip(others, found, strict=True))
    columns = (
        Column("Against", numeric=False),
        Column("Net return", note="deployed less the other"),
        Column("Sharpe", note="deployed less the other, \u00b1 standard error"),
        Column("95 % interval"),
        Column("p", note="of no difference"),
        Column("Verdict", numeric=False),
    )
    remark = (
        f"Ratios of daily returns, paired day by day (Ledoit and Wolf 2008); those of buy and hold are returns on what it was worth the day before. Told apart means p under {formats.tiny(level)}, which is {LEVEL:g} "
        "over the number of comparisons. Doing nothing is not in the table: against it stands the Sharpe ratio itself."
    )
    table = Table("The deployed procedure against each other path", columns, rows)
    return Block(table=table, heading="Can this history tell them apart?", remark=remark)


def _daily(path: PathResult) -> Floats:
    """(d,) returns by UTC day that ratios are computed from."""
    return ratio_returns(path.name, daily(path))


def _row(own: PathResult, path: PathResult, found: SharpeDifference | None, level: float) -> tuple[Cell, ...]:
    gap = own.summary.total_return - path.summary.total_return
    first = Cell(path.title), Cell(formats.points(gap, 1, signed=True), gap, sign_tone(gap))
    if found is None:
        return (*first, *(Cell(formats.DASH, tone="muted") for _ in range(3)), Cell("too few to tell", tone="muted"))
    known = math.isfinite(found.difference)
    ratio = (
        f"{formats.decimal(found.difference, signed=True)} \u00b1{formats.NBSP}{formats.decimal(found.standard_error)}"
    )
    word, tone = _verdict(found, level)
    return (
        *first,
        Cell(ratio if known else formats.DASH, found.difference),
        Cell(formats.interval((found.low, found.high), "ratio")),
        Cell(formats.decimal(found.p_value, 3) if known else formats.DASH, found.p_value),
        Cell(word, tone=tone),
    )


def _verdict(found: SharpeDifference, level: float) -> tuple[str, Tone]:
    if not math.isfinite(found.p_value):
        return "cannot be computed", "muted"
    if not found.p_value < level:
        return "cannot be told apart", "muted"
    return ("deployed is better", "good") if found.difference > 0 else ("deployed is worse", "bad")
