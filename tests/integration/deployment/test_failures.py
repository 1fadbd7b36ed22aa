"""Deployments that fail: before the switch nothing changes and the step is taken again, after it the old version comes back."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.integration.deployment.places import Place
from tests.registry_factories import REAL

from tidegate.deployment.ports import Seen
from tidegate.deployment.procedure import Wish, abandon, deploy
from tidegate.errors import BackupError, ConfigurationError, PromotionRefused, ServiceError

pytestmark = pytest.mark.timeout(120)

BEFORE = {"ledger": 1, "alias": 1, "requests": "old"}


def now(place: Place) -> dict[str, object]:
    found = place.ended()
    return {name: found[name] for name in BEFORE}


def test_what_is_not_ready_stops_it_and_it_goes_on_when_that_is_mended(tmp_path: Path) -> None:
    place = Place(tmp_path, is_ill=True)
    with pytest.raises(ServiceError, match="is not ready"):
        place.deploy()
    assert now(place) == BEFORE
    place.is_ill = False
    done = place.deploy()
    assert done.verdict == "kept"
    assert place.ended()["backups"] == 1


def test_it_may_be_given_up_before_its_switch(tmp_path: Path) -> None:
    place = Place(tmp_path, is_ill=True)
    with pytest.raises(ServiceError):
        place.deploy()
    done = abandon(place.ports(), REAL, "bob")
    assert done.verdict == "abandoned"
    found = place.ended()
    assert (found["running"], found["windows"]) == (["old"], ["maintenance_started", "maintenance_ended"])
    with pytest.raises(ConfigurationError, match="no deployment"):
        abandon(place.ports(), REAL, "bob")


def test_it_may_not_be_given_up_after_its_switch(tmp_path: Path) -> None:
    place = Place(tmp_path)

    def stops(_strategy: str, _version: int, _since: int) -> Seen:
        raise ServiceError("the network is away")

    with pytest.raises(ServiceError):
        deploy(replace(place.ports(), bots=stops), Wish(REAL, 2, "ann", "why", 30.0))
    with pytest.raises(PromotionRefused, match="past its switch"):
        abandon(place.ports(), REAL, "bob")
    assert place.deploy().verdict == "kept"


def test_without_a_backup_nothing_is_deployed(tmp_path: Path) -> None:
    place = Place(tmp_path)

    def refuses(_reason: str) -> str:
        raise BackupError("there is no repository")

    with pytest.raises(BackupError):
        deploy(replace(place.ports(), back_up=refuses), Wish(REAL, 2, "ann", "why", 30.0))
    assert now(place) == BEFORE
    assert place.ended()["started"] == 0


def test_a_version_that_the_gates_refuse_is_not_even_planned(tmp_path: Path) -> None:
    place = Place(tmp_path)
    del place.versions.decisions[2]
    with pytest.raises(PromotionRefused, match="no_decision"):
        place.deploy()
    assert place.ended()["deployments"] == 0


def test_a_version_that_answers_wrongly_never_gets_a_request(tmp_path: Path) -> None:
    place = Place(tmp_path, broken=frozenset({2}))
    with pytest.raises(Exception, match="answers wrongly"):
        place.deploy()
    assert now(place) == BEFORE


def test_a_rollback_target_that_does_not_answer_is_on_record(tmp_path: Path) -> None:
    plan = Place(tmp_path, broken=frozenset({1})).deploy().plan
    assert (plan.rollback_to, plan.rollback_verified) == (1, False)


@pytest.mark.parametrize(
    ("changes", "step"),
    [
        ({"follows": False}, "switch"),
        ({"bots": Seen("not_seen", "bot-1", {})}, "bots"),
        ({"watch": Seen("fired", "errors", {})}, "watch"),
        ({"watch": Seen("left", "v1", {})}, "watch"),
        ({"watch": Seen("silent", "one", {})}, "watch"),
        ({"watch": Seen("not_watched", "nobody", {})}, "watch"),
    ],
)
def test_what_goes_wrong_after_the_switch_brings_the_old_version_back(
    tmp_path: Path, changes: dict[str, object], step: str
) -> None:
    place = replace(Place(tmp_path), **changes)  # type: ignore[arg-type]
    done = place.deploy()
    assert done.verdict == "gone_back"
    assert step in done.entries["verdict"].evidence
    assert now(place) == BEFORE
    assert place.promoter.ledger.state(REAL).barred == {2}


def test_where_no_process_serves_nobody_could_be_watched_and_it_stays_and_says_so(tmp_path: Path) -> None:
    done = Place(tmp_path, watch=Seen("not_watched", "nobody", {}), serves=False).deploy()
    assert (done.verdict, done.entries["watch"].outcome) == ("kept", "not_watched")


def test_new_processes_of_the_same_version_go_back_without_an_act(tmp_path: Path) -> None:
    place = Place(tmp_path, watch=Seen("fired", "errors", {}))
    done = place.deploy(None)
    assert (done.plan.moves, done.verdict) == (False, "gone_back")
    assert now(place) == BEFORE
    assert place.promoter.ledger.state(REAL).barred == frozenset()


def test_one_deployment_at_a_time(tmp_path: Path) -> None:
    place = Place(tmp_path, is_ill=True)
    with pytest.raises(ServiceError):
        place.deploy(2)
    with pytest.raises(ConfigurationError, match="v2 is open"):
        place.deploy(3)


def test_a_halted_strategy_is_not_deployed(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.promoter.halt(REAL, actor="ann", reason="told")
    with pytest.raises(PromotionRefused, match="halted"):
        place.deploy()
