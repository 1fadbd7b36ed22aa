"""Versions in production and shadow challengers beside them, and what was earned in each market regime."""

from collections.abc import Mapping

from tidegate.monitoring.page.record import MonitorRecord
from tidegate.monitoring.result import VersionFigures
from tidegate.report import formats
from tidegate.report.sections.section import Block, Section
from tidegate.report.table import Cell, Column, Table, shares, sign_tone

_NAN = float("nan")
_COLUMNS = (
    Column("Version", numeric=False),
    Column("Role", numeric=False),
    Column("Answered", numeric=False),
    Column("Answers"),
    Column("Abstained"),
    Column("Trades"),
    Column("Win rate"),
    Column("95 % interval"),
    Column("Sharpe", note="annual"),
    Column("Drawdown"),
    Column("Net return"),
    Column("Calibration error"),
)


def versions(record: MonitorRecord) -> Section:
    """Every version that answered within the window, newest first, production before shadow."""
    live = record.live
    every = () if live is None else (*reversed(live.production), *reversed(live.shadow))
    if live is None or not every:
        return Section("versions", "Versions and shadow", "No version answered within the window.")
    table = Table("Figures of each version within the window", _COLUMNS, tuple(_row(each, record) for each in every))
    return Section(
        "versions", "Versions and shadow", _lead(live.production, live.shadow), (Block(table=table, remark=_REMARK),)
    )


_REMARK = (
    "A shadow answers beside production and nobody trades on it: its figures are what the position policy would have made of its "
    "probabilities. Each version is judged on the bars that it answered, so compare only those that answered on the same days."
)


def _lead(production: tuple[VersionFigures, ...], shadow: tuple[VersionFigures, ...]) -> str:
    names = [f"v{each.version}" for each in production]
    first = (
        f"{formats.enumerate_words(names)} answered in production." if names else "No version answered in production."
    )
    if not shadow:
        return f"{first} No challenger ran in shadow."
    newest = shadow[-1]
    rate = newest.metrics.get("win_rate", _NAN)
    beside = f"challenger v{newest.version} would have won {formats.percent(rate, 1)} of {formats.plural(len(newest.trade_won), 'trade')}"
    if not production:
        return f"{first} In shadow, {beside}."
    own = production[-1]
    return f"{first} In shadow, {beside}; v{own.version} won {formats.percent(own.metrics.get('win_rate', _NAN), 1)} of {formats.plural(len(own.trade_won), 'trade')}."  # fmt: skip


def _row(each: VersionFigures, record: MonitorRecord) -> tuple[Cell, ...]:
    metrics = each.metrics

    def of(name: str) -> float:
        return metrics.get(name, _NAN)

    now = " (now)" if each.version == record.now and each.role == "production" else ""
    total, abstained = of("total_return"), sum(each.abstentions.values())
    ends = (of("win_rate_low"), of("win_rate_high"))
    return (
        Cell(f"v{each.version}{now}", each.version),
        Cell(each.role),
        Cell(formats.span(each.first_bar_at, each.last_bar_at)),
        Cell(formats.count(each.predictions), each.predictions),
        Cell(formats.count(abstained), abstained),
        Cell(formats.count(len(each.trade_won)), len(each.trade_won)),
        Cell(formats.percent(of("win_rate")), of("win_rate")),
        Cell(formats.interval(ends, "fraction", unknown=formats.NOT_MEASURED)),
        Cell(formats.decimal(of("sharpe")), of("sharpe")),
        Cell(formats.percent(of("max_drawdown")), of("max_drawdown")),
        Cell(formats.percent(total, signed=True), total, sign_tone(total)),
        Cell(formats.percent(each.calibration.error), each.calibration.error),
    )


def regimes(record: MonitorRecord) -> Section:
    """What the version in production earned in each regime, as its own manifest defines them."""
    found = {} if record.own is None else record.own.regimes
    if not found:
        return Section(
            "regimes",
            "Market regimes",
            "Not measured: the version in production has no figures by regime within the window.",
        )
    losing = [name for name, row in found.items() if row.get("net_return", _NAN) < 0]
    lead = (
        f"Version {record.version} lost money in {formats.enumerate_words(losing)} markets."
        if losing
        else "No regime lost money."
    )
    if not any(row.get("trades", 0) for row in found.values()):
        lead = "No trade was closed in any regime."
    columns = (
        Column("Regime", numeric=False),
        Column("Share of bars"),
        Column("Trades"),
        Column("Win rate"),
        Column("Profit factor"),
        Column("Sharpe", note="annual"),
        Column("Net return", note="over the capital"),
    )
    bars = shares([row.get("net_return") for row in found.values()])
    rows = tuple(_regime(name, row, bar) for (name, row), bar in zip(found.items(), bars, strict=True))
    return Section(
        "regimes", "Market regimes", lead, (Block(table=Table("Live results by market regime", columns, rows)),)
    )


def _regime(name: str, row: Mapping[str, float], bar: float | None) -> tuple[Cell, ...]:
    def of(key: str) -> float:
        return row.get(key, _NAN)

    share = of("share_of_bars")
    return (
        Cell(name.capitalize()),
        Cell(formats.percent(share, 1), share, share=share if formats.known(share) else None),
        Cell(formats.count(of("trades")), of("trades")),
        Cell(formats.percent(of("win_rate")), of("win_rate")),
        Cell(formats.decimal(of("profit_factor")), of("profit_factor")),
        Cell(formats.decimal(of("sharpe")), of("sharpe")),
        Cell(formats.percent(of("net_return"), signed=True), of("net_return"), sign_tone(of("net_return")), bar),
    )
