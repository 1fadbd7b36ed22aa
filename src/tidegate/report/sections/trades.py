"""The trades: their distribution, sides, holding times, and the best and worst of them."""

import numpy as np
from numpy.typing import NDArray

from tidegate.backtest.ratios import profit_factor, win_rate
from tidegate.backtest.regimes import REGIMES
from tidegate.backtest.result import Trades
from tidegate.report import formats
from tidegate.report.charts.histogram import HistogramPicture, Mark, histogram_chart
from tidegate.report.record import RunRecord
from tidegate.report.sections.section import Block, Figure, Section
from tidegate.report.table import Cell, Column, Table, sign_tone

_SHOWN = 10


def trades(record: RunRecord) -> Section:
    """What the trades were like."""
    found = record.pooled.trades
    if len(found) == 0:
        lead = "The model never traded out of sample. That is no loss, and no evidence either: gates that need trades refuse."
        return Section("trades", "Trades", lead)
    wins, forced = int(np.sum(found.net_pnl > 0)), int(found.forced_exit.sum())
    mean = float(found.net_return.mean())
    lead = (
        f"{formats.plural(len(found), 'trade')}, {formats.count(wins)} with a profit ({formats.percent(wins / len(found))}), "
        f"{formats.percent(mean, 3, signed=True)} net on average. {_forced(forced)}"
    )
    order = np.argsort(found.net_return, kind="stable")
    blocks = (
        Block(figure=_returns(found), half=True),
        Block(figure=_holding(found), half=True),
        Block(table=_sides(found), heading="By side"),
        Block(table=_list(found, order[::-1][:_SHOWN], "Best trades by net return"), heading="Best trades"),
        Block(
            table=_list(found, order[:_SHOWN], "Worst trades by net return"),
            heading="Worst trades",
            remark="* closed by the end of its window." if forced else "",
        ),
    )
    return Section("trades", "Trades", lead, blocks)


def _forced(number: int) -> str:
    if number == 0:
        return "None was closed by the end of its window."
    verb = "was" if number == 1 else "were"
    return f"{formats.plural(number, 'trade')} {verb} closed by the end of a window and count like any other."


def _returns(found: Trades) -> Figure:
    mean, middle = float(found.net_return.mean()), float(np.median(found.net_return))
    description = (
        f"{formats.plural(len(found), 'trade')}, mean {formats.percent(mean, 3)}, median {formats.percent(middle, 3)}"
    )
    reach = float(np.ptp(found.net_return))
    places = 1 if reach >= 0.01 else 2
    picture = HistogramPicture(
        name="trade-returns",
        title="Distribution of net returns per trade",
        description=description,
        values=found.net_return,
        axis="Net return of a trade",
        show=lambda value: formats.percent(value, places),
        marks=(Mark(mean, f"mean {formats.percent(mean, 3, signed=True)}"),),
        split=True,
    )
    return Figure("Net return per trade", histogram_chart(picture), f"{description}, after all costs.")


def _holding(found: Trades) -> Figure:
    mean = float(found.bars_held.mean())
    description = f"Mean {formats.decimal(mean, 1)} bars, longest {formats.count(float(found.bars_held.max()))}"
    picture = HistogramPicture(
        name="holding",
        title="Distribution of holding times",
        description=description,
        values=found.bars_held.astype(np.float64),
        axis="Bars held",
        show=formats.count,
        marks=(Mark(mean, f"mean {formats.decimal(mean, 1)} bars"),),
        whole=True,
    )
    return Figure("Holding time", histogram_chart(picture), f"{description}.")


def _sides(found: Trades) -> Table:
    groups = (("Long", found.side == 1), ("Short", found.side == -1), ("All", np.ones(len(found), np.bool_)))
    columns = (
        Column("Side", numeric=False),
        Column("Trades"),
        Column("Share"),
        Column("Win rate"),
        Column("Mean net return"),
        Column("Mean holding", note="bars"),
        Column("Profit factor"),
        Column("Net profit"),
    )
    return Table("Trades by side", columns, tuple(_side_row(name, found, chosen) for name, chosen in groups))


def _side_row(name: str, found: Trades, chosen: NDArray[np.bool_]) -> tuple[Cell, ...]:
    part = found.take(chosen)
    some = len(part) > 0
    mean = float(part.net_return.mean()) if some else None
    held = float(part.bars_held.mean()) if some else None
    rate, factor, profit = win_rate(part.net_pnl), profit_factor(part.net_pnl), float(part.net_pnl.sum())
    return (
        Cell(name),
        Cell(formats.count(len(part)), len(part)),
        Cell(formats.percent(len(part) / len(found), 1), len(part)),
        Cell(formats.percent(rate), rate),
        Cell(formats.percent(mean, 3, signed=True), mean, sign_tone(mean)),
        Cell(formats.decimal(held, 1), held),
        Cell(formats.decimal(factor), factor),
        Cell(formats.decimal(profit, signed=True), profit, sign_tone(profit)),
    )


def _list(found: Trades, rows: NDArray[np.intp], caption: str) -> Table:
    columns = (
        Column("Entry, UTC", numeric=False),
        Column("Exit, UTC", numeric=False),
        Column("Symbol", numeric=False),
        Column("Side", numeric=False),
        Column("Regime", numeric=False),
        Column("Bars"),
        Column("Entry price"),
        Column("Exit price"),
        Column("Cost"),
        Column("Net profit"),
        Column("Net return"),
    )
    return Table(caption, columns, tuple(_trade_row(found, row) for row in rows.tolist()))


def _trade_row(found: Trades, row: int) -> tuple[Cell, ...]:
    regime = int(found.regime[row])
    name = REGIMES[regime] if 0 <= regime < len(REGIMES) else "unknown"
    gain, profit = float(found.net_return[row]), float(found.net_pnl[row])
    end = "*" if found.forced_exit[row] else ""
    return (
        Cell(_minute(int(found.entry_at[row])), int(found.entry_at[row])),
        Cell(_minute(int(found.exit_at[row])) + end, int(found.exit_at[row])),
        Cell(str(found.symbol[row])),
        Cell("long" if found.side[row] > 0 else "short"),
        Cell(name),
        Cell(formats.count(int(found.bars_held[row])), int(found.bars_held[row])),
        Cell(formats.price(float(found.entry_price[row])), float(found.entry_price[row])),
        Cell(formats.price(float(found.exit_price[row])), float(found.exit_price[row])),
        Cell(formats.decimal(float(found.cost[row])), float(found.cost[row])),
        Cell(formats.decimal(profit, signed=True), profit, sign_tone(profit)),
        Cell(formats.percent(gain, signed=True), gain, sign_tone(gain)),
    )


def _minute(time_ms: int) -> str:
    return formats.moment(time_ms).removesuffix(" UTC")
