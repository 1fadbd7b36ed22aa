"""The procedure: what is done, recorded and told, once, also when the process dies in the middle."""

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.registry_factories import REAL, Crash
from tests.unit.rollback.desk import MINUTE, START, Desk, fired

from tidegate.errors import ConfigurationError, LedgerError, PromotionConflict, PromotionRefused, RegistryError
from tidegate.registry.events import Event, Kind
from tidegate.registry.promotion import PRODUCTION, Outcome
from tidegate.registry.repair import repair
from tidegate.rollback.act import finish, roll_back
from tidegate.rollback.incidents import close_incident, incidents, open_incidents
from tidegate.rollback.verification import Verification


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_a_rollback_acts_verifies_opens_an_incident_and_tells_people(desk: Desk) -> None:
    report = desk.fire()
    assert (report.act, report.changed, report.suppressed) == ("roll_back", True, "")
    assert desk.acts() == [("rollback", 3, 2), ("bar", None, 3)]
    assert desk.asked == [(2, desk.versions.manifests[2].digest())]
    assert report.verification is not None
    assert report.verification.verdict == "verified"

    (incident,) = open_incidents(desk.events, REAL)
    assert report.row is not None
    assert incident.id == report.incident == f"{REAL}/{report.row.id}"
    assert (incident.automatic, incident.act, incident.opened_by) == (True, "rollback", "watch")
    assert incident.watch_until == START + 30 * MINUTE
    content = incident.content
    assert (content["rule"], content["from_version"], content["to_version"]) == ("latency", 3, 2)
    assert content["finding"]["observed"] == 25.0
    assert content["verification"]["verdict"] == "verified"
    assert content["logs"] == ["logs"]
    assert desk.people.said == [("critical", f"{REAL} rolled back from v3 to v2 by rule latency", incident.id)]
    assert "Every live serving process follows" in desk.people.bodies[0]

    (decided,) = desk.rows("decision")
    assert (decided.content["act"], decided.content["rule"], decided.content["version"]) == ("roll_back", "latency", 3)
    (verified,) = desk.rows("verification")
    assert (verified.subject, verified.content["verdict"]) == (incident.id, "verified")
    (intent,) = [row for row in desk.ledger.rows(REAL) if row.action == "rollback" and row.state == "intent"]
    assert intent.evidence["cause"]["finding"]["error_rate"] == "never"


def test_the_same_decision_twice_acts_once(desk: Desk) -> None:
    made = desk.decide(fired())
    desk.carry_out(made)
    again = desk.carry_out(made)
    assert (again.changed, again.act, again.suppressed) == (False, "nothing", "production is v2 by now")
    assert len(desk.acts()) == 2
    assert len(incidents(desk.events, REAL)) == len(desk.people.said) == 1


def test_a_second_failure_halts_and_bars_nothing(desk: Desk) -> None:
    desk.fire()
    desk.now += 30 * MINUTE
    report = desk.fire("errors")
    assert (report.act, report.changed) == ("halt", True)
    assert desk.acts()[2:] == [("halt", 2, 2)]
    assert desk.asked[-1] == (None, None)
    assert [one.act for one in open_incidents(desk.events, REAL)] == ["rollback", "halt"]
    assert desk.people.said[-1][1] == f"{REAL} halted by rule errors"
    desk.now += 30 * MINUTE
    assert desk.fire("errors").suppressed == "the strategy is halted already"
    assert len(desk.people.said) == 2


def test_after_the_incident_is_closed_it_may_roll_back_again(desk: Desk) -> None:
    report = desk.fire()
    assert report.incident is not None
    close_incident(desk.events, report.incident, actor="ann", note="a bad release of the exchange")
    desk.now += 30 * MINUTE
    assert desk.fire("errors").act == "roll_back"
    assert desk.promoter.current(REAL) == 1


