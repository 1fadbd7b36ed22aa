from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from tests import monitoring_records

from tidegate.monitoring.page.headline import basis, headline, speaks_against
from tidegate.monitoring.page.record import FindingLine, MonitorRecord

HEALTHY = monitoring_records.healthy


def line(rule: str, action: str, verdict: str) -> FindingLine:
    return FindingLine(rule, action, verdict, 1.0, 2.0, "ratio", 30, "because", "once")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("make", "word", "tone"),
    [
        (monitoring_records.healthy, "HEALTHY", "good"),
        (monitoring_records.several, "HEALTHY", "good"),
        (monitoring_records.early, "WATCH", "warn"),
        (monitoring_records.edge_gone, "WATCH", "bad"),
        (monitoring_records.rolled_back, "ROLLED BACK", "bad"),
        (monitoring_records.halted, "HALTED", "bad"),
        (monitoring_records.nothing, "NOTHING TO MONITOR", "warn"),
        (monitoring_records.broken, "WATCH", "warn"),
    ],
)
def test_each_outcome_has_its_word(make: Callable[[], MonitorRecord], word: str, tone: str) -> None:
    said = headline(make())
    assert (said.word, said.tone) == (word, tone)
    assert said.sentence.endswith(".")


@pytest.mark.parametrize(
    ("findings", "word"),
    [
        ([("sequential", "roll_back", "quiet")], "HEALTHY"),
        ([("sequential", "roll_back", "quiet"), ("sharpe", "alert", "not_enough_evidence")], "HEALTHY"),
        ([("sequential", "roll_back", "quiet"), ("sharpe", "alert", "fired")], "WATCH"),
        ([("sequential", "roll_back", "quiet"), ("sharpe", "observe", "fired")], "WATCH"),
        ([("sequential", "roll_back", "not_enough_evidence")], "WATCH"),
        ([("sequential", "roll_back", "quiet"), ("win_rate", "roll_back", "not_enough_evidence")], "WATCH"),
        ([("sequential", "roll_back", "fired")], "WATCH"),
        ([("sequential", "alert", "quiet")], "WATCH"),
        ([], "WATCH"),
    ],
)
def test_healthy_needs_an_acting_rule_that_was_quiet_and_none_that_fired(
    findings: list[tuple[str, str, str]], word: str
) -> None:
    made = replace(HEALTHY(), findings=tuple(line(*each) for each in findings))
    assert made.outcome == "healthy"
    assert headline(made).word == word


def test_healthy_needs_a_version_and_a_closed_trade() -> None:
    made = HEALTHY()
    assert made.since is not None
    untraded = replace(made.since, trade_won=np.empty(0, np.bool_), trade_exit_at=np.empty(0, np.int64))
    for changed in (replace(made, since=None), replace(made, since=untraded), replace(made, version=None)):
        assert headline(changed).word == "WATCH"
    assert speaks_against(made) == ()


def test_a_rollback_names_what_was_left_and_what_is_there_now() -> None:
    said = headline(monitoring_records.rolled_back()).sentence
    assert said.startswith("Version 5 was left, and version 4 is in production. Sequential: after trade ")
    assert "nothing is in production now" in headline(replace(monitoring_records.rolled_back(), now=None)).sentence


def test_a_fired_acting_rule_that_did_not_act_is_bad_news_in_words() -> None:
    said = headline(monitoring_records.edge_gone())
    assert said.sentence.startswith("Version 5 stays in production although sequential, which may roll back, fired.")
    assert "a rollback was held back" in said.sentence


def test_rules_without_evidence_are_named_even_when_healthy() -> None:
    findings = (line("sequential", "roll_back", "quiet"), line("drift", "alert", "not_enough_evidence"))
    said = headline(replace(HEALTHY(), findings=findings))
    assert (said.word, "though drift had not enough evidence" in said.sentence) == ("HEALTHY", True)


def test_an_empty_reason_leaves_a_sentence() -> None:
    for outcome in ("watch", "rolled_back", "halted", "nothing_to_monitor"):
        made = replace(monitoring_records.early(), outcome=outcome, reason="")
        assert headline(made).sentence.strip()


def test_the_basis_says_the_window_and_the_rows() -> None:
    made = HEALTHY()
    assert made.live is not None
    said = basis(made)
    assert "Window of 30 days up to 2026-11-01 00:00 UTC" in said
    assert f"{made.live.balance.counted} of {made.live.balance.rows} rows" in said
    assert "no figures" in basis(monitoring_records.nothing())
