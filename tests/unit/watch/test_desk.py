"""The desk with real ledgers and a registry in memory."""

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.registry_factories import NOW, REAL, FakeVersions, decision

from tidegate.errors import LedgerError, RegistryError, ServiceError
from tidegate.registry.database import Database
from tidegate.registry.events import EventLedger, Kind
from tidegate.registry.instances import Instance, Instances
from tidegate.registry.ledger import Ledger
from tidegate.registry.promotion import PRODUCTION, Promoter
from tidegate.registry.retrains import RetrainLedger
from tidegate.rollback.decision import Decision
from tidegate.rollback.finding import Finding
from tidegate.rollback.incidents import find_incident, open_incident
from tidegate.settings.operations import Watch
from tidegate.strategy.strategy import Rollback
from tidegate.watch.desk import Ports, RegistryDesk
from tidegate.watch.strategies import Watched

MINUTE = 60_000


@dataclass
class Notes:
    sent: list[tuple[str, str, str]] = field(default_factory=list)
    left: int = 0

    def send(self, severity: str, title: str, body: str, *, strategy: str, subject: str) -> None:
        assert subject
        assert strategy in {REAL, ""}
        self.sent.append((severity, title, body))

    def retry(self) -> range:
        return range(self.left)


class Desk:
    def __init__(self, folder: Path, **settings: Any) -> None:  # noqa: ANN401
        self.now = NOW
        database = Database(f"sqlite:///{folder}/ledger.db", clock=lambda: self.now)
        self.versions, self.notes, self.carried = FakeVersions(), Notes(), list[Decision]()
        self.finished: list[str] = []
        self.promoter = Promoter(Ledger(database), self.versions)
        self.events = EventLedger(database)
        self.instances: list[Instance] = []
        self.failure: Exception | None = None
        seen: Any = SimpleNamespace(all=lambda _now: self.instances)
        instances: Instances = seen
        ports = Ports(
            self.promoter,
            self.events,
            RetrainLedger(database),
            instances,
            self.notes,
            self._carry_out,
            self.finished.append,
        )
        self.desk = RegistryDesk(Watch(**settings), ports, lambda: self.now)
        rules = Rollback(cooldown_minutes=0)
        strategy: Any = SimpleNamespace(rollback=rules)
        self.watched = Watched(REAL, strategy)

    def _carry_out(self, made: Decision, watched: Watched) -> None:
        assert watched is self.watched
        if self.failure is not None:
            raise self.failure
        self.carried.append(made)
        if made.act == "roll_back":
            self.promoter.rollback(REAL, actor="a", reason="r", leaving=made.version, evidence={"automatic": True})

    def promote(self) -> int:
        champion = self.promoter.current(REAL)
        version = self.versions.add()
        judged = decision(self.versions.manifests[version])
        self.versions.decisions[version] = judged
        self.promoter.promote(REAL, version, judged, actor="a", reason="r", champion=champion)
        return version

    def round(self, *findings: Finding, version: int | None = 1) -> None:
        self.now += 1000
        self.desk.go_round(self.watched, version, findings)

    def watch_minutes(self, times: int, *findings: Finding) -> None:
        for _ in range(times):
            self.now += MINUTE
            self.desk.go_round(self.watched, 1, findings)

    def open_incident(self, **content: Any) -> str:  # noqa: ANN401
        open_incident(
            self.events,
            REAL,
            4,
            actor="a",
            content={"act": "rollback", "automatic": True, "watch_until": self.now + 30 * MINUTE, **content},
        )
        return f"{REAL}/4"


def finding(verdict: Any = "fired", action: Any = "roll_back", rule: str = "errors") -> Finding:  # noqa: ANN401
    return Finding(rule, action, verdict, 0.5, 0.05, "fraction", 100, None, "many failed", "-")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_the_version_is_the_ledgers(desk: Desk) -> None:
    assert desk.desk.version(REAL) is None
    desk.promote()
    desk.round()
    assert desk.desk.version(REAL) == 1
    assert desk.finished == [REAL]
    assert desk.notes.sent == []


