"""The sections of the calibration's page."""

from collections.abc import Sequence
from typing import Final

from tidegate.calibration.charts import LINES, interval, percent, power_chart, rates_chart
from tidegate.calibration.headline import kept
from tidegate.calibration.page_production import life, prices
from tidegate.calibration.page_proof import proof
from tidegate.calibration.result import Calibration, Outcome, WorldResult
from tidegate.gates.specifications import BY_NAME
from tidegate.report import formats
from tidegate.report.sections.section import Block, Figure, Legend, Section
from tidegate.report.table import Cell, Column, Table, Tone

_LEAST_SHOWN: Final = 0.005


def sections(found: Calibration) -> tuple[Section, ...]:
    """All sections in their order."""
    return (promotions(found), power(found), refusals(found), life(found), prices(found), proof(found))


def legend(found: Calibration) -> tuple[Legend, ...]:
    """The policies' lines."""
    return tuple(
        Legend(css, name, "chosen" if name == found.policy else "")
        for css, name in zip(LINES, found.policies, strict=False)
    )


def promotions(found: Calibration) -> Section:
    """Policies side by side."""
    groups = {world.title: {one.policy: one.years for one in world.outcomes} for world in found.results}
    lead = (
        f"{found.worlds:,} simulated worlds of each kind, {formats.plural(found.years, 'year')} each. In each the truth is known, so that every promotion, refusal "
        "and rollback is right or wrong. Without skill, every promotion is wrong; with skill, a refusal is wrong when it leaves nothing, or something worse, in production."
    )
    chart = rates_chart("rates", groups, found.yearly_error)
    caption = (
        "Bars are shares of years in which at least one of twelve looks promoted, whiskers 95\N{NO-BREAK SPACE}% Wilson intervals. "
        "In the world without skill long bars are bad, in the others short ones are."
    )
    return Section(
        "promotions",
        "Promotions",
        lead,
        (
            Block(figure=Figure("Years with at least one promotion", chart, caption), half=True),
            Block(table=_truths(found), heading="The four worlds", half=True, remark=_TRUTHS),
            Block(
                table=_promotions(found), heading="All policies", remark="The chosen policy stands first in each world."
            ),
        ),
    )


_TRUTHS: Final = "Skill is set by the win rate: how often is traded, what winners win and losers lose stay as your figures say. A Sharpe ratio of 0 earns exactly its costs."


def _truths(found: Calibration) -> Table:
    columns = (Column("World", numeric=False), Column("New versions", note="true Sharpe"), Column("First champion", note="true Sharpe"), Column("Win rate"))  # fmt: skip
    rows = tuple(
        (
            Cell(world.title),
            Cell(formats.decimal(world.procedure, 1)),
            Cell("none" if world.champion is None else formats.decimal(world.champion, 1)),
            Cell(formats.percent(world.win_rate, 1)),
        )
        for world in found.results
    )
    return Table("What is true in each world", columns, rows)


def _promotions(found: Calibration) -> Table:
    columns = (
        Column("World", numeric=False),
        Column("Policy", numeric=False),
        Column("Looks that promote"),
        Column("Years with a promotion", note="95\N{NO-BREAK SPACE}% interval"),
        Column("Wrong promotions", note="a year"),
        Column("Wrong refusals", note="of 12 a year"),
        Column("Wrong rollbacks", note="a year"),
    )
    rows = []
    for world in found.results:
        for one in world.outcomes:
            is_skilled = world.procedure > 0
            rows.append(
                (
                    Cell(world.title),
                    Cell(one.policy),
                    Cell(percent(one.looks.value), one.looks.value),
                    Cell(interval(one.years), one.years.value, _tone(found, world, one)),
                    Cell(formats.DASH if is_skilled else formats.decimal(one.wrong_promotions)),
                    Cell(formats.decimal(one.wrong_refusals) if is_skilled else formats.DASH),
                    Cell(formats.decimal(one.wrong_rollbacks, 3) if is_skilled else formats.DASH),
                )
            )
    return Table("Promotions, refusals and rollbacks by world and policy", columns, tuple(rows))


def _tone(found: Calibration, world: WorldResult, one: Outcome) -> Tone:
    if world.name != "no_skill" or one.policy != found.policy:
        return ""
    return kept(one.years, found.yearly_error)


