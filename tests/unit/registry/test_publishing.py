"""What serving processes are told, when, and what happens when they cannot be told."""
# ruff: noqa: ANN401  keyword arguments override fields of many types

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.registry_factories import NOW, REAL, Crash, FakeVersions, decision

from tidegate.errors import ConfigurationError, RegistryError
from tidegate.keys.signing import Signer, act_message, production_message, shadow_message
from tidegate.keys.state import SignedState, decode
from tidegate.registry.database import Database
from tidegate.registry.ledger import Ledger
from tidegate.registry.promotion import Outcome, Promoter
from tidegate.registry.repair import repair
from tidegate.registry.state import Draft

WHO: dict[str, Any] = {"actor": "ann", "reason": "test"}
SIGNER = Signer.new()


class Watched(FakeVersions):
    """Notes every published state beside the alias `production` at that time; `keeps = False` is a server that loses what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[int | None, SignedState]] = []
        self.keeps = True
        self.model_exists = True
        self.verifier = SIGNER.verifier()

    def keep_signed_state(self, strategy: str, text: str) -> bool:
        if not self.model_exists:
            return False
        if self.keeps:
            super().keep_signed_state(strategy, text)
            self.told.append((self.aliases.get("production"), decode(text, self.verifier, REAL)))
        return True

    def digest(self, version: int) -> str:
        return self.manifests[version].digest()


@pytest.fixture
def versions() -> Watched:
    made = Watched()
    for _ in range(4):
        made.add()
    return made


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(Database(f"sqlite:///{tmp_path}/ledger.db", clock=lambda: NOW))


@pytest.fixture
def promoter(ledger: Ledger, versions: Watched) -> Promoter:
    made = Promoter(ledger, versions, SIGNER)
    promote(made, 1, None)
    promote(made, 2, 1)
    versions.told.clear()
    return made


def promote(promoter: Promoter, version: int, champion: int | None, **changes: Any) -> Outcome:
    assert isinstance(promoter.versions, FakeVersions)
    judged = decision(promoter.versions.manifests[version])
    return promoter.promote(REAL, version, judged, **WHO, champion=champion, **changes)


def test_a_promotion_is_told_after_the_alias_has_moved(promoter: Promoter, versions: Watched) -> None:
    promote(promoter, 3, 2)
    ((alias, told),) = versions.told
    assert alias == told.production_version == 3
    assert (told.production, told.barred, told.halted) == (versions.digest(3), (), False)
    row = promoter.history(REAL)[-1]
    assert (told.token, told.at) == (row.id, row.created_at)


def test_a_rollback_is_told_before_the_alias_moves_and_after(promoter: Promoter, versions: Watched) -> None:
    promoter.rollback(REAL, **WHO)
    (before, first), (after, last) = versions.told
    assert (before, after) == (2, 1)
    assert last.token > first.token
    for told in (first, last):
        assert (told.production, told.production_version) == (versions.digest(1), 1)
        assert (told.barred, told.barred_models) == ((versions.digest(2),), (f"{2:064d}",))


def test_a_rollback_that_only_pauses_bars_nothing(promoter: Promoter, versions: Watched) -> None:
    promoter.rollback(REAL, **WHO, bar=False)
    assert [(told.production_version, told.barred) for _, told in versions.told] == [(1, ()), (1, ())]


def test_a_rollback_without_a_good_version_tells_a_halt_before_the_alias_goes(
    promoter: Promoter, versions: Watched
) -> None:
    promoter.bar(REAL, 1, **WHO)
    versions.told.clear()
    promoter.rollback(REAL, actor="ann", reason="nothing is left")
    assert [alias for alias, _ in versions.told] == [2, None]
    for _, told in versions.told:
        assert (told.halted, told.halt_reason, told.production) == (True, "nothing is left", None)
        assert set(told.barred) == {versions.digest(1), versions.digest(2)}


def test_halt_resume_bar_and_clear_are_told(promoter: Promoter, versions: Watched) -> None:
    acts: list[Callable[[], Outcome]] = [
        lambda: promoter.halt(REAL, actor="ann", reason="x" * 1000),
        lambda: promoter.resume(REAL, **WHO),
        lambda: promoter.bar(REAL, 3, **WHO),
        lambda: promoter.clear(REAL, 3, **WHO),
    ]
    for act in acts:
        act()
    told = [told for _, told in versions.told]
    assert [each.halted for each in told] == [True, False, False, False]
    assert told[0].halt_reason == "x" * 197 + "..."
    assert [each.barred for each in told] == [(), (), (versions.digest(3),), ()]
    assert told[2].barred_models == (f"{3:064d}",), "a version that never was in production is known by its digests"
    assert [each.production_version for each in told] == [2] * 4
    assert [each.truncated for each in told] == [False] * 4


def test_a_bar_of_files_that_do_not_verify_holds_and_says_that_the_list_is_not_whole(
    promoter: Promoter, versions: Watched
) -> None:
    versions.broken.add(3)
    promoter.bar(REAL, 3, **WHO)
    ((_, told),) = versions.told
    assert (told.barred, told.truncated) == ((), True)
    assert promoter.ledger.state(REAL).barred == {3}


def test_the_model_of_altered_files_is_not_taken_for_that_of_the_version_the_ledger_knows(
    promoter: Promoter, versions: Watched
) -> None:
    with promoter.ledger.writing() as writer:  # a row without its model, as no act writes it
        draft = Draft(REAL, "external", 2, 3, "ann", "test", versions.digest(3))
        writer.append(draft, "committed")
        writer.append(Draft(REAL, "external", 3, 2, "ann", "test", versions.digest(2)), "committed")
    original = versions.digest(3)
    versions.manifests[3] = versions.manifests[3].model_copy(update={"files": {"model.onnx": "e" * 64}})
    promoter.bar(REAL, 3, **WHO)
    _, told = versions.told[-1]
    assert (told.barred, told.barred_models, told.truncated) == ((original,), (), True)


def test_the_model_of_the_version_in_production_is_not_barred_with_another(
    promoter: Promoter, versions: Watched
) -> None:
    again = versions.add(files=versions.manifests[2].files)
    promote(promoter, again, 2)
    versions.told.clear()
    promoter.rollback(REAL, **WHO)
    _, told = versions.told[-1]
    assert (told.production_version, told.barred, told.barred_models) == (2, (versions.digest(again),), ())


def test_what_cannot_be_told_is_an_error_that_says_so_and_a_repair_tells_it(
    promoter: Promoter, versions: Watched
) -> None:
    def down(step: str) -> None:
        if step == "committed":
            versions.reachable = False

    with pytest.raises(RegistryError, match=r"v3 is in production.*recorded.*not told.*tidegate repair"):
        promote(Promoter(promoter.ledger, versions, SIGNER, on_step=down), 3, 2)
    versions.reachable = True
    assert (promoter.current(REAL), versions.aliases["production"], versions.told) == (3, 3, [])
    report = repair(promoter, REAL)
    assert (report.rows, report.published) == ([], True)
    assert "signed state in MLflow was not what the ledger says" in report.alerts[0]
    assert [told.production_version for _, told in versions.told] == [3]
    again = repair(promoter, REAL)
    assert (again.rows, again.alerts, again.published, again.signed) == ([], [], False, False)


@pytest.mark.parametrize("act", ["halt", "bar"])
def test_the_same_command_again_tells_what_could_not_be_told(promoter: Promoter, versions: Watched, act: str) -> None:
    arguments = [3] if act == "bar" else []
    versions.keeps = False
    with pytest.raises(RegistryError, match="is not what was published"):
        getattr(promoter, act)(REAL, *arguments, **WHO)
    versions.keeps = True
    assert getattr(promoter, act)(REAL, *arguments, **WHO).changed is False
    assert len(versions.told) == 1


def test_a_killed_rollback_that_cannot_be_finished_is_taken_back_in_the_state_too(
    promoter: Promoter, versions: Watched
) -> None:
    def crash(step: str) -> None:
        if step == "announced":
            raise Crash

    with pytest.raises(Crash):
        Promoter(promoter.ledger, versions, SIGNER, on_step=crash).rollback(REAL, **WHO)
    assert versions.told[-1][1].production_version == 1
    versions.broken.add(1)
    repair(promoter, REAL)
    _, told = versions.told[-1]
    assert (told.production_version, told.barred) == (2, ())


@pytest.mark.parametrize("act", ["promote", "rollback"])
def test_an_act_that_a_repair_finishes_is_signed_in_the_ledger_too(
    promoter: Promoter, versions: Watched, act: str
) -> None:
    def crash(step: str) -> None:
        if step == "production set":
            raise Crash

    with pytest.raises(Crash):
        ACTS[act](Promoter(promoter.ledger, versions, SIGNER, on_step=crash))
    (row,) = repair(promoter, REAL).rows
    assert row.to_version is not None
    message = production_message(versions.digest(row.to_version))
    assert row.evidence["signed"] == message
    assert SIGNER.verifier().verify(message, bytes.fromhex(row.evidence["signature"])) == row.evidence["key"]


def test_a_slow_process_never_publishes_an_old_state_over_a_newer_one(promoter: Promoter, versions: Watched) -> None:
    def overtake(step: str) -> None:
        if step == "committed":
            promoter.halt(REAL, **WHO)

    promote(Promoter(promoter.ledger, versions, SIGNER, on_step=overtake), 3, 2)
    assert versions.signed_state(REAL) is not None
    _, told = versions.told[-1]
    assert (told.halted, told.production_version) == (True, 3)


def test_a_change_by_hand_is_told_and_signed_only_when_it_is_recorded(promoter: Promoter, versions: Watched) -> None:
    versions.aliases["production"] = 3
    repair(promoter, REAL)
    assert [told.production_version for _, told in versions.told] == [2]
    assert 3 not in versions.signatures
    versions.shadow_signatures[4] = SIGNER.sign(shadow_message(versions.digest(4)))
    versions.decisions[4] = decision(versions.manifests[4])
    versions.aliases["production"] = 4
    (row,) = repair(promoter, REAL).rows
    assert versions.told[-1][1].production_version == 4
    signature = versions.signatures[4]
    assert SIGNER.verifier().verify(production_message(versions.digest(4)), signature) == row.evidence["key"]
    assert row.evidence["signature"] == signature.hex()


def test_somebody_elses_text_in_place_of_the_state_is_put_right(promoter: Promoter, versions: Watched) -> None:
    versions.state = "- {}"
    report = repair(promoter, REAL)
    assert report.published
    assert "altered" in report.alerts[0]
    assert versions.told[-1][1].production_version == 2


def test_a_new_key_signs_the_state_and_what_is_in_production(promoter: Promoter, versions: Watched) -> None:
    new = Signer.new()
    versions.verifier = new.verifier()
    report = repair(Promoter(promoter.ledger, versions, new), REAL)
    assert (report.rows, report.published, report.signed) == ([], True, True)
    assert versions.verifier.verify(production_message(versions.digest(2)), versions.signatures[2])
    assert versions.told[-1][1].production_version == 2


def test_a_model_that_was_promoted_before_there_was_a_key_is_signed_unless_it_was_altered(
    ledger: Ledger, versions: Watched
) -> None:
    versions.model_exists = False  # an unsigned state would be refused here
    promote(Promoter(ledger, versions), 1, None)
    versions.model_exists = True
    assert versions.signatures == {}
    versions.broken.add(1)
    assert repair(Promoter(ledger, versions, SIGNER), REAL).signed is False
    versions.broken.clear()
    original = versions.manifests[1]
    versions.manifests[1] = original.model_copy(update={"seed": 8})
    assert repair(Promoter(ledger, versions, SIGNER), REAL).signed is False
    assert versions.signatures == {}
    versions.manifests[1] = original
    assert repair(Promoter(ledger, versions, SIGNER), REAL).signed is True
    assert SIGNER.verifier().verify(production_message(original.digest()), versions.signatures[1])


def test_of_many_barred_versions_the_newest_that_still_exist_are_named(promoter: Promoter, versions: Watched) -> None:
    for _ in range(60):
        versions.add()
    for version in range(3, 64):
        promoter.bar(REAL, version, **WHO)
    for version in range(50, 60):
        del versions.manifests[version]  # pruned, as old versions are
    promoter.clear(REAL, 63, **WHO)
    _, told = versions.told[-1]
    assert told.truncated
    state = promoter.ledger.state(REAL)
    named = [version for digest in told.barred for version in state.barred if state.digests[version] == digest]
    kept = len(named)
    assert kept > 25
    assert named == [62, 61, 60, *range(49, 49 - kept + 3, -1)]
    assert len(versions.state or "") <= 5000


def test_nothing_is_told_of_a_strategy_without_history_or_without_a_model(ledger: Ledger, versions: Watched) -> None:
    promoter = Promoter(ledger, versions, SIGNER)
    assert repair(promoter, REAL).published is False
    versions.model_exists = False
    promoter.halt(REAL, **WHO)
    assert versions.state is None
    versions.model_exists = True
    assert repair(promoter, REAL).published is True


ACTS: dict[str, Callable[[Promoter], object]] = {
    "promote": lambda promoter: promote(promoter, 3, 2),
    "override": lambda promoter: promote(promoter, 3, 2, override=True),
    "rollback": lambda promoter: promoter.rollback(REAL, **WHO),
    "halt": lambda promoter: promoter.halt(REAL, **WHO),
    "resume": lambda promoter: promoter.resume(REAL, **WHO),
    "bar": lambda promoter: promoter.bar(REAL, 1, **WHO),
    "clear": lambda promoter: promoter.clear(REAL, 1, **WHO),
    "repair": lambda promoter: repair(promoter, REAL),
}


@pytest.mark.parametrize("act", ACTS)
def test_in_production_no_act_happens_without_a_key(promoter: Promoter, versions: Watched, act: str) -> None:
    rows, aliases = promoter.history(REAL), dict(versions.aliases)
    with pytest.raises(
        ConfigurationError, match=r"private key file \(signing\.private_key_file\).*tidegate keys signing new"
    ):
        ACTS[act](Promoter(promoter.ledger, versions, must_sign=True))
    assert (promoter.history(REAL), versions.aliases, versions.told) == (rows, aliases, [])
    ACTS[act](Promoter(promoter.ledger, versions, SIGNER, must_sign=True))


def moved_by_hand(versions: Watched, version: int) -> None:
    """Somebody puts a decision that promotes beside a version, and moves the alias to it."""
    versions.decisions[version] = decision(versions.manifests[version])
    versions.aliases["production"] = version


def test_what_the_pipeline_registered_may_be_put_into_production_by_hand_and_is_signed(
    promoter: Promoter, versions: Watched
) -> None:
    versions.shadow_signatures[3] = SIGNER.sign(shadow_message(versions.digest(3)))
    moved_by_hand(versions, 3)
    assert [(row.action, row.state) for row in repair(promoter, REAL).rows] == [("external", "committed")]
    assert versions.signatures[3] == SIGNER.sign(production_message(versions.digest(3)))


@pytest.mark.parametrize("forged", ["nothing", "another key", "another version", "another purpose"])
def test_a_bundle_that_somebody_else_registered_is_never_signed(
    promoter: Promoter, versions: Watched, forged: str
) -> None:
    signature = {
        "nothing": None,
        "another key": Signer.new().sign(shadow_message(versions.digest(3))),
        "another version": SIGNER.sign(shadow_message(versions.digest(2))),
        "another purpose": SIGNER.sign(act_message("promote", REAL, 3)),
    }[forged]
    if signature is not None:
        versions.shadow_signatures[3] = signature
    moved_by_hand(versions, 3)
    report = repair(promoter, REAL)
    assert [(row.action, row.state) for row in report.rows] == [("external", "aborted")]
    assert "not_registered_here" in report.alerts[0]
    assert 3 not in versions.signatures
    assert promoter.current(REAL) == 2


def test_what_was_judged_is_what_is_signed(
    promoter: Promoter, versions: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged, other = versions.manifests[3], versions.manifests[3].model_copy(update={"seed": 99})
    versions.shadow_signatures[3] = SIGNER.sign(shadow_message(judged.digest()))
    moved_by_hand(versions, 3)
    answers = iter([judged])
    real = versions.verified_manifest
    monkeypatch.setattr(
        versions,
        "verified_manifest",
        lambda name, version: next(answers, other) if version == 3 else real(name, version),
    )
    (row,) = repair(promoter, REAL).rows
    assert (row.state, row.bundle_digest) == ("committed", judged.digest())
    assert SIGNER.verifier().verify(production_message(judged.digest()), versions.signatures[3])