def test_an_alias_moved_by_hand_is_recorded_and_told_once(desk: Desk) -> None:
    desk.promote()
    desk.promote()
    desk.versions.aliases[PRODUCTION] = 1
    for _ in range(3):
        desk.round()
    rows = desk.promoter.history(REAL)
    assert [(row.action, row.to_version, row.state) for row in rows[-1:]] == [("external", 1, "committed")]
    assert desk.desk.version(REAL) == 1
    ((severity, title, body),) = desk.notes.sent
    assert (severity, title) == ("warning", f"{REAL}: production was changed in MLflow")
    assert "from v2 to v1, recorded" in body


def test_a_refused_change_alerts_once_until_it_is_another_one(desk: Desk) -> None:
    desk.promote()
    desk.versions.aliases[PRODUCTION] = desk.versions.add()
    for _ in range(25):
        desk.round()
    ((severity, title, body),) = desk.notes.sent
    assert (severity, title) == ("critical", f"{REAL}: ledger and MLflow do not agree")
    assert "refused" in body
    assert desk.desk.version(REAL) == 1
    del desk.versions.aliases[PRODUCTION]
    desk.round()
    assert len(desk.notes.sent) == 2
    assert "removed" in desk.notes.sent[-1][2]


def test_an_act_that_is_under_way_is_left_alone_and_a_broken_one_is_ended(desk: Desk) -> None:
    desk.promote()

    class Killed(BaseException):
        pass

    def kill(step: str) -> None:
        if step == "intent written":
            raise Killed

    broken = Promoter(desk.promoter.ledger, desk.versions, on_step=kill)
    desk.promote()
    with pytest.raises(Killed):
        broken.rollback(REAL, actor="a", reason="r")
    desk.round(version=2)
    assert desk.promoter.ledger.state(REAL).open_intent is not None
    desk.now += MINUTE
    desk.round(version=2)
    assert desk.promoter.ledger.state(REAL).open_intent is None
    assert desk.desk.version(REAL) == 1


def test_an_act_that_somebody_is_doing_is_not_completed_beside_him(desk: Desk) -> None:
    desk.promote()
    desk.promote()
    desk.promoter.rollback(REAL, actor="a", reason="r")
    desk.round()
    assert desk.finished == []
    desk.now += 45_000
    desk.round()
    assert desk.finished == [REAL]


def test_a_registry_that_is_away_is_an_error_and_the_ledgers_version_stays_known(desk: Desk) -> None:
    desk.promote()
    desk.versions.reachable = False
    with pytest.raises(RegistryError):
        desk.round()
    assert desk.desk.version(REAL) == 1


def test_a_decision_is_carried_out_and_the_new_version_is_known_at_once(desk: Desk) -> None:
    desk.promote()
    desk.promote()
    desk.desk.decide(desk.watched, 2, [finding()])
    assert [(one.act, one.rule, one.version) for one in desk.carried] == [("roll_back", "errors", 2)]
    assert desk.desk.version(REAL) == 1


def test_nothing_is_decided_by_findings_about_another_version(desk: Desk) -> None:
    desk.promote()
    desk.promote()
    desk.desk.decide(desk.watched, 1, [finding()])
    assert desk.carried == []
    assert desk.desk.version(REAL) == 2


def test_a_second_fault_while_the_incident_is_open_halts(desk: Desk) -> None:
    for _ in range(3):
        desk.promote()
    for version in (3, 2):
        desk.now += 1000
        desk.desk.decide(desk.watched, version, [finding()])
    assert [one.act for one in desk.carried] == ["roll_back", "halt"]


def test_an_alert_is_carried_out_once_a_day(desk: Desk) -> None:
    desk.promote()
    for _ in range(3):
        desk.desk.decide(desk.watched, 1, [finding(action="alert")])
    assert [one.act for one in desk.carried] == ["alert"]
    desk.desk.decide(desk.watched, 1, [finding(action="alert", rule="bots")])
    desk.now += 24 * 60 * MINUTE
    desk.desk.decide(desk.watched, 1, [finding(action="alert")])
    assert [one.rule for one in desk.carried] == ["errors", "bots", "errors"]


