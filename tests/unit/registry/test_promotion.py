from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.registry_factories import NOW, REAL, Crash, FakeVersions, decision

from tidegate.errors import ConfigurationError, PromotionConflict, RegistryError
from tidegate.keys.signing import Signer
from tidegate.registry.database import Database
from tidegate.registry.ledger import Ledger
from tidegate.registry.promotion import Outcome, Promoter
from tidegate.registry.repair import repair


@pytest.fixture
def versions() -> FakeVersions:
    made = FakeVersions()
    for _ in range(6):
        made.add()
    return made


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(Database(f"sqlite:///{tmp_path}/ledger.db", clock=lambda: NOW))


def promote(promoter: Promoter, version: int, champion: int | None) -> Outcome:
    assert isinstance(promoter.versions, FakeVersions)
    judged = decision(promoter.versions.manifests[version])
    return promoter.promote(REAL, version, judged, actor="flow", reason="monthly", champion=champion)


def crash_at(name: str) -> Callable[[str], None]:
    def step(reached: str) -> None:
        if reached == name:
            raise Crash(name)

    return step


def test_a_promotion_is_written_before_and_after(ledger: Ledger, versions: FakeVersions) -> None:
    signer = Signer.new()
    promoter = Promoter(ledger, versions, signer)
    outcome = promote(promoter, 1, None)
    intent, committed = promoter.history(REAL)
    assert outcome.changed
    assert outcome.row == committed
    assert (intent.state, committed.state, committed.intent_id) == ("intent", "committed", intent.id)
    assert (committed.from_version, committed.to_version) == (None, 1)
    digest = versions.manifests[1].digest()
    assert committed.bundle_digest == digest
    assert intent.evidence["decision"]["manifest_digest"] == digest
    message = f"tidegate/1 production\n{digest}"
    assert signer.verifier().verify(message, versions.signatures[1]) == signer.key_id
    signature = versions.signatures[1].hex()
    assert committed.evidence == {"signed": message, "signature": signature, "key": signer.key_id}


def test_without_a_key_the_ledger_says_unsigned(ledger: Ledger, versions: FakeVersions) -> None:
    outcome = promote(Promoter(ledger, versions), 1, None)
    assert outcome.row is not None
    assert (outcome.row.evidence["signature"], outcome.row.evidence["key"]) == (None, None)
    assert versions.signatures == {}


def test_promoting_what_is_in_production_does_nothing(ledger: Ledger, versions: FakeVersions) -> None:
    promoter = Promoter(ledger, versions)
    first = promote(promoter, 1, None)
    again = promote(promoter, 1, None)
    assert not again.changed
    assert again.row == first.row
    assert len(promoter.history(REAL)) == 2


def test_the_steps_come_in_order(ledger: Ledger, versions: FakeVersions) -> None:
    steps: list[str] = []
    promote(Promoter(ledger, versions, on_step=steps.append), 1, None)
    assert steps == [
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
    ]


def test_a_registry_that_goes_down_in_the_middle_is_repaired(ledger: Ledger, versions: FakeVersions) -> None:
    promote(Promoter(ledger, versions), 1, None)

    def down(step: str) -> None:
        if step == "previous set":
            versions.reachable = False

    with pytest.raises(RegistryError):
        promote(Promoter(ledger, versions, on_step=down), 2, 1)
    promoter = Promoter(ledger, versions)
    with pytest.raises(RegistryError):
        repair(promoter, REAL)
    versions.reachable = True
    report = repair(promoter, REAL)
    assert [row.state for row in report.rows] == ["aborted"]
    assert versions.aliases == {"production": 1}
    assert promote(promoter, 2, 1).changed


def test_an_overtaken_promoter_loses(ledger: Ledger, versions: FakeVersions) -> None:
    promote(Promoter(ledger, versions), 1, None)

    def overtake(step: str) -> None:
        if step == "intent written":
            other = Promoter(ledger, versions)
            repair(other, REAL)
            promote(other, 3, 1)

    with pytest.raises(PromotionConflict, match="overtaken"):
        promote(Promoter(ledger, versions, on_step=overtake), 2, 1)
    assert versions.aliases == {"production": 3, "previous": 1}


