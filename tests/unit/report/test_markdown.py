from dataclasses import replace

import pytest
from tests import report_records

from tidegate.gates.result import Verdict
from tidegate.report.markdown import markdown_summary
from tidegate.report.markdown_text import MOST_BYTES


def test_it_says_the_verdict_first_and_names_every_gate() -> None:
    made = report_records.refused()
    text = markdown_summary(made)
    assert text.startswith("# REFUSED: btc-1h\n")
    assert text.index("6 of 36 gates refuse") < text.index("| Figure")
    for result in made.decision.results:
        assert result.title in text
    assert text.count("**refuses**") == 6
    assert made.manifest.digest()[:16] in text
    assert len(text.encode()) < MOST_BYTES


def test_simulated_markets_say_so() -> None:
    text = markdown_summary(report_records.promoted())
    assert text.startswith("# PROMOTED: simulated-edge")
    assert "SIMULATED MARKET" in text
    assert "SIMULATED" not in markdown_summary(report_records.refused())


@pytest.mark.parametrize(
    "hostile", ["a | b\n| c |", "<script>alert(1)</script>", "[x](javascript:alert(1))", "`code` **bold** # h"]
)
def test_hostile_text_stays_in_its_cell(hostile: str) -> None:
    made = report_records.refused()
    first = made.decision.results[0].model_copy(update={"reason": hostile, "verdict": Verdict.FAIL})
    changed = replace(made, decision=made.decision.model_copy(update={"results": (first,)}))
    line = next(
        line for line in markdown_summary(changed).splitlines() if "Enough training data" in line and line[0] == "|"
    )
    assert line.replace("\\|", "").count("|") == 7
    assert "<script" not in line
    assert "](" not in line.replace("\\]", "")
    assert "`" not in line.replace("\\`", "")


def test_it_never_outgrows_its_room_and_says_what_it_leaves_out() -> None:
    made = report_records.refused()
    wordy = made.decision.results[-1].model_copy(update={"reason": "\u00e9<" * 5000})
    swollen = replace(made, decision=made.decision.model_copy(update={"results": (wordy,) * 200}))
    text = markdown_summary(swollen)
    assert 10_000 < len(text.encode()) < MOST_BYTES
    kept = text.count(wordy.title)
    assert f"{200 - kept} further gates do not fit here" in text


def test_nothing_measured_is_fine() -> None:
    assert "not measured" in markdown_summary(report_records.empty())
