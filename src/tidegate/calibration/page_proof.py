"""The page's section about the simulation itself: closed forms, and worlds that went through the full statistics."""

from tidegate.calibration.charts import interval, percent
from tidegate.calibration.result import Calibration, ClosedForm
from tidegate.calibration.verdicts import SKILL
from tidegate.gates.specifications import BY_NAME
from tidegate.report import formats
from tidegate.report.sections.section import Block, Section
from tidegate.report.table import Cell, Column, Table


def proof(found: Calibration) -> Section:
    """Closed forms and the full statistics beside the simulation."""
    lead = "Two checks of the simulation itself: probabilities that can be computed, and worlds that went through the full statistics one by one."
    lead += _skewed(found)
    columns = (
        Column("What", numeric=False),
        Column("How it is computed", numeric=False),
        Column("Computed"),
        Column("Simulated", note="95\N{NO-BREAK SPACE}% interval"),
    )
    rows = tuple(
        (
            Cell(one.what),
            Cell(one.formula),
            Cell(formats.percent(one.computed)),
            Cell(interval(one.simulated, 2), tone="" if _agrees(one) else "warn"),
        )
        for one in found.closed
    )
    blocks = [
        Block(
            table=Table("Closed forms", columns, rows),
            heading="Closed forms",
            remark="The closed forms take returns as normal and their spread as known; profits and losses here are skewed, and the spread is estimated. Twelve "
            "neighbouring looks count as one in the intervals.",
        )
    ]
    if found.agreements:
        blocks.append(Block(table=_agreements(found), heading=f"{found.agreements[0].n} worlds by the full statistics"))
    return Section("proof", "Can this be trusted", lead, tuple(blocks))


def _skewed(found: Calibration) -> str:
    """A warning where the test of skill lets luck pass more often than its level says."""
    one = found.closed[0]
    if one.simulated.low <= one.computed:
        return ""
    return (
        f" The gate {BY_NAME[SKILL].title} lets luck pass at {percent(one.simulated.value, 2)} of looks where its level is {percent(one.computed, 2)}: "
        "profits of this kind are skewed, and the standard error comes out too small just when luck was good. What counts is the share of years above."
    )


def _agreements(found: Calibration) -> Table:
    columns = (
        Column("Verdict", numeric=False),
        Column("Agree"),
        Column("Largest difference"),
        Column("Compared", numeric=False),
    )
    rows = tuple(
        (
            Cell(one.what),
            Cell(f"{one.agree} of {one.n}", one.agree, "" if one.agree == one.n else "warn"),
            Cell(formats.tiny(one.largest_difference), one.largest_difference),
            Cell(one.note),
        )
        for one in found.agreements
    )
    return Table("Verdicts by the full statistics", columns, rows)


def _agrees(one: ClosedForm) -> bool:
    return one.simulated.low <= one.computed <= one.simulated.high