def test_a_sign_that_fails_promotes_nothing(ledger: Ledger, versions: FakeVersions) -> None:
    class Locked:
        key_id = "0" * 16

        def sign(self, _message: str) -> bytes:
            raise RegistryError("the key is locked")

    with pytest.raises(RegistryError, match="key is locked"):
        promote(Promoter(ledger, versions, Locked()), 1, None)
    repair(Promoter(ledger, versions), REAL)
    assert versions.aliases == {}


def test_an_interrupted_rollback_is_finished(ledger: Ledger, versions: FakeVersions) -> None:
    promoter = Promoter(ledger, versions)
    promote(promoter, 1, None)
    promote(promoter, 2, 1)
    with pytest.raises(Crash):
        Promoter(ledger, versions, on_step=crash_at("intent written")).rollback(REAL, actor="ann", reason="loses")
    assert versions.aliases["production"] == 2
    report = repair(promoter, REAL)
    assert versions.aliases == {"production": 1}
    assert ledger.state(REAL).barred == {2}
    assert [row.state for row in report.rows] == ["committed"]
    assert repair(promoter, REAL).rows == []


def test_an_interrupted_halt_is_finished(ledger: Ledger, versions: FakeVersions) -> None:
    promoter = Promoter(ledger, versions)
    promote(promoter, 1, None)
    with pytest.raises(Crash):
        Promoter(ledger, versions, on_step=crash_at("intent written")).rollback(REAL, actor="ann", reason="loses")
    repair(promoter, REAL)
    state = ledger.state(REAL)
    assert versions.aliases == {}
    assert state.current is None
    assert state.barred == {1}
    assert state.halt is not None


def test_a_finished_promotion_whose_bundle_no_longer_verifies_is_taken_back(
    ledger: Ledger, versions: FakeVersions
) -> None:
    promoter = Promoter(ledger, versions)
    promote(promoter, 1, None)
    with pytest.raises(Crash):
        promote(Promoter(ledger, versions, on_step=crash_at("production set")), 2, 1)
    assert versions.aliases == {"production": 2, "previous": 1}
    versions.broken.add(2)
    report = repair(promoter, REAL)
    assert versions.aliases == {"production": 1}
    assert report.rows[0].evidence["refusals"][0].startswith("bundle_broken")


def test_a_rollback_that_cannot_be_finished_alerts(ledger: Ledger, versions: FakeVersions) -> None:
    promoter = Promoter(ledger, versions)
    promote(promoter, 1, None)
    promote(promoter, 2, 1)
    with pytest.raises(Crash):
        Promoter(ledger, versions, on_step=crash_at("intent written")).rollback(REAL, actor="ann", reason="loses")
    versions.broken.add(1)
    report = repair(promoter, REAL)
    assert [row.state for row in report.rows] == ["aborted"]
    assert "was not finished" in report.alerts[0]
    assert versions.aliases == {"production": 2, "previous": 1}


def test_somebody_elses_change_during_an_intent_is_not_undone(ledger: Ledger, versions: FakeVersions) -> None:
    promoter = Promoter(ledger, versions)
    promote(promoter, 1, None)
    with pytest.raises(Crash):
        promote(Promoter(ledger, versions, on_step=crash_at("intent written")), 2, 1)
    versions.decisions[3] = decision(versions.manifests[3])
    versions.set_alias(REAL, "production", 3)
    report = repair(promoter, REAL)
    assert [(row.action, row.state) for row in report.rows] == [("promote", "aborted"), ("external", "committed")]
    assert versions.aliases["production"] == 3
    assert promoter.current(REAL) == 3