def test_an_alert_that_could_not_be_carried_out_is_tried_again(desk: Desk) -> None:
    desk.promote()
    desk.failure = LedgerError("away")
    with pytest.raises(LedgerError):
        desk.desk.decide(desk.watched, 1, [finding(action="alert")])
    desk.failure = None
    desk.desk.decide(desk.watched, 1, [finding(action="alert")])
    assert len(desk.carried) == 1


def test_acting_can_be_switched_off(tmp_path: Path) -> None:
    desk = Desk(tmp_path, act=False)
    desk.promote()
    desk.promote()
    desk.desk.decide(desk.watched, 2, [finding()])
    assert [(one.act, bool(one.suppressed)) for one in desk.carried] == [("alert", True)]
    assert desk.promoter.current(REAL) == 2


def test_what_observes_decides_nothing(desk: Desk) -> None:
    desk.promote()
    desk.desk.decide(desk.watched, 1, [finding(action="observe")])
    assert desk.carried == []


@pytest.mark.parametrize(
    ("verdict", "outcome", "severity"),
    [("quiet", "quiet", "info"), ("not_enough_evidence", "not_measured", "warning")],
)
def test_an_incident_that_was_watched_is_noted_once_and_told(
    desk: Desk, verdict: str, outcome: str, severity: str
) -> None:
    desk.promote()
    name = desk.open_incident()
    desk.watch_minutes(29, finding(verdict))
    assert find_incident(desk.events, name).watched is None
    desk.watch_minutes(3, finding(verdict))
    found = find_incident(desk.events, name)
    assert (found.watched, len(found.notes), found.is_open) == (outcome, 1, True)
    assert found.notes[0].content["rules"] == {"errors": verdict}
    assert [one[0] for one in desk.notes.sent] == [severity]


@pytest.mark.parametrize(
    ("seen", "measured", "outcome"),
    [(0, 0, "not_watched"), (14, 14, "not_watched"), (16, 16, "quiet"), (30, 14, "not_measured"), (30, 16, "quiet")],
)
def test_an_incident_is_quiet_only_where_most_of_the_time_was_watched_and_measured(
    desk: Desk, seen: int, measured: int, outcome: str
) -> None:
    desk.promote()
    name = desk.open_incident()
    desk.watch_minutes(measured, finding("quiet"))
    desk.watch_minutes(seen - measured, finding("not_enough_evidence"))
    desk.now += 31 * MINUTE
    desk.round(finding("quiet"))
    found = find_incident(desk.events, name)
    assert (found.watched, [one[0] for one in desk.notes.sent]) == (
        outcome,
        ["info" if outcome == "quiet" else "warning"],
    )
    assert found.notes[-1].content["watched_s"] == seen * 60


def test_a_rule_that_only_observes_and_fired_is_told_at_the_end(desk: Desk) -> None:
    desk.promote()
    name = desk.open_incident()
    desk.watch_minutes(2, finding(action="observe"))
    desk.watch_minutes(30, finding("quiet"))
    found = find_incident(desk.events, name)
    assert (found.watched, len(found.notes)) == ("fired", 2)
    assert found.notes[-1].content["rules"] == {"errors": "many failed"}
    ((severity, title, body),) = desk.notes.sent
    assert (severity, title.rpartition(": ")[2]) == ("warning", "fired")
    assert "errors fired and only observes: many failed" in body


def test_a_finding_while_an_incident_is_watched_is_noted_and_nothing_is_called_quiet(desk: Desk) -> None:
    desk.promote()
    name = desk.open_incident()
    desk.round(finding(action="alert"))
    desk.now += 31 * MINUTE
    desk.round(finding("quiet"))
    found = find_incident(desk.events, name)
    assert (found.watched, len(found.notes)) == ("fired", 1)
    assert found.notes[0].content["rules"] == {"errors": "many failed"}


