"""The walk-forward folds, and the contest with the champion."""

from collections.abc import Mapping

from tidegate.backtest.metrics import BY_NAME
from tidegate.gates.result import GateResult, Verdict
from tidegate.report import formats
from tidegate.report.charts.equity import EquityPicture, Line, equity_chart
from tidegate.report.record import FoldRecord, RunRecord
from tidegate.report.sections.section import Block, Figure, Legend, Section
from tidegate.report.table import Cell, Column, Table, Tone, sign_tone

_COMPARED = (
    "sharpe",
    "total_return",
    "max_drawdown",
    "win_rate",
    "payoff_ratio",
    "profit_factor",
    "trades",
    "turnover_per_day",
    "exposure",
    "mean_cost_bps",
)
_NAN = float("nan")


def folds(record: RunRecord) -> Section:
    """Each fold's windows and result."""
    gains = sum(fold.metrics.get("total_return", _NAN) > 0 for fold in record.folds)
    lead = "No fold was trained."
    if record.folds:
        lead = (
            f"{gains} of {formats.plural(len(record.folds), 'fold')} ended with a profit. The newest fold's model is the "
            "challenger: what would be promoted is exactly what was tested. Margin is the distance from one half at which a "
            "position is entered."
        )
    columns = (
        Column("Fold"),
        Column("Training window", numeric=False),
        Column("Test window", numeric=False),
        Column("Rows"),
        Column("Rounds"),
        Column("Margin"),
        Column("Log loss"),
        Column("Trades"),
        Column("Win rate"),
        Column("Sharpe"),
        Column("Max. drawdown"),
        Column("Net return"),
    )
    rows = tuple(_fold_row(number, fold) for number, fold in enumerate(record.folds, start=1))
    table = Table("Walk-forward folds, oldest first", columns, rows)
    return Section("folds", "Walk-forward folds", lead, (Block(table=table),) if rows else ())


def _fold_row(number: int, fold: FoldRecord) -> tuple[Cell, ...]:
    metrics = fold.metrics

    def of(name: str) -> float:
        return metrics.get(name, _NAN)

    return (
        Cell(str(number), number),
        Cell(formats.span(fold.train_start_at, fold.train_end_at), fold.train_start_at),
        Cell(formats.span(fold.test_start_at, fold.test_end_at), fold.test_start_at),
        Cell(formats.count(fold.training_rows), fold.training_rows),
        Cell(formats.count(fold.rounds), fold.rounds),
        Cell(formats.decimal(fold.margin), fold.margin),
        Cell(formats.decimal(fold.log_loss, 4), fold.log_loss),
        Cell(formats.count(of("trades")), of("trades")),
        Cell(formats.percent(of("win_rate")), of("win_rate")),
        Cell(formats.decimal(of("sharpe")), of("sharpe")),
        Cell(formats.percent(of("max_drawdown")), of("max_drawdown")),
        Cell(formats.percent(of("total_return"), signed=True), of("total_return"), sign_tone(of("total_return"))),
    )


def contest(record: RunRecord) -> Section:
    """Challenger and champion on the same window."""
    held = record.contest
    gate = next((result for result in record.decision.results if result.name == "champion"), None)
    says = f" {_gate_says(gate)}" if gate else ""
    if held.champion_version is None:
        lead = "First model, no champion: there is nothing to beat yet, and all other gates apply as they are."
        return Section("champion", "Against the champion", lead)
    if held.closed_at is None or held.challenger_equity is None or held.champion_equity is None:
        because = held.reason or "no reason was given"
        lead = f"The contest with version {held.champion_version} could not be held: {because}.{says}"
        return Section("champion", "Against the champion", lead)
    ours, theirs = held.challenger_metrics, held.champion_metrics
    lead = (
        f"Sharpe ratio {formats.decimal(ours.get('sharpe'))} against {formats.decimal(theirs.get('sharpe'))} of version "
        f"{held.champion_version}, on the same bars that neither model has seen.{says}"
    )
    picture = EquityPicture(
        name="contest",
        title="Equity of challenger and champion on the same window",
        description=lead,
        closed_at=held.closed_at,
        lines=(
            Line("Challenger", "main", held.challenger_equity),
            Line("Champion", "rival", held.champion_equity),
        ),
        capital=record.pooled.capital,
    )
    legend = (
        Legend("main", "Challenger", formats.percent(ours.get("total_return"), signed=True)),
        Legend(
            "rival",
            f"Champion, version {held.champion_version}",
            formats.percent(theirs.get("total_return"), signed=True),
        ),
    )
    caption = held.reason[:1].upper() + held.reason[1:]
    figure = Figure("Equity on the same window", equity_chart(picture), caption, "The window has no bars.", legend)
    return Section(
        "champion", "Against the champion", lead, (Block(figure=figure), Block(table=_side_by_side(ours, theirs)))
    )


def _gate_says(gate: GateResult) -> str:
    verdict = {Verdict.PASS: "passes", Verdict.FAIL: "fails"}.get(gate.verdict, "has too little evidence")
    if not formats.known(gate.observed):
        return f"The gate {verdict}: {gate.reason}."
    observed = formats.quantity(gate.observed, gate.unit)
    return f"The gate {verdict}: the improvement is {observed}, {formats.bound_in_words(gate)} is required."


def _side_by_side(ours: Mapping[str, float], theirs: Mapping[str, float]) -> Table:
    rows = []
    for name in _COMPARED:
        metric = BY_NAME[name]
        left, right = ours.get(name, _NAN), theirs.get(name, _NAN)
        gap = left - right if formats.known(left) and formats.known(right) else _NAN
        better: Tone = ""
        if metric.higher_is_better is not None:
            better = sign_tone(gap if metric.higher_is_better else -gap)
        word = {"good": "better", "bad": "worse"}.get(better, "")
        shown = formats.decimal(gap, 0 if metric.unit == "count" else 2, signed=True)
        if metric.unit == "fraction":
            shown = formats.points(gap, signed=True)
        rows.append(
            (
                Cell(metric.title),
                Cell(formats.quantity(left, metric.unit), left),
                Cell(formats.quantity(right, metric.unit), right),
                Cell(shown, gap),
                Cell(word or formats.DASH, tone=better or "muted"),
            )
        )
    columns = (
        Column("Metric", numeric=False),
        Column("Challenger"),
        Column("Champion"),
        Column("Difference"),
        Column("Challenger is", numeric=False),
    )
    return Table("Challenger and champion side by side", columns, tuple(rows))
