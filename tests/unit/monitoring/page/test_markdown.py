import math
import re
from dataclasses import replace

import numpy as np
import pytest
from tests import monitoring_records

from tidegate.monitoring.page.markdown import markdown_summary
from tidegate.monitoring.page.record import ChecklistRow
from tidegate.monitoring.page.sparkline import BLOCKS, sparkline
from tidegate.report.markdown_text import MOST_BYTES


def test_verdict_first_then_figures_plots_rules_and_checklist() -> None:
    made = monitoring_records.edge_gone()
    text = markdown_summary(made)
    assert text.startswith("# WATCH: simulated-edge\n")
    order = [text.index(word) for word in ("SIMULATED MARKET", "stays in production", "| Figure", "Equity `", "Sequential test `", "| Verdict | Rule", "| Verdict | Checklist")]  # fmt: skip
    assert order == sorted(order)
    assert "alarm at trade 198" in text
    for line in made.findings:
        assert line.error_rate.split(";")[0].replace("_", "\\_") in text
    for row in made.checklist:
        assert row.row.replace("_", "\\_") in text
    assert text.count("Fired |") == 4


def test_real_markets_have_no_banner_and_alerts_are_quoted() -> None:
    text = markdown_summary(monitoring_records.several())
    assert "SIMULATED" not in text
    assert "> production was moved by hand at 2026-10-28 14:02 UTC" in text


def test_nothing_measured_says_so() -> None:
    text = markdown_summary(monitoring_records.nothing())
    assert text.startswith("# NOTHING TO MONITOR")
    assert "nothing in production" in text
    assert "No rules were judged." in text
    assert "| Figure" not in text
    broken = markdown_summary(monitoring_records.broken())
    assert "not measured" in broken
    assert not re.search(r"\b(nan|inf|None)\b", broken)


@pytest.mark.parametrize(
    "hostile", ["a | b\n| c |", "<script>alert(1)</script>", "[x](javascript:alert(1))", "`code` **bold**"]
)
def test_hostile_text_stays_in_its_cell(hostile: str) -> None:
    made = monitoring_records.edge_gone()
    evil = replace(
        made,
        findings=(replace(made.findings[0], reason=hostile, error_rate=hostile),),
        alerts=(hostile,),
        reason=hostile,
    )
    text = markdown_summary(evil)
    line = next(line for line in text.splitlines() if "Sequential test on closed trades" in line)
    assert line.replace("\\|", "").count("|") == 9
    assert "<script" not in text
    assert "](" not in text.replace("\\]", "")


def test_it_never_outgrows_its_room_and_says_what_it_leaves_out() -> None:
    made = monitoring_records.edge_gone()
    rows = tuple(ChecklistRow(f"row {at}", "daily", "fail", "é" * 200, "<" * 200, "é<" * 500) for at in range(100))
    text = markdown_summary(replace(made, checklist=rows))
    assert 10_000 < len(text.encode()) < MOST_BYTES
    kept = text.count("Fail |")
    assert f"{100 - kept} further rows of the checklist do not fit here" in text
    assert kept > 3


def test_long_rules_leave_less_room_for_the_checklist_and_never_too_little() -> None:
    made = monitoring_records.edge_gone()
    rules = tuple(replace(made.findings[0], reason="é<" * 500, error_rate="é<" * 500) for _ in range(5))
    rows = tuple(ChecklistRow(f"row {at}", "daily", "fail", "", "", "é<" * 500) for at in range(100))
    text = markdown_summary(replace(made, findings=rules, checklist=rows))
    assert len(text.encode()) < MOST_BYTES
    assert text.count("| Sequential test on closed trades |") == 5
    assert "further rows of the checklist do not fit here" in text


def test_a_sparkline_keeps_its_ends_and_never_draws_what_is_not_there() -> None:
    rising = sparkline(np.linspace(0, 1, 500), 40)
    assert len(rising) == 40
    assert (rising[0], rising[-1]) == (BLOCKS[0], BLOCKS[-1])
    assert list(rising) == sorted(rising)
    assert sparkline(np.array([math.nan, math.inf])) == "··"
    assert sparkline(np.empty(0)) == ""
    assert sparkline(np.array([5.0, 0.0, -5.0]), low=0.0, high=2.0) == BLOCKS[-1] + BLOCKS[0] + BLOCKS[0]