def test_findings_about_the_version_that_was_left_say_nothing_of_the_incident(desk: Desk) -> None:
    desk.promote()
    name = desk.open_incident()
    desk.round(finding(), version=2)
    assert find_incident(desk.events, name).notes == ()


def test_an_incident_that_nobody_watched_is_not_called_quiet(tmp_path: Path) -> None:
    first = Desk(tmp_path)
    first.promote()
    name = first.open_incident()
    later = Desk(tmp_path)
    later.now = first.now
    later.now += 32 * MINUTE
    later.versions.aliases = first.versions.aliases
    later.versions.manifests = first.versions.manifests
    later.round(finding("quiet"))
    assert find_incident(later.events, name).watched == "not_watched"


def test_trouble_is_told_once_and_its_end_too(desk: Desk) -> None:
    desk.desk.worked("round")
    for _ in range(3):
        desk.desk.failed("round", "MLflow is away")
    desk.desk.failed(f"decision {REAL}", "no")
    desk.desk.worked("round")
    desk.desk.worked("round")
    desk.desk.failed("round", "away again")
    assert [(severity, title.partition(":")[0]) for severity, title, _ in desk.notes.sent] == [
        ("warning", "the watch cannot reach the registry or the ledgers"),
        ("critical", REAL),
        ("info", "works again"),
        ("warning", "the watch cannot reach the registry or the ledgers"),
    ]


def test_trouble_that_goes_on_or_comes_again_is_told_again_after_a_day(desk: Desk) -> None:
    for hours, told in ((0, 1), (23, 1), (24, 2), (25, 2), (24 * 5, 3)):
        desk.now = NOW + hours * 60 * MINUTE
        desk.desk.failed(f"decision {REAL}", "MLflow is away")
        assert len(desk.notes.sent) == told


def test_figures_are_read_from_the_ledgers(desk: Desk) -> None:
    desk.promote()
    desk.events.append(
        "monitor_run",
        strategy=REAL,
        subject="daily/x",
        actor="flow",
        content={"period": "daily", "live": {"sharpe": 1.25}},
    )
    desk.open_incident()
    found = {sample.name: sample.value for sample in desk.desk.figures(desk.watched)}
    assert found["tidegate_production_version"] == 1
    assert found["tidegate_live_sharpe"] == 1.25
    assert found["tidegate_open_incidents"] == 1
    desk.now += 41 * 86_400_000
    assert "tidegate_live_sharpe" not in {sample.name for sample in desk.desk.figures(desk.watched)}


def test_figures_of_backups_are_those_of_the_installation(desk: Desk) -> None:
    desk.promote()
    contents: dict[Kind, dict[str, object]] = {
        "backup": {"taken_at": 5000},
        "backup_verified": {"well": True},
        "restore_drill": {"passed": True},
    }
    for kind, content in contents.items():
        desk.events.append(kind, strategy="", subject="x", actor="flow", content=content)
    found = {sample.name: sample.value for sample in desk.desk.figures(desk.watched) if not sample.labels}
    assert found["tidegate_backup_taken_timestamp_seconds"] == 5
    assert found["tidegate_backup_whole"] == 1
    assert "tidegate_restore_drill_passed_timestamp_seconds" in found


def test_undelivered_notifications_are_counted(desk: Desk) -> None:
    desk.notes.left = 3
    assert [(one.name, one.value) for one in desk.desk.deliver()] == [("tidegate_undelivered_notifications", 3)]


def test_targets_are_the_settings_or_the_registered_ones(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.instances = [Instance("one", "http://one", True, (), NOW, 5, alive=True)]
    assert [one.instance for one in desk.desk.targets(NOW)] == ["one"]
    own = Desk(tmp_path, instances=("http://127.0.0.1:1",))
    assert [one.instance for one in own.desk.targets(NOW)] == ["127.0.0.1:1"]


def test_an_error_of_an_act_is_passed_on(desk: Desk) -> None:
    desk.promote()
    desk.promote()
    desk.failure = ServiceError("no")
    with pytest.raises(ServiceError):
        desk.desk.decide(desk.watched, 2, [finding()])
    assert desk.desk.version(REAL) == 2