def test_a_refused_external_change_alerts_each_time_and_is_written_once(
    ledger: Ledger, versions: FakeVersions, caplog: pytest.LogCaptureFixture
) -> None:
    promoter = Promoter(ledger, versions)
    promote(promoter, 1, None)
    versions.broken.add(2)
    versions.set_alias(REAL, "production", 2)
    first, second = repair(promoter, REAL), repair(promoter, REAL)
    assert [(row.action, row.state) for row in first.rows] == [("external", "aborted")]
    assert second.rows == []
    assert first.alerts == second.alerts
    assert "bundle_broken" in first.alerts[0]
    assert "changed outside tidegate from v1 to v2" in caplog.text
    assert (versions.aliases["production"], promoter.current(REAL)) == (2, 1)


@pytest.mark.parametrize(
    ("before", "version", "reason"),
    [
        (lambda p: p.bar(REAL, 2, actor="ann", reason="bad"), 2, "barred"),
        (lambda p: p.halt(REAL, actor="ann", reason="storm"), 2, "halted"),
        (lambda p: p.versions.broken.add(2), 2, "bundle_broken"),
        (lambda p: setattr(p.versions, "model_kind", "simulated"), 2, "kind_differs"),
        (lambda _: None, None, "alias_removed"),
    ],
)
def test_an_external_change_is_refused_for_each_reason(
    ledger: Ledger,
    versions: FakeVersions,
    before: Callable[[Promoter], object],
    version: int | None,
    reason: str,
) -> None:
    promoter = Promoter(ledger, versions)
    promote(promoter, 1, None)
    versions.decisions[2] = decision(versions.manifests[2])
    before(promoter)
    versions.set_alias(REAL, "production", version)
    report = repair(promoter, REAL)
    assert [(row.action, row.state) for row in report.rows] == [("external", "aborted")]
    assert {text.partition(" ")[0] for text in report.rows[0].evidence["refusals"]} == {reason}
    assert promoter.current(REAL) == 1
    assert versions.alias(REAL, "production") == version


def test_a_registry_that_is_down_never_halts(ledger: Ledger, versions: FakeVersions) -> None:
    promoter = Promoter(ledger, versions)
    promote(promoter, 1, None)
    versions.reachable = False
    with pytest.raises(RegistryError):
        promoter.rollback(REAL, actor="ann", reason="loses")
    assert ledger.state(REAL).halt is None


def test_bar_clear_halt_and_resume_twice_equal_once(ledger: Ledger, versions: FakeVersions) -> None:
    signer = Signer.new()
    promoter = Promoter(ledger, versions, signer)
    who: Any = {"actor": "ann", "reason": "test"}
    acts: list[Callable[[], Outcome]] = [
        lambda: promoter.bar(REAL, 2, **who),
        lambda: promoter.clear(REAL, 2, **who),
        lambda: promoter.halt(REAL, **who),
        lambda: promoter.resume(REAL, **who),
    ]
    assert [[act().changed, act().changed] for act in acts] == [[True, False]] * 4
    for row, action in zip(promoter.history(REAL)[2:], ("halt", "resume"), strict=True):
        assert row.evidence["signed"] == f"tidegate/1 act\n{action} {REAL} {row.fencing_token}"
        signature = bytes.fromhex(row.evidence["signature"])
        assert signer.verifier().verify(row.evidence["signed"], signature) == row.evidence["key"]


def test_prune_protects_what_the_ledger_would_roll_back_to(ledger: Ledger, versions: FakeVersions) -> None:
    promoter = Promoter(ledger, versions)
    promote(promoter, 1, None)
    promote(promoter, 6, 1)
    versions.set_alias(REAL, "previous", None)
    assert promoter.prune(REAL) == [3, 2]
    with pytest.raises(ConfigurationError, match="at least 3"):
        promoter.prune(REAL, keep=2)


