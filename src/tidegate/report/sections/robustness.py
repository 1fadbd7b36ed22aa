"""Whether the result survives other markets, dearer trading and chance."""

from collections.abc import Mapping

import numpy as np
from markupsafe import Markup

from tidegate.bars.bars import Floats
from tidegate.report import formats
from tidegate.report.charts.histogram import HistogramPicture, Mark, histogram_chart
from tidegate.report.record import RunRecord
from tidegate.report.sections.section import Block, Figure, Section
from tidegate.report.table import Cell, Column, Table, shares, sign_tone

_NAN = float("nan")


def regimes(record: RunRecord) -> Section:
    """What was earned in each regime."""
    found = record.regimes
    losing = [name for name, row in found.items() if row.get("net_return", _NAN) < 0]
    lead = "Regimes were defined on training bars, before any result was seen. "
    if not any(row.get("trades", 0) for row in found.values()):
        lead += "Nothing was traded in any of them."
    elif losing:
        lead += f"Money was lost in {formats.enumerate_words(losing)} markets."
    else:
        lead += "No regime lost money."
    columns = (
        Column("Regime", numeric=False),
        Column("Share of bars"),
        Column("Trades"),
        Column("Win rate"),
        Column("Profit factor"),
        Column("Mean net return", note="a trade"),
        Column("Sharpe", note="annual"),
        Column("Net return", note="over the capital"),
    )
    bars = shares([row.get("net_return") for row in found.values()])
    rows = tuple(_regime_row(name, row, bar) for (name, row), bar in zip(found.items(), bars, strict=True))
    table = Table("Results by market regime", columns, rows)
    return Section("regimes", "Market regimes", lead, (Block(table=table),) if rows else ())


def _regime_row(name: str, row: Mapping[str, float], bar: float | None) -> tuple[Cell, ...]:
    def of(key: str) -> float:
        return row.get(key, _NAN)

    share = of("share_of_bars")
    return (
        Cell(name.capitalize()),
        Cell(formats.percent(share, 1), share, share=share if formats.known(share) else None),
        Cell(formats.count(of("trades")), of("trades")),
        Cell(formats.percent(of("win_rate")), of("win_rate")),
        Cell(formats.decimal(of("profit_factor")), of("profit_factor")),
        Cell(formats.percent(of("mean_net_return"), 3, signed=True), of("mean_net_return")),
        Cell(formats.decimal(of("sharpe")), of("sharpe")),
        Cell(formats.percent(of("net_return"), signed=True), of("net_return"), sign_tone(of("net_return")), bar),
    )


def costs(record: RunRecord) -> Section:
    """What trading cost, what is left when it gets dearer, and what random entries would have earned."""
    metrics, costs_file = record.metrics, record.strategy.costs
    mean, even = metrics.get("mean_cost_bps", _NAN), metrics.get("break_even_cost_multiple", _NAN)
    lead = "No costs were paid, since nothing was traded."
    if formats.known(mean):
        lead = (
            f"Trading cost {formats.quantity(mean, 'bps')} a side on average, "
            f"{formats.percent(metrics.get('total_cost'))} of the capital in all. {_break_even(even)}"
        )
    parts = (
        f"Assumed a side: fee {formats.quantity(costs_file.fee_bps, 'bps')}, half spread "
        f"{formats.quantity(costs_file.half_spread_bps, 'bps')}, slippage {formats.quantity(costs_file.slippage_bps, 'bps')}, "
        f"impact coefficient {formats.decimal(costs_file.impact_coefficient)}."
    )
    stress = Block(table=_stress(record), heading="Cost stress", remark=parts, half=True)
    return Section("costs", "Costs and chance", lead, (stress, Block(figure=_random(record), half=True)))


def _break_even(even: float) -> str:
    if not formats.known(even):
        return "At which costs nothing would be left could not be measured."
    if even < 0:
        return "The trades lose even without any costs."
    if even < 1:
        return f"The trades break even only at {formats.multiple(even)} these costs, less than what was paid."
    return f"The profit would be gone at {formats.multiple(even)} these costs."


def _stress(record: RunRecord) -> Table:
    items = sorted(record.stress.items())
    bars = shares([row.get("total_return") for _, row in items])
    rows = []
    for (times, row), bar in zip(items, bars, strict=True):
        total, sharpe = row.get("total_return", _NAN), row.get("sharpe", _NAN)
        rows.append(
            (
                Cell(formats.multiple(times), times),
                Cell(formats.decimal(sharpe), sharpe),
                Cell(formats.percent(total, signed=True), total, sign_tone(total), bar),
            )
        )
    even = record.metrics.get("break_even_cost_multiple", _NAN)
    if formats.known(even):
        rows.append((Cell("Break-even"), Cell(formats.DASH), Cell(f"at {formats.multiple(even)}", even)))
    columns = (Column("Costs", numeric=False), Column("Sharpe"), Column("Net return"))
    return Table("The same trades at multiples of the costs", columns, tuple(rows))


def _random(record: RunRecord) -> Figure:
    base, heading = record.random_baseline, "Against random entries"
    if base is None:
        return Figure(heading, Markup(""), missing="Not measured.")
    usable = int(np.isfinite(base.sharpe).sum())
    if usable == 0:
        return Figure(heading, Markup(""), missing="There are no trades to scatter at random.")
    sharpe = record.metrics.get("sharpe", _NAN)
    said = (
        f"The strategy's Sharpe ratio beats {formats.percent(base.sharpe_percentile, 1)} and its net return "
        f"{formats.percent(base.total_return_percentile, 1)} of {formats.count(usable)} random traders with the same number of "
        "trades, sides, holding times and costs."
    )
    picture = _random_picture(base.sharpe, sharpe, said)
    return Figure(heading, histogram_chart(picture), said)


def _random_picture(draws: Floats, sharpe: float, said: str) -> HistogramPicture:
    return HistogramPicture(
        name="random",
        title="Sharpe ratios of random entries, and the strategy's",
        description=said,
        values=draws,
        axis="Annual Sharpe ratio, net of costs",
        show=lambda value: formats.decimal(value, 1),
        marks=(Mark(sharpe, f"strategy {formats.decimal(sharpe)}"),),
    )