def test_an_incident_of_a_person_does_not_halt(desk: Desk) -> None:
    roll_back(desk.procedure, REAL, actor="ann", reason="told", watch_minutes=30)
    assert desk.fire().act == "roll_back"
    assert desk.promoter.current(REAL) == 1


def test_a_second_fault_halts_at_once_whatever_it_began_with(desk: Desk) -> None:
    desk.fire()
    desk.now += MINUTE
    found = replace(fired("errors", "alert"), asked="roll_back")
    assert desk.carry_out(desk.decide(found)).act == "halt"
    assert desk.ledger.state(REAL).halt is not None


def test_within_cooldown_it_only_alerts_once_a_day(desk: Desk) -> None:
    first = desk.fire()
    assert first.incident is not None
    close_incident(desk.events, first.incident, actor="ann", note="known")
    for _ in range(3):
        desk.now += MINUTE
        report = desk.fire("errors")
    assert (report.act, report.changed) == ("alert", False)
    assert "30 minutes ago" in report.suppressed
    assert [said[:2] for said in desk.people.said[1:]] == [("critical", f"{REAL} v2: rule errors fired")]
    assert "held back" in desk.people.bodies[1]
    assert len(desk.rows("decision")) == 2
    assert len(desk.acts()) == 2


def test_without_a_good_version_it_halts_and_bars(tmp_path: Path) -> None:
    desk = Desk(tmp_path, promoted=1)
    report = desk.fire()
    assert (report.act, report.changed) == ("halt", True)
    assert desk.acts() == [("halt", 1, None), ("bar", None, 1)]
    assert desk.asked == [(None, None)]


def test_a_broken_last_version_turns_the_rollback_into_a_halt(tmp_path: Path) -> None:
    desk = Desk(tmp_path, promoted=2)
    desk.versions.broken.add(1)
    report = desk.fire()
    assert (report.act, report.changed) == ("halt", True)
    assert desk.ledger.state(REAL).barred == {2}


@pytest.mark.parametrize("action", ["alert", "observe"])
def test_an_alert_is_told_once_a_day_and_an_observation_never(desk: Desk, action: str) -> None:
    for _ in range(2):
        desk.fire("win_rate", action)  # type: ignore[arg-type]
    desk.now += 86_400_000
    desk.fire("win_rate", action)  # type: ignore[arg-type]
    told = [("warning", f"{REAL} v3: rule win_rate fired")] * 2 if action == "alert" else []
    assert [said[:2] for said in desk.people.said] == told
    assert len(desk.rows("decision")) == len(told)
    assert desk.acts() == []


def test_rules_that_may_not_act_alert(desk: Desk) -> None:
    made = desk.decide(fired())
    report = desk.carry_out(made, acting_allowed=False)
    assert (report.act, report.changed) == ("alert", False)
    assert desk.acts() == []


def test_an_act_under_way_holds_it_back(desk: Desk) -> None:
    desk.crash_at = "intent written"
    with pytest.raises(Crash):
        desk.promote()
    report = desk.fire()
    assert (report.act, report.suppressed) == ("alert", "another act is under way")
    with pytest.raises(PromotionConflict):
        roll_back(desk.procedure, REAL, actor="ann", reason="told", watch_minutes=30)


def test_a_process_that_does_not_follow_is_told(desk: Desk) -> None:
    desk.follows = False
    report = desk.fire()
    assert report.verification is not None
    assert (report.changed, report.verification.verdict, report.verification.behind) == (True, "not_verified", ("one",))
    assert "NOT VERIFIED: one" in desk.people.bodies[0]


STEPS = [
    "decided",
    "intent written",
    "fence passed",
    "announced",
    "signed",
    "previous set",
    "production set",
    "aliases verified",
    "closing row written",
    "committed",
    "published",
    "settled",
    "acted",
    "verified",
    "incident opened",
    "told",
]