def power(found: Calibration) -> Section:
    """Promotion by true Sharpe ratio."""
    at_two = next((point for point in found.curve if point.sharpe == 2.0), None)
    lead = "How often a first model is promoted, by the true Sharpe ratio of the procedure: luck at the left, skill at the right."
    if at_two is not None:
        lead += (
            f" At a true Sharpe ratio of 2 a look of policy {found.policy} promotes with {formats.percent(at_two.look[found.policy].value, 0)}, "
            f"a year of twelve looks with {formats.percent(at_two.year[found.policy].value, 0)}."
        )
    drawn = [
        Figure(heading, power_chart(name, found.curve, found.policies, yearly=yearly), caption, legend=legend(found))
        for name, heading, yearly, caption in (
            ("power-look", "At one look", False, "Whiskers are 95\N{NO-BREAK SPACE}% intervals. Neighbouring looks share eleven months of twelve, so that twelve count as one."),
            ("power-year", "Within a year of twelve looks", True, "A line that falls again at the right is the work of the too-good gates."),
        )
    ]  # fmt: skip
    return Section("power", "Power", lead, tuple(Block(figure=figure, half=True) for figure in drawn))


def refusals(found: Calibration) -> Section:
    """Which gates refuse luck, and which refuse skill."""
    worlds = [found.world(name) for name in ("no_skill", "equal", "better")]
    chosen = [world.outcomes[0] for world in worlds]
    names = [name for name in found.modelled if any(one.failed.get(name, 0.0) >= _LEAST_SHOWN for one in chosen)]
    names.sort(key=lambda name: -chosen[1].refused.get(name, 0.0))
    hardest = max(found.modelled, key=lambda name: chosen[1].refused.get(name, 0.0))
    share = chosen[1].refused.get(hardest, 0.0)
    lead = f"What stands in the way under policy {found.policy}, as shares of looks. A gate is worth its place when it refuses luck more often than skill."
    if share >= _LEAST_SHOWN:
        lead += f" Where the challenger equals a champion of true Sharpe {worlds[1].procedure:g}, {BY_NAME[hardest].title} refuses most: {formats.percent(share, 0)} of looks."
    columns = (
        Column("Gate", numeric=False),
        Column("Kind", numeric=False),
        *(Column(world.title, note="of looks") for world in worlds),
    )
    rows = tuple(
        (
            Cell(BY_NAME[name].title),
            Cell("blocks" if any(one.refused.get(name, 0.0) > 0 for one in chosen) else "shown", tone="" if any(one.refused.get(name, 0.0) > 0 for one in chosen) else "muted"),
            *(Cell(formats.percent(one.failed[name], 1), one.failed[name], share=one.failed[name]) for one in chosen),
        )
        for name in names
    )  # fmt: skip
    remark = (
        "Shares of looks at which the gate did not pass; gates that are only shown refuse nothing. Not simulated, and taken to pass: "
        + formats.enumerate_words([BY_NAME[name].title for name in found.left_out])
        + "."
    )
    return Section(
        "refusals", "What refuses", lead, (Block(table=Table("Gates that do not pass", columns, rows), remark=remark),)
    )


def figures_facts(found: Calibration) -> Sequence[tuple[str, str]]:
    """The figures of the strategy, by name."""
    figures = found.figures
    assumed = set(figures.assumed)

    def told(value: str, *names: str) -> str:
        return f"{value}, assumed" if assumed & set(names) else value

    return (
        ("Source", figures.source),
        ("Behind them", f"{formats.plural(figures.trades, 'trade')}, {figures.days} market days" if figures.trades else "nothing measured"),
        ("Trades a market day", formats.decimal(figures.trades_per_day)),
        ("Win rate", f"{formats.percent(figures.win_rate)}; {formats.percent(figures.break_even)} earns nothing"),
        ("Profit of a winner", told(f"{formats.percent(figures.gain, 3)} of the capital, scatter {formats.percent(figures.gain_spread, 3)}", "gain_spread")),
        ("Loss of a loser", told(f"{formats.percent(figures.loss, 3)} of the capital, scatter {formats.percent(figures.loss_spread, 3)}", "loss_spread")),
        ("Payoff ratio", formats.decimal(figures.payoff)),
        ("Cost of a round trip", f"{formats.percent(figures.cost, 3)} of the capital"),
        ("Sharpe ratio that these amount to", formats.decimal(found.own_sharpe) + (f"; {formats.decimal(figures.measured_sharpe)} was measured" if figures.measured_sharpe is not None else "")),
        ("Trades a day scatter", told(f"{formats.decimal(figures.count_dispersion)} times as much as by chance", "count_dispersion")),
        ("Trades that win together", told(f"correlation {formats.decimal(figures.clustering)}", "clustering")),
        ("Champion and challenger", told(f"correlation {formats.decimal(figures.correlation)}; {formats.percent(found.shared, 0)} of trades in common", "correlation")),
        ("Trending, ranging, volatile", told(" / ".join(formats.percent(share, 0) for share in figures.regimes) + " of trades", "regimes")),
        ("Pooled test", f"{found.pool_days} market days, moved on by {found.month_days}"),
        ("Level of skill at a look", ", ".join(f"{name} {formats.percent(level)}" for name, level in found.level.items())),
    )  # fmt: skip
