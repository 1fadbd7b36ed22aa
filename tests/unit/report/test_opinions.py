"""Points and statistics apart, each policy's verdict, and what would change a refusal, as the page and the summary say them."""

import re
from dataclasses import replace

import pytest
from tests import report_records

from tidegate.gates.result import PolicyVerdict
from tidegate.report.markdown import markdown_summary
from tidegate.report.page import render
from tidegate.report.record import RunRecord
from tidegate.report.sections.opinions import PROMOTE, REFUSE, changes, halves, opinion_sentence, policies


def with_verdicts(points: PolicyVerdict, statistics: PolicyVerdict, **verdicts: PolicyVerdict) -> RunRecord:
    made = report_records.promoted()
    update = {"points": points, "statistics": statistics, "verdicts": verdicts, "policy": "balanced"}
    return replace(made, decision=made.decision.model_copy(update=update))


LUCKY = with_verdicts(
    PolicyVerdict(promote=True),
    PolicyVerdict(promote=False, refused_by=("skill",)),
    checklist=PolicyVerdict(promote=True),
    balanced=PolicyVerdict(promote=False, refused_by=("skill",)),
    strict=PolicyVerdict(
        promote=False,
        refused_by=("skill", "deflated_sharpe", "track_record", "sharpe_lower", "permuted_labels"),
        unmeasured=("permuted_labels",),
    ),
)


def test_points_that_would_promote_luck_stand_beside_statistics_that_refuse_it() -> None:
    points, statistics = halves(LUCKY)
    assert (points.title, points.mark, points.words) == ("Points", PROMOTE, "all 22 blocking gates pass")
    assert (statistics.title, statistics.mark, statistics.words) == ("Statistics", REFUSE, "skill beyond chance")
    assert opinion_sentence(LUCKY) == (
        "points: would promote (all 22 blocking gates pass); statistics: would refuse (skill beyond chance)"
    )


def test_each_policy_says_what_it_would_have_said_and_one_decides() -> None:
    found = policies(LUCKY)
    assert [(each.title, each.mark, each.decides) for each in found] == [
        ("checklist", PROMOTE, False),
        ("balanced", REFUSE, True),
        ("strict", REFUSE, False),
    ]
    assert found[2].words == (
        "skill beyond chance, deflated Sharpe ratio, track record long enough and 1 more; "
        "better than permuted labels was not measured in this run"
    )


def test_statistics_that_only_show_say_so() -> None:
    made = report_records.promoted()
    shown = tuple(
        each.model_copy(update={"blocking": False}) if each.family == "statistic" else each
        for each in made.decision.results
    )
    refusing = PolicyVerdict(promote=False, refused_by=("skill",))
    decision = made.decision.model_copy(update={"results": shown, "statistics": refusing})
    assert (
        halves(replace(made, decision=decision))[1].words
        == "skill beyond chance; under this policy statistics only show"
    )


@pytest.mark.parametrize("place", ["page", "summary"])
def test_page_and_summary_say_what_would_change_it(place: str) -> None:
    made = report_records.refused()
    text = render(made) if place == "page" else markdown_summary(made)
    words = re.sub(r"<[^>]+>|\*\*", "", text)
    assert len(changes(made)) == len(made.decision.refusals)
    for change in changes(made):
        assert f"{change.title} {change.words}." in words
    assert "Would refuse" in text if place == "page" else "balanced would refuse (decides here)" in text


def test_nothing_would_change_a_promotion() -> None:
    made = report_records.promoted()
    assert changes(made) == ()
    assert "What would change it" not in render(made)
    assert "What would change it" not in markdown_summary(made)


def test_a_decision_from_before_there_were_policies_is_shown_without_them() -> None:
    made = report_records.refused()
    update: dict[str, object] = {"points": None, "statistics": None, "verdicts": {}, "policy": ""}
    older = replace(made, decision=made.decision.model_copy(update=update))
    assert (halves(older), policies(older), opinion_sentence(older)) == ((), (), "")
    assert 'class="opinions"' not in render(older)
    assert "Policies:" not in markdown_summary(older)


def test_hostile_names_and_sentences_stay_text() -> None:
    made = report_records.refused()
    evil = made.decision.refusals[0].model_copy(update={"change": "needs <script>alert(1)</script>"})
    rest = tuple(each for each in made.decision.results if each.name != evil.name)
    update = {"results": (evil, *rest), "verdicts": {"<b>x</b>": PolicyVerdict(promote=True)}}
    changed = replace(made, decision=made.decision.model_copy(update=update))
    for text in (render(changed), markdown_summary(changed)):
        assert "<script>alert" not in text
        assert "<b>x</b>" not in text