@pytest.mark.parametrize("step", STEPS)
def test_killed_anywhere_and_run_again_it_completes(desk: Desk, step: str) -> None:
    desk.crash_at = step
    with pytest.raises(Crash):
        desk.fire()
    desk.now += MINUTE
    repair(desk.promoter, REAL)
    finish(desk.procedure, REAL)
    if desk.promoter.current(REAL) == 3:  # nothing had happened yet: the rule goes on firing
        desk.fire()
    for _ in range(2):
        assert finish(desk.procedure, REAL) == ()
    assert desk.acts() == [("rollback", 3, 2), ("bar", None, 3)]
    (incident,) = incidents(desk.events, REAL)
    assert incident.automatic
    assert incident.content["rule"] == "latency"
    assert incident.content["verification"]["verdict"] == "verified"
    assert len({said[2] for said in desk.people.said}) == 1
    assert len(desk.people.said) == (2 if step == "told" else 1)
    assert len(desk.rows("decision")) == 1
    assert desk.decide(fired()).act == "halt"  # what happened is known to the next decision, whoever was killed


def test_before_its_incident_is_opened_a_broken_off_rollback_counts_as_open(desk: Desk) -> None:
    desk.crash_at = "acted"
    with pytest.raises(Crash):
        desk.fire()
    assert (
        desk.situation().open_incident
        == f"{REAL}/{[row.id for row in desk.ledger.rows(REAL) if row.action == 'rollback'][-1]}"
    )


def test_a_registry_that_is_away_changes_nothing(desk: Desk) -> None:
    made = desk.decide(fired())
    desk.versions.reachable = False
    with pytest.raises(RegistryError):
        desk.carry_out(made)
    desk.versions.reachable = True
    assert (desk.acts(), incidents(desk.events, REAL)) == ([], [])
    assert desk.carry_out(made).changed


def test_an_act_that_is_overtaken_is_verified_as_what_counts_now(desk: Desk) -> None:
    desk.crash_at = "acted"
    with pytest.raises(Crash):
        desk.fire()
    desk.promote()
    finish(desk.procedure, REAL)
    assert desk.asked == [(4, desk.versions.manifests[4].digest())]


def test_a_person_rolls_back(desk: Desk) -> None:
    report = roll_back(desk.procedure, REAL, actor="ann", reason="losses", watch_minutes=5, to=1, keep=True)
    assert (report.act, report.changed) == ("roll_back", True)
    assert desk.acts() == [("rollback", 3, 1)]
    (incident,) = open_incidents(desk.events, REAL)
    assert (incident.automatic, incident.opened_by, incident.content["reason"]) == (False, "ann", "losses")
    assert incident.watch_until == START + 5 * MINUTE
    assert desk.people.said[0][1] == f"{REAL} rolled back from v3 to v1 by ann"


def test_a_person_who_does_it_twice_gets_the_verification_again(desk: Desk) -> None:
    for _ in range(2):
        report = roll_back(desk.procedure, REAL, actor="ann", reason="losses", watch_minutes=5)
    assert (report.changed, report.incident) == (False, None)
    assert report.verification is not None
    assert len(desk.asked) == 2
    assert len(incidents(desk.events, REAL)) == 1


def test_a_person_may_leave_the_processes_alone(desk: Desk) -> None:
    report = roll_back(desk.procedure, REAL, actor="ann", reason="losses", watch_minutes=5, verify=False)
    assert (report.verification, desk.asked) == (None, [])
    assert open_incidents(desk.events, REAL)[0].content["verification"] is None
    assert "were not asked" in desk.people.bodies[0]


def test_what_a_person_may_not_do(desk: Desk) -> None:
    with pytest.raises(PromotionRefused):
        roll_back(desk.procedure, REAL, actor="ann", reason="told", watch_minutes=5, to=9)
    with pytest.raises(ConfigurationError):
        roll_back(desk.procedure, REAL, actor="ann", reason="told", watch_minutes=5, to=2, leaving=2)
    assert desk.acts() == []


