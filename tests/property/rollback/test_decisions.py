"""Whatever is found in whatever situation: what a decision never does."""

from dataclasses import replace
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from tidegate.rollback.decision import ACTS, Situation, decide
from tidegate.rollback.finding import Action, Finding, Verdict

RULES = ("sequential", "win_rate", "sharpe", "drift", "latency", "errors", "crashes", "bots", "own")
NOW = 10**12

findings = st.lists(
    st.builds(
        Finding,
        rule=st.sampled_from(RULES),
        action=st.sampled_from(get_args(Action)),
        verdict=st.sampled_from(get_args(Verdict)),
        observed=st.none() | st.floats(),
        threshold=st.none() | st.floats(),
        unit=st.just("ms"),
        n=st.integers(0, 100),
        since=st.none() | st.integers(0, NOW),
        reason=st.just("told"),
        error_rate=st.just("never"),
        asked=st.none() | st.sampled_from(get_args(Action)),
    ),
    max_size=6,
)
situations = st.builds(
    Situation,
    strategy=st.just("s"),
    version=st.none() | st.integers(1, 5),
    halted=st.booleans(),
    open_incident=st.none() | st.just("s/1"),
    is_watched=st.booleans(),
    last_automatic_act_at=st.none() | st.integers(NOW - 100, NOW + 100),
    cooldown_ms=st.integers(0, 150),
    maintenance=st.booleans(),
    acting_allowed=st.booleans(),
    now_ms=st.integers(NOW - 50, NOW + 50),
    has_good_version=st.booleans(),
    open_intent=st.booleans(),
)


@given(findings, situations)
def test_what_a_decision_never_does(found: list[Finding], situation: Situation) -> None:
    made = decide(found, situation)
    last = situation.last_automatic_act_at
    waived = situation.open_incident is not None and situation.is_watched
    fired = [one for one in found if one.verdict == "fired"]
    excused = [one for one in fired if one.action == "alert" and one.asked == "roll_back"]
    asked = [one for one in fired if one.action == "roll_back" or (waived and one in excused)]
    if made.act == "roll_back":
        assert last is None or situation.now_ms - last >= situation.cooldown_ms
        assert situation.open_incident is None
        assert situation.has_good_version
    if made.act in ACTS:
        assert asked
        assert made.finding in asked
        assert situation.version is not None
        assert not situation.halted
        assert not situation.open_intent
        assert situation.acting_allowed
        assert made.suppressed == ""
    if asked and made.act not in ACTS:
        assert made.suppressed
    if made.act == "alert":
        assert made.finding is not None
        assert made.finding.verdict == "fired"
        assert made.finding.action != "observe"


@given(findings, situations)
def test_maintenance_changes_nothing(found: list[Finding], situation: Situation) -> None:
    other = decide(found, replace(situation, maintenance=not situation.maintenance))
    made = decide(found, situation)
    assert (other.act, other.finding, other.suppressed) == (made.act, made.finding, made.suppressed)


@given(findings, situations, st.randoms(use_true_random=False))
def test_the_order_of_findings_changes_nothing(found: list[Finding], situation: Situation, random: object) -> None:
    shuffled = sorted(found, key=lambda _one: random.random())  # type: ignore[attr-defined]
    one, other = decide(found, situation), decide(shuffled, situation)
    assert (one.act, one.rule, one.suppressed) == (other.act, other.rule, other.suppressed)