@pytest.mark.parametrize(
    ("kept", "reason"),
    [(None, "no_decision"), ({"promote": False}, "gates_refused"), ({"results": ()}, "gates_missing")],
)
def test_moving_the_alias_by_hand_is_no_way_around_the_gates(
    ledger: Ledger,
    versions: FakeVersions,
    caplog: pytest.LogCaptureFixture,
    kept: dict[str, object] | None,
    reason: str,
) -> None:
    promoter = Promoter(ledger, versions)
    promote(promoter, 1, None)
    if kept is not None:
        versions.decisions[2] = decision(versions.manifests[2], **kept)
    versions.aliases["production"] = 2
    report = repair(promoter, REAL)
    (row,) = report.rows
    assert (row.action, row.state, row.to_version) == ("external", "aborted", 2)
    (alert,) = report.alerts
    assert "from v1 to v2, refused" in alert
    assert reason in alert
    assert caplog.messages == report.alerts, "the alert reaches the log of whoever repairs"
    assert versions.aliases["production"] == 2, "it is left to people, never silently undone"
    assert (promoter.current(REAL), ledger.state(REAL).productions) == (1, (1,))
    again = repair(promoter, REAL)
    assert (again.rows, again.alerts) == ([], report.alerts)


def test_a_change_that_is_recorded_raises_an_alert_too(
    ledger: Ledger, versions: FakeVersions, caplog: pytest.LogCaptureFixture
) -> None:
    promoter = Promoter(ledger, versions)
    promote(promoter, 1, None)
    promote(promoter, 2, 1)
    versions.decisions[3] = decision(versions.manifests[3])
    for version in (1, 3):  # one that was in production before, without a decision; one that the gates let through
        versions.aliases["production"] = version
        report = repair(promoter, REAL)
        (row,) = report.rows
        assert (row.state, row.to_version) == ("committed", version)
        (alert,) = report.alerts
        assert f"to v{version}, recorded" in alert
        assert caplog.messages[-1] == alert
    assert row.evidence["decision"]["promote"] is True
    assert repair(promoter, REAL).alerts == []


def test_the_model_of_a_barred_version_does_not_come_back_by_hand(ledger: Ledger, versions: FakeVersions) -> None:
    promoter = Promoter(ledger, versions)
    promote(promoter, 1, None)
    promoter.bar(REAL, 2, actor="ann", reason="odd")
    again = versions.add(files=versions.manifests[2].files)
    versions.decisions[again] = decision(versions.manifests[again])
    versions.aliases["production"] = again
    (alert,) = repair(promoter, REAL).alerts
    assert "same_as_barred" in alert


def test_the_cause_of_a_rollback_and_of_a_halt_is_kept(ledger: Ledger, versions: FakeVersions) -> None:
    promoter = Promoter(ledger, versions)
    first, second = versions.add(), versions.add()
    promote(promoter, first, None)
    promote(promoter, second, first)
    cause = {"rule": "sequential", "observed": 7.5}
    promoter.rollback(REAL, actor="monitor", reason="alarm", evidence=cause)
    promoter.halt(REAL, actor="monitor", reason="again", evidence=cause)
    kept = [(row.action, row.state) for row in promoter.history(REAL) if row.evidence.get("cause") == cause]
    assert kept == [("rollback", "intent"), ("halt", "committed")]


def test_a_name_that_nobody_knows_is_neither_rolled_back_nor_halted(tmp_path: Path) -> None:
    versions = FakeVersions()
    ledger = Ledger(Database(f"sqlite:///{tmp_path}/ledger.db"))
    promoter = Promoter(ledger, versions)
    version = versions.add()
    judged = decision(versions.manifests[version])
    promoter.promote(REAL, version, judged, actor="ann", reason="told", champion=None)
    versions.model_kind = None
    rows = len(ledger.rows())
    for act in (promoter.rollback, promoter.halt):
        with pytest.raises(ConfigurationError, match=f"no strategy 'typo'.*names in the ledger: {REAL}"):
            act("typo", actor="ann", reason="told")
    assert len(ledger.rows()) == rows
    assert promoter.halt(REAL, actor="ann", reason="told").changed
