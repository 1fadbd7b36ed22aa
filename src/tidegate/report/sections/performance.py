"""Equity against buy and hold, and the drawdown."""

from itertools import pairwise

import numpy as np

from tidegate.backtest.result import Backtest
from tidegate.bars.bars import Floats
from tidegate.bars.interval import DAY_MS
from tidegate.report import formats
from tidegate.report.charts.equity import EquityPicture, Line, equity_chart
from tidegate.report.record import RunRecord
from tidegate.report.sections.section import Block, Figure, Legend, Section


def performance(record: RunRecord) -> Section:
    """The pooled out-of-sample series as a picture."""
    pooled, metrics = record.pooled, record.metrics
    total, held = metrics.get("total_return"), metrics.get("buy_and_hold_return")
    falls = drawdown(pooled)
    lead = "There were no out-of-sample bars, so there is no equity to show."
    if len(pooled):
        days = (int(pooled.closed_at[-1]) - int(pooled.opened_at[0])) / DAY_MS
        lead = (
            f"Net return {formats.percent(total, signed=True)} over {formats.decimal(days, 0)} days against "
            f"{formats.percent(held, signed=True)} for buy and hold without costs. {_deepest(pooled, falls)}"
        )
    picture = EquityPicture(
        name="equity",
        title="Equity of the strategy and of buy and hold, and the strategy's drawdown",
        description=lead,
        closed_at=pooled.closed_at,
        lines=(Line("Strategy", "main", pooled.equity), Line("Buy and hold", "market", buy_and_hold(pooled))),
        capital=pooled.capital,
        drawdown=falls,
        limit=_limit(record),
        folds=[fold.test_start_at for fold in record.folds],
    )
    legend = (
        Legend("main", "Strategy, net of costs", formats.percent(total, signed=True)),
        Legend("market", "Buy and hold", formats.percent(held, signed=True)),
    )
    capital = f"{formats.decimal(pooled.capital, 0)}{formats.NBSP}{quote_currency(record)}".strip()
    caption = (
        f"Every trade uses the same capital ({capital}); profits are not reinvested, so equal distances are equal profits. "
        "Vertical lines: a new fold begins, with a model trained on the days before it."
    )
    figure = Figure("", equity_chart(picture), caption, "No bars were tested.", legend)
    return Section("equity", "Equity and drawdown", lead, (Block(figure=figure),))


def buy_and_hold(backtest: Backtest) -> Floats:
    """(n,) the capital held in the market, without costs."""
    held: Floats = np.cumprod(1.0 + backtest.market_return).astype(np.float64) * backtest.capital
    return held


def drawdown(backtest: Backtest) -> Floats:
    """(n,) fraction by which each bar's worst moment lies under the highest earlier close, as the drawdown gate counts it."""
    peak = np.maximum.accumulate(np.concatenate(([backtest.capital], backtest.equity)))[:-1]
    falls: Floats = np.maximum((peak - backtest.equity_low) / peak, 0.0)
    return falls


def pointer_rows(record: RunRecord, wanted: int = 400) -> list[list[float]]:
    """What the chart's pointer shows: about `wanted` rows of time, equity, buy and hold, and the worst drawdown since the row before."""
    pooled = record.pooled
    if len(pooled) == 0:
        return []
    held, falls = buy_and_hold(pooled), drawdown(pooled)
    edges = np.unique(np.linspace(0, len(pooled), min(wanted, len(pooled)) + 1).astype(np.intp))
    rows = []
    for start, end in pairwise(edges.tolist()):
        values = (pooled.equity[end - 1], held[end - 1], np.max(falls[start:end]))
        if np.isfinite(values).all():
            rows.append(
                [
                    int(pooled.closed_at[end - 1]),
                    *(round(float(value), 2) for value in values[:2]),
                    round(float(values[2]), 5),
                ]
            )
    return rows


def quote_currency(record: RunRecord) -> str:
    """The one currency that all symbols are quoted in, or nothing."""
    quotes = {symbol.rsplit("/", 1)[1] for symbol in record.strategy.symbols if "/" in symbol}
    return quotes.pop() if len(quotes) == 1 and all("/" in symbol for symbol in record.strategy.symbols) else ""


def _deepest(pooled: Backtest, falls: Floats) -> str:
    if not np.isfinite(falls).any() or np.nanmax(falls) <= 0:
        return "Equity never fell below a peak."
    row = int(np.nanargmax(falls))
    return f"Deepest fall {formats.percent(float(falls[row]))}, on {formats.moment(int(pooled.closed_at[row]))}."


def _limit(record: RunRecord) -> float | None:
    return next((result.threshold for result in record.decision.results if result.name == "max_drawdown"), None)
