import re

import numpy as np
import pytest
from tests import report_records

from tidegate.backtest.ratios import max_drawdown
from tidegate.bars.bars import parse_time
from tidegate.bars.interval import DAY_MS
from tidegate.report.charts.calibration import calibration_chart
from tidegate.report.charts.canvas import Canvas
from tidegate.report.charts.equity import EquityPicture, Line, equity_chart
from tidegate.report.charts.histogram import bins
from tidegate.report.charts.scales import Scale, domain, nice_step, ticks, time_ticks
from tidegate.report.sections.performance import buy_and_hold, drawdown, pointer_rows
from tidegate.report.thinning import extremes


def test_thinning_keeps_ends_and_every_extreme() -> None:
    values = np.cumsum(np.random.default_rng(1).standard_normal(50_000))
    values[31_234], values[777] = 1e6, -1e6
    rows = extremes(values, 1500)
    assert len(rows) <= 1502
    assert {0, 777, 31_234, 49_999} <= set(rows.tolist())
    assert (np.diff(rows) > 0).all()


def test_thinning_leaves_short_lines_alone_and_passes_over_gaps() -> None:
    assert extremes(np.array([1.0, np.nan, 3.0]), 10).tolist() == [0, 2]
    assert extremes(np.full(9, np.nan), 4).tolist() == []
    assert np.isfinite(
        np.where(np.arange(999) % 3, np.nan, 1.0)[extremes(np.where(np.arange(999) % 3, np.nan, 1.0), 50)]
    ).all()


@pytest.mark.parametrize(
    ("reach", "wanted", "step"), [(10, 5, 2.0), (1.0, 4, 0.25), (0.3, 3, 0.1), (7300, 5, 1000.0), (0.0, 5, 1.0)]
)
def test_steps_are_round(reach: float, wanted: int, step: float) -> None:
    assert nice_step(reach, wanted) == pytest.approx(step)


def test_ticks_lie_inside() -> None:
    assert ticks(-0.11, 0.31, 4) == pytest.approx([-0.1, 0.0, 0.1, 0.2, 0.3])


def test_time_ticks_are_round_months_days_and_hours() -> None:
    start = parse_time("2025-11-20")
    assert [label for _, label in time_ticks(start, start + 150 * DAY_MS)] == [
        "Dec 2025",
        "Jan 2026",
        "Feb",
        "Mar",
        "Apr",
    ]
    assert [label for _, label in time_ticks(start, start + DAY_MS, 4)] == [
        "20 Nov 2025",
        "06:00",
        "12:00",
        "18:00",
        "21 Nov",
    ]
    assert [label for _, label in time_ticks(start, start + 9 * 365 * DAY_MS, 5)] == [
        "Jan 2026",
        "Jan 2028",
        "Jan 2030",
        "Jan 2032",
        "Jan 2034",
    ]


def test_a_domain_ignores_what_is_not_finite_and_is_never_empty() -> None:
    assert domain(np.array([np.nan, np.inf]), pad=0) == (0.0, 1.0)
    assert domain(np.array([1.0, np.nan, 3.0]), pad=0) == (1.0, 3.0)
    low, high = domain(5.0, 5.0)
    assert low < 5.0 < high
    assert Scale(low, high, 0, 100).at(5.0) == pytest.approx(50)


@pytest.mark.parametrize("seed", range(5))
def test_bins_hold_every_value_once_and_never_gains_and_losses_together(seed: int) -> None:
    values = np.random.default_rng(seed).normal(0.001, 0.02, 300)
    edges, counts = bins(values)
    assert counts.sum() == 300
    assert 6 <= len(counts) <= 50
    assert np.min(np.abs(edges)) < 1e-12


def test_bins_of_equal_and_whole_values() -> None:
    assert bins(np.full(5, 3.0))[1].sum() == 5
    assert bins(np.zeros(4))[1].sum() == 4
    edges, counts = bins(np.array([1.0, 2, 2, 12]), whole=True)
    assert counts[(edges[:-1] < 2) & (edges[1:] > 2)].tolist() == [2]
    assert bins(np.array([1.0, 5000.0]), whole=True)[1].sum() == 2


def test_the_drawn_drawdown_is_the_gates_drawdown() -> None:
    pooled = report_records.refused().pooled
    assert drawdown(pooled).max() == pytest.approx(
        max_drawdown(pooled.equity, pooled.equity_low, pooled.capital), abs=1e-15
    )


def test_buy_and_hold_ends_at_its_metric() -> None:
    made = report_records.refused()
    assert buy_and_hold(made.pooled)[-1] / made.pooled.capital - 1 == pytest.approx(made.metrics["buy_and_hold_return"])


def test_pointer_rows_keep_the_worst_drawdown_and_the_last_equity() -> None:
    made = report_records.refused()
    rows = pointer_rows(made)
    assert len(rows) == 400
    assert rows[-1][1] == round(float(made.pooled.equity[-1]), 2)
    assert max(row[3] for row in rows) == pytest.approx(made.metrics["max_drawdown"], abs=1e-5)


def test_a_line_with_holes_and_one_bar_is_drawn() -> None:
    values = np.array([np.nan, 10.0, np.inf, 12.0])
    times = np.arange(4, dtype=np.int64) * 60_000
    drawn = equity_chart(EquityPicture("x", "title", "words", times, (Line("a", "main", values),), 10.0))
    assert drawn.count("<svg") == 2
    assert "nan" not in drawn
    assert equity_chart(EquityPicture("x", "t", "w", times[:1], (Line("a", "main", values[1:2]),), 10.0))
    assert not equity_chart(EquityPicture("x", "t", "w", times[:1], (Line("a", "main", values[:1]),), 10.0))


def test_calibration_draws_bins_with_forecasts_only() -> None:
    forecast, observed = np.array([0.4, 0.5, 0.6, np.nan]), np.array([0.41, 0.5, 0.9, np.nan])
    drawn = calibration_chart(forecast, observed, np.array([400.0, 900.0, 3.0, 0.0]))
    assert len(re.findall("<circle", drawn)) == 2
    assert "n 3" in drawn
    assert not calibration_chart(forecast[3:], observed[3:], np.zeros(1))
    assert calibration_chart(forecast[2:3], observed[2:3], np.array([3.0]))


def test_a_canvas_refuses_what_cannot_be_drawn_and_escapes_text() -> None:
    canvas = Canvas("x", 10, 10, "<t>", 'a "b"')
    with pytest.raises(ValueError, match="was given nan"):
        canvas.dot(float("nan"), 0, 1, "dot")
    canvas.text(1, 1, "<&>")
    assert "&lt;&amp;&gt;" in canvas.markup("c")
    assert '<title id="x-title">&lt;t&gt;</title>' in canvas.markup("c")
