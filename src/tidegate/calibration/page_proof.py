"""The page's section about the simulation itself: closed forms, and worlds that went through the full statistics."""

from tidegate.calibration.result import Calibration, Share
from tidegate.report import formats
from tidegate.report.sections.section import Block, Section
from tidegate.report.table import Cell, Column, Table


def proof(found: Calibration) -> Section:
    """Closed forms and the full statistics beside the simulation."""
    lead = "Two checks of the simulation itself: probabilities that can be computed, and worlds that went through the full statistics one by one."
    columns = (
        Column("What", numeric=False),
        Column("How it is computed", numeric=False),
        Column("Computed"),
        Column("Simulated", note="95 % interval"),
    )
    rows = tuple(
        (Cell(one.what), Cell(one.formula), Cell(formats.percent(one.computed)), Cell(_share(one.simulated)))
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


def _share(share: Share) -> str:
    return f"{formats.percent(share.value)} ({formats.percent(share.low)} to {formats.percent(share.high)})"
