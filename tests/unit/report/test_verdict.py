from dataclasses import replace

import pytest
from tests import report_records

from tidegate.gates.result import GateResult, Verdict
from tidegate.report.record import PromotionRecord
from tidegate.report.sections.verdict import Headline, headline, reason

PROMOTED = PromotionRecord("promoted", 7, 6, "committed")
FIRST = PromotionRecord("promoted", 1, None, "committed")
REFUSED = PromotionRecord("refused", 7, None, "another promotion came first")
UNTRIED = PromotionRecord("not_tried", None, None, "dry run")


def said(*, passes: bool, promotion: PromotionRecord) -> Headline:
    made = report_records.promoted() if passes else report_records.refused()
    return headline(replace(made, promotion=promotion))


@pytest.mark.parametrize(
    ("passes", "promotion", "word", "tone", "words"),
    [
        (
            True,
            PROMOTED,
            "PROMOTED",
            "good",
            "Version 7 is now in production in place of version 6: all 36 gates passed.",
        ),
        (True, FIRST, "PROMOTED", "good", "Version 1 is now in production: all 36 gates passed."),
        (True, REFUSED, "NOT PROMOTED", "warn", "but the registry refused. another promotion came first."),
        (True, UNTRIED, "NOT PROMOTED", "warn", "All 36 gates passed, but promotion was not tried. dry run."),
        (
            False,
            UNTRIED,
            "REFUSED",
            "bad",
            "6 of 36 gates refuse: win rate (53.97\u00a0%, required at least 58.00\u00a0%)",
        ),
        (False, REFUSED, "REFUSED", "bad", "maximum drawdown (20.58\u00a0%, required less than 15.00\u00a0%)"),
        (False, PROMOTED, "PROMOTED AGAINST THE GATES", "bad", "although the gates refuse it"),
    ],
)
def test_the_word_follows_from_gates_and_registry(
    passes: bool, promotion: PromotionRecord, word: str, tone: str, words: str
) -> None:
    found = said(passes=passes, promotion=promotion)
    assert (found.word, found.tone) == (word, tone)
    assert words in found.sentence


def test_a_decision_that_contradicts_its_results_is_no_promotion() -> None:
    made = report_records.refused()
    lying = replace(made, decision=made.decision.model_copy(update={"promote": True}), promotion=UNTRIED)
    assert headline(lying).word == "REFUSED"
    hollow = replace(
        made, decision=made.decision.model_copy(update={"promote": True, "results": ()}), promotion=PROMOTED
    )
    assert headline(hollow).word == "PROMOTED AGAINST THE GATES"


def test_advisory_misses_are_counted() -> None:
    made = report_records.promoted()
    first = made.decision.results[0].model_copy(update={"verdict": Verdict.FAIL, "blocking": False, "refuses": False})
    advised = replace(made, decision=made.decision.model_copy(update={"results": (first, *made.decision.results[1:])}))
    assert headline(advised).sentence.endswith("35 gates passed, 1 advisory did not.")


def test_many_refusals_are_cut_and_counted() -> None:
    found = headline(report_records.empty())
    assert found.sentence.startswith("14 of 36 gates refuse: ")
    assert found.sentence.endswith("; and 10 more.")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"observed": 0.031, "comparison": "<", "threshold": 0.02},
            "win rate (3.10\u00a0%, required less than 2.00\u00a0%)",
        ),
        ({"observed": None, "reason": "is nan, which is not a number to compare"}, "win rate could not be measured"),
        (
            {"observed": None, "reason": "the champion has seen this window"},
            "win rate: the champion has seen this window",
        ),
        ({"verdict": Verdict.NOT_ENOUGH_EVIDENCE, "reason": "3 trades"}, "win rate: not enough evidence (3 trades)"),
        ({"observed": 0.5, "threshold": None}, "win rate (50.00\u00a0%, required something that is not set)"),
        (
            {"observed": 0.5, "title": "ONNX equals XGBoost"},
            "ONNX equals XGBoost (50.00\u00a0%, required at least 58.00\u00a0%)",
        ),
        ({"observed": 0.5, "title": "Sharpe ratio"}, "Sharpe ratio (50.00\u00a0%, required at least 58.00\u00a0%)"),
    ],
)
def test_reasons_in_plain_words(changes: dict[str, object], words: str) -> None:
    fields: dict[str, object] = {
        "name": "win_rate", "title": "Win rate", "scope": "pooled", "observed": 0.5, "threshold": 0.58, "comparison": ">=",
        "unit": "fraction", "blocking": True, "verdict": Verdict.FAIL, "refuses": True, "reason": "x",
        "interval": None, "n": None, "power": None,
    }  # fmt: skip
    assert reason(GateResult.model_validate(fields | changes)) == words
