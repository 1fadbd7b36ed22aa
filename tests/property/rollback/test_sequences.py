"""Any sequence of findings, promotions, people and crashes: at most one automatic rollback until a person has looked, then a halt."""

import itertools
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.registry_factories import REAL, Crash
from tests.unit.rollback.desk import MINUTE, RULES, Desk, fired
from tests.unit.rollback.test_act import STEPS

from tidegate.registry.repair import repair
from tidegate.rollback.act import finish, roll_back
from tidegate.rollback.automatic import acts_taken
from tidegate.rollback.decision import Decision
from tidegate.rollback.incidents import close_incident, incidents, open_incidents


class Acts(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory(prefix="tidegate-property-")
        self.desk = Desk(Path(self._folder.name), promoted=4)
        self.stale: list[Decision] = []

    def teardown(self) -> None:
        self._folder.cleanup()

    @rule(name=st.sampled_from(["latency", "sequential"]))
    def fires(self, name: str) -> None:
        made = self.desk.decide(fired(name))
        self.stale.append(made)
        self.desk.carry_out(made)

    @rule(at=st.integers(0, 3))
    @precondition(lambda self: self.stale)
    def an_old_decision_comes_late(self, at: int) -> None:
        self.desk.carry_out(self.stale[at % len(self.stale)])

    @rule(step=st.sampled_from(STEPS))
    def dies_while_acting(self, step: str) -> None:
        self.desk.crash_at = step
        try:
            self.desk.fire()
        except Crash:
            repair(self.desk.promoter, REAL)
            finish(self.desk.procedure, REAL)
        self.desk.crash_at = None

    @rule(minutes=st.sampled_from([1, 29, 30, 31]))
    def time_passes(self, minutes: int) -> None:
        self.desk.now += minutes * MINUTE

    @rule()
    @precondition(lambda self: bool(open_incidents(self.desk.events, REAL)))
    def a_person_closes_an_incident(self) -> None:
        close_incident(self.desk.events, open_incidents(self.desk.events, REAL)[0].id, actor="ann", note="seen")

    @rule()
    @precondition(lambda self: self.desk.promoter.current(REAL) is not None)
    def a_person_rolls_back(self) -> None:
        roll_back(self.desk.procedure, REAL, actor="ann", reason="told", watch_minutes=5)

    @rule()
    @precondition(lambda self: self.desk.ledger.state(REAL).halt is not None)
    def a_person_resumes(self) -> None:
        self.desk.promoter.resume(REAL, actor="ann", reason="told")

    @rule()
    @precondition(lambda self: self.desk.ledger.state(REAL).halt is None)
    def the_next_version_is_promoted(self) -> None:
        self.desk.promote()

    @invariant()
    def every_act_has_one_incident(self) -> None:
        taken = [one.incident for one in acts_taken(self.desk.ledger.rows(REAL))]
        assert [one.id for one in incidents(self.desk.events, REAL)] == taken

    @invariant()
    def automatic_rollbacks_keep_their_distance(self) -> None:
        acts = [one.row for one in acts_taken(self.desk.ledger.rows(REAL)) if one.automatic]
        for earlier, later in itertools.pairwise(acts):
            assert later.action == "halt" or later.created_at - earlier.created_at >= RULES.cooldown_minutes * MINUTE

    @invariant()
    def no_automatic_rollback_while_the_incident_of_one_is_open(self) -> None:
        closed = {one.id: one.closed_at for one in incidents(self.desk.events, REAL)}
        before: list[str] = []
        for one in (each for each in acts_taken(self.desk.ledger.rows(REAL)) if each.automatic):
            if one.row.action != "rollback":
                continue
            for earlier in before:
                closed_at = closed[earlier]
                assert closed_at is not None
                assert closed_at <= one.row.created_at
            before.append(one.incident)

    @invariant()
    def what_was_left_by_a_rule_is_barred(self) -> None:
        barred = self.desk.ledger.state(REAL).barred
        left = [
            one.row for one in acts_taken(self.desk.ledger.rows(REAL)) if one.row.from_version != one.row.to_version
        ]
        assert {row.from_version for row in left if row.from_version} <= barred


TestActs = Acts.TestCase
TestActs.settings = settings(max_examples=6, stateful_step_count=12, deadline=None)