@pytest.mark.parametrize(
    "fault", [ConfigurationError("the API key's file k cannot be read"), OSError("disk"), ValueError("x")]
)
def test_what_goes_wrong_in_asking_keeps_nothing_from_being_done(desk: Desk, fault: Exception) -> None:
    def verifies(*_: object) -> Verification:
        raise fault

    desk.procedure = replace(desk.procedure, verifies=verifies)
    report = desk.fire()
    assert report.verification is not None
    assert (report.verification.verdict, report.changed) == ("not_verified", True)
    assert str(fault) in report.verification.fault
    assert len(open_incidents(desk.events, REAL)) == len(desk.people.said) == 1
    assert "NOT VERIFIED" in desk.people.bodies[0]
    desk.now += MINUTE
    assert desk.fire("errors").act == "halt"
    assert len(desk.people.said) == 2


@pytest.mark.parametrize("person", [True, False])
def test_what_an_earlier_act_left_to_do_blocks_no_act(desk: Desk, person: bool) -> None:
    desk.crash_at = "acted"
    with pytest.raises(Crash):
        desk.fire()
    desk.now += MINUTE
    broken = [row for row in desk.ledger.rows(REAL) if row.action == "rollback" and row.state == "committed"][-1]

    def append(kind: Kind, **content: Any) -> Event | None:  # noqa: ANN401
        if kind == "incident_opened" and content["subject"] == f"{REAL}/{broken.id}":
            raise LedgerError("the event ledger refused a row")
        return whole(kind, **content)

    whole, desk.events.append = desk.events.append, append  # type: ignore[method-assign]
    if person:
        assert roll_back(desk.procedure, REAL, actor="ann", reason="bad", watch_minutes=5, leaving=2).changed
        assert desk.promoter.current(REAL) == 1
    else:
        assert desk.fire("errors").act == "halt"
    assert len(open_incidents(desk.events, REAL)) == len(desk.people.said) == 1
    desk.events.append = whole  # type: ignore[method-assign]
    assert finish(desk.procedure, REAL) == (f"{REAL}/{broken.id}",)


@pytest.mark.parametrize("alias", [None, 2], ids=["removed", "moved to a barred version"])
@pytest.mark.parametrize("step", ["", "intent written", "fence passed"])
def test_a_rule_leaves_the_ledgers_version_wherever_the_alias_is(desk: Desk, alias: int | None, step: str) -> None:
    desk.promoter.bar(REAL, 2, actor="ann", reason="bad")
    desk.versions.set_alias(REAL, PRODUCTION, alias)
    assert "refused" in repair(desk.promoter, REAL).alerts[0]
    desk.crash_at = step or None
    with pytest.raises(Crash) if step else contextlib.nullcontext():
        desk.fire()
    repair(desk.promoter, REAL)
    finish(desk.procedure, REAL)
    assert [act for act in desk.acts() if act[0] == "rollback"] == [("rollback", 3, 1)]
    assert desk.versions.alias(REAL, PRODUCTION) == desk.promoter.current(REAL) == 1
    assert desk.ledger.state(REAL).barred == {2, 3}
    assert [said[:2] for said in desk.people.said] == [
        ("critical", f"{REAL} rolled back from v3 to v1 by rule latency")
    ]


def test_an_act_that_comes_to_nothing_is_told_once_a_day(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def rollback(strategy: str, **_: object) -> Outcome:
        return Outcome(None, False, f"nothing to do: {strategy} is elsewhere")

    monkeypatch.setattr(desk.promoter, "rollback", rollback)
    for _ in range(3):
        report = desk.fire()
        desk.now += MINUTE
    assert (report.act, report.changed, report.suppressed) == ("alert", False, f"nothing to do: {REAL} is elsewhere")
    assert [said[:2] for said in desk.people.said] == [("critical", f"{REAL} v3: rule latency fired")]
    assert "is elsewhere" in desk.people.bodies[0]
