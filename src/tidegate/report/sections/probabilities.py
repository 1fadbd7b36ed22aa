"""The model's probabilities and what it looks at."""

import numpy as np

from tidegate.report import formats
from tidegate.report.charts.calibration import LEAST_COUNT, calibration_chart
from tidegate.report.record import RunRecord
from tidegate.report.sections.section import Block, Figure, Legend, Section
from tidegate.report.table import Cell, Column, Table, shares

_SHOWN = 20


def probabilities(record: RunRecord) -> Section:
    """Calibration, where probabilities lie, and feature importance."""
    curve = record.calibration
    usable = np.isfinite(curve.forecast) & np.isfinite(curve.observed) & (curve.count > 0)
    lead = "No out-of-sample forecast has a known outcome, so calibration could not be measured."
    if usable.any():
        weights = curve.count[usable] / curve.count[usable].sum()
        error = float(np.sum(weights * np.abs(curve.observed[usable] - curve.forecast[usable])))
        lead = (
            f"Forecasts miss the share that came true by {formats.points(error)} on average over "
            f"{formats.count(float(curve.count[usable].sum()))} forecasts."
        )
    policy = record.manifest.policy
    entered = [
        f"long from {formats.percent(policy.long_at)}" if policy.long_at <= 1 else "",
        f"short up to {formats.percent(policy.short_at)}" if policy.short_at >= 0 else "",
    ]
    lead += (
        f" Positions are entered {formats.enumerate_words([word for word in entered if word])}." if any(entered) else ""
    )
    markup = calibration_chart(curve.forecast, curve.observed, curve.count)
    caption = (
        "Out of sample. Lines: 95 % Wilson intervals as if forecasts were independent, so true ones are wider. "
        f"Bins with fewer than {LEAST_COUNT} forecasts are counted below but not drawn; pp: percentage points."
    )
    legend = (Legend("main", "Share that came true", ""), Legend("ideal", "Perfectly calibrated", ""))
    figure = Figure("Calibration", markup, caption, "Not measured.", legend)
    spread = Block(table=_quantiles(record), heading="Probabilities in training")
    importance = Block(table=_importance(record), heading="Feature importance", half=True)
    first = Block(figure=figure, half=True)
    return Section("model", "Probabilities and features", lead, (first, importance, spread))


def _importance(record: RunRecord) -> Table:
    ranked = sorted(record.manifest.importance.items(), key=lambda item: (-_weight(item[1]), item[0]))
    shown = ranked[:_SHOWN]
    bars = shares([value for _, value in shown])
    rows = tuple(
        (Cell(name), Cell(formats.percent(value), value, share=bar))
        for (name, value), bar in zip(shown, bars, strict=True)
    )
    title = f"Share of gain, {len(shown)} of {formats.plural(len(record.manifest.features), 'feature')}"
    return Table(title, (Column("Feature", numeric=False), Column("Share of gain")), rows)


def _weight(value: float) -> float:
    return value if formats.known(value) else -1.0


def _quantiles(record: RunRecord) -> Table:
    reference = record.manifest.probability_reference
    columns = [Column(formats.percent(at, 0)) for at in reference.probabilities]
    cells = [Cell(formats.percent(value), value) for value in reference.values]
    return Table(
        "Quantiles of the forecast probability in training",
        (Column("Quantile", numeric=False), *columns),
        ((Cell("Forecast probability"), *cells),),
    )
