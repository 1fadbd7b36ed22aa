"""The page's sections about production: what is there, how it leaves, and what mistakes cost."""

from typing import Final

from tidegate.calibration.charts import earned_chart
from tidegate.calibration.result import Calibration
from tidegate.report import formats
from tidegate.report.sections.section import Block, Figure, Section
from tidegate.report.table import Cell, Column, Table

_HOW: Final = {
    "replaced": "replaced by a newer version",
    "expired": "expired without a successor",
    "rolled back": "rolled back",
    "there still": "still there at the end",
}


def life(found: Calibration) -> Section:
    """What is in production, for how long, and how it leaves."""
    equal, lost = found.world("equal"), found.world("lost")
    gone = lost.outcomes[0]
    there = equal.outcomes[0].days["first"] + equal.outcomes[0].days["later"]
    lead = (
        f"Under policy {found.policy} a strategy with a true Sharpe ratio of {equal.procedure:g} has a version in production on {formats.percent(there, 0)} of days. "
        f"A version with skill is rolled back {formats.decimal(equal.outcomes[0].wrong_rollbacks, 3)} times a year."
    )
    noticed = (
        f" When the champion's skill ends, the sequential test rolls back {formats.percent(gone.noticed, 1)} of champions before they expire or are replaced"
        + (f", half of those within {gone.until_noticed:.0f} days" if gone.noticed > 0 else "")
        + f"; versions without skill then are in production on {gone.unskilled_days:.0f} days a year."
    )
    shown = [
        Block(
            figure=Figure(
                f"{world.title}: what a year earned",
                earned_chart(f"earned-{world.name}", f"{world.title}: net return of a year", one.earned),
                f"Policy {found.policy}. Mean {formats.percent(one.earned.mean, 1)} of the capital, one year in twenty below {formats.percent(one.earned.q05, 1)}. "
                f"Years with nothing in production at all are not drawn: {formats.percent(one.earned.idle, 1)}.",
                "Nothing was in production in nearly all years.",
            ),
            half=True,
        )
        for world, one in ((world, world.outcomes[0]) for world in found.results)
    ]
    return Section("production", "In production", lead + noticed, (Block(table=_endurance(found), heading="The sequential test by itself", remark=_ALONE), Block(table=_days(found), heading="Where days went"), *shown, Block(table=_left(found), heading=f"How versions left, policy {found.policy}", remark=_COUNTED)))  # fmt: skip


_ALONE: Final = (
    "One version trades on without expiry, successors or looks. With a retraining each month it has a month or two before it expires or is replaced, so that the "
    "test rarely gets to speak: a version without skill mostly leaves because its successors are refused."
)


_COUNTED: Final = (
    "Days are counted from the first look on; the champion of the start had been in production for a month by then."
)


def _endurance(found: Calibration) -> Table:
    columns = (
        Column("Version", numeric=False),
        Column("True Sharpe in production"),
        Column("Alarms", note="a watched year"),
        Column("Half have alarmed", note="days"),
        *(Column(f"Within {days} days") for days in found.endurance[0].within),
    )
    rows = tuple(
        (
            Cell("healthy" if one.truth > 0 else "without skill"),
            Cell(formats.decimal(one.truth, 1)),
            Cell(formats.decimal(one.alarms_a_year, 3), tone="bad" if one.truth > 0 and one.alarms_a_year > one.allowed else ""),
            Cell(f"{one.median_days:,.0f}" if formats.known(one.median_days) else "not within the years"),
            *(Cell(formats.percent(share, 1), share) for share in one.within.values()),
        )
        for one in found.endurance
    )  # fmt: skip
    return Table("Alarms of the sequential test on one version", columns, rows)


def _days(found: Calibration) -> Table:
    columns = (
        Column("World", numeric=False),
        Column("Policy", numeric=False),
        Column("First champion", note="of days"),
        Column("Later version", note="of days"),
        Column("Nothing, after a rollback", note="of days"),
        Column("Nothing, for want of a promotion", note="of days"),
        Column("Without skill in production", note="days a year"),
        Column("Earned a year", note="mean"),
    )
    rows = tuple(
        (
            Cell(world.title),
            Cell(one.policy),
            *(
                Cell(formats.percent(one.days[name], 1), one.days[name])
                for name in ("first", "later", "after_rollback", "after_refusal")
            ),
            Cell(formats.decimal(one.unskilled_days, 1)),
            Cell(formats.percent(one.earned.mean, 1), one.earned.mean),
        )
        for world in found.results
        for one in world.outcomes
    )
    return Table("Days in production by world and policy", columns, rows)


def _left(found: Calibration) -> Table:
    columns = (
        Column("World", numeric=False),
        Column("How", numeric=False),
        Column("Versions", note="a year"),
        Column("Days in production", note="mean"),
        Column("Days in production", note="median"),
        Column("Earned until then", note="mean, of the capital"),
    )
    rows = tuple(
        (
            Cell(world.title),
            Cell(_HOW[left.how]),
            Cell(formats.decimal(left.number_a_year, 3)),
            Cell(formats.decimal(left.mean_days, 0)),
            Cell(formats.decimal(left.median_days, 0)),
            Cell(formats.percent(left.earned, 2, signed=True)),
        )
        for world in found.results
        for left in world.outcomes[0].left
        if left.number_a_year > 0
    )
    return Table("How versions left production", columns, rows)


def prices(found: Calibration) -> Section:
    """What mistakes cost."""
    columns = (
        Column("World", numeric=False),
        Column("Policy", numeric=False),
        Column("Wrong promotions", note="expected"),
        Column("The same without any edge", note="costs are paid"),
        Column("One wrong version", note="mean and worst twentieth"),
        Column("Wrong refusals", note="forgone"),
        Column("Wrong rollbacks", note="forgone"),
        Column("At best", note="true return"),
    )
    rows = []
    for world in found.results:
        for one in world.outcomes:
            price = one.price
            is_skilled = world.procedure > 0
            single = (
                f"{formats.percent(price.promotion_mean, 1, signed=True)}, {formats.percent(price.promotion_q05, 1)}"
                if formats.known(price.promotion_mean)
                else formats.DASH
            )
            rows.append(
                (
                    Cell(world.title),
                    Cell(one.policy),
                    Cell(formats.DASH if is_skilled else formats.percent(price.promotion)),
                    Cell(formats.DASH if is_skilled else formats.percent(price.promotion_without_edge)),
                    Cell(single),
                    Cell(formats.percent(price.refusal, 1) if is_skilled else formats.DASH, price.refusal),
                    Cell(formats.percent(price.rollback, 2) if is_skilled else formats.DASH, price.rollback),
                    Cell(formats.percent(world.best, 1), world.best),
                )
            )
    lead = (
        "In percent of the capital a year. A mistake costs the difference between the true mean return of what should have been in production and of what was there, "
        "day by day, until it is mended."
    )
    remark = (
        "Wrong promotions: days of versions without skill, times what they lose on average; at a true Sharpe ratio of 0 that is nothing, and the risk is borne for "
        "nothing. The column beside it counts the same days of a model without any edge before costs, which loses its costs. One wrong version: what it earned until "
        "it left, which is luck around its true mean. Wrong refusals: days on which nothing, or something worse, was in production, unless a rollback was the cause. "
        "Wrong rollbacks: days without a version after one with skill was gone back from, until the next promotion."
    )
    return Section("prices", "What mistakes cost", lead, (Block(table=Table("Prices of mistakes", columns, tuple(rows)), remark=remark),))  # fmt: skip
