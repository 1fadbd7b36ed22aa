"""Deployments that go on later than they began: what was true then is looked at anew, and nothing is claimed that nobody saw."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.integration.deployment.places import Place
from tests.registry_factories import REAL

from tidegate.deployment.ports import Ports, Seen
from tidegate.deployment.procedure import Deployed, Wish, abandon, deploy
from tidegate.errors import ServiceError

pytestmark = pytest.mark.timeout(120)

HOUR = 3_600_000
QUIET = Seen("done", "quiet", {})


class Breaks(Exception):
    """The process ends here, as by a kill."""


def go(ports: Ports) -> Deployed:
    return deploy(ports, Wish(REAL, 2, "ann", "why", 30.0))


def breaking_at(place: Place, step: str) -> Ports:
    """Ports with which a deployment ends at a step."""

    def stops(name: str) -> None:
        if name == step:
            raise Breaks

    return replace(place.ports(), on_step=stops)


def broken_off(place: Place, step: str, act: Callable[[Ports], object] = go) -> None:
    with pytest.raises(Breaks):
        act(breaking_at(place, step))


def later(place: Place, hours: float) -> int:
    """So much later by the ledger's clock; the new time."""
    database = place.events.database
    now = database.clock() + round(hours * HOUR)
    database.clock = lambda: now
    return now


@pytest.mark.parametrize("step", ["bots", "watch: done"])
def test_a_watch_that_was_broken_off_is_made_whole(tmp_path: Path, step: str) -> None:
    place = Place(tmp_path)
    broken_off(place, step)
    now, until = later(place, 5), []

    def watches(_strategy: str, _version: int, until_ms: int) -> Seen:
        until.append(until_ms)
        return QUIET

    assert go(replace(place.ports(), watches=watches)).verdict == "kept"
    assert until == [now + HOUR // 2], "nobody watched while the command was not there"


@pytest.mark.parametrize("step", ["verdict: done", "verdict", "stop: done", "stop", "record: done"])
def test_one_that_is_being_given_up_is_never_switched(tmp_path: Path, step: str) -> None:
    place = Place(tmp_path, is_ill=True)
    with pytest.raises(ServiceError):
        place.deploy()
    broken_off(place, step, lambda ports: abandon(ports, REAL, "bob"))
    place.is_ill = False
    if step == "verdict: done":  # nothing says that it was given up
        assert place.deploy().verdict == "kept"
        return
    done = place.deploy()
    found = place.ended()
    assert done.verdict == "abandoned"
    assert (found["ledger"], found["requests"], found["running"]) == (1, "old", ["old"])
    assert "switch" not in done.entries


@pytest.mark.parametrize("step", ["start", "health", "prediction"])
def test_a_new_process_that_has_died_meanwhile_is_started_again(tmp_path: Path, step: str) -> None:
    place = Place(tmp_path)
    broken_off(place, step)
    for path in (tmp_path / "boxes").glob("deploy-*"):
        path.unlink()
    assert place.deploy().verdict == "kept"
    assert place.ended()["running"] == ["deploy"]


def test_what_is_written_down_holds_no_secret(tmp_path: Path) -> None:
    place = Place(tmp_path)

    def answers(_strategy: str, _version: int) -> str:
        return "said: API_PASSWORD=hunter2hunter and postgresql://tide:hunter2@db/x"

    go(replace(place.ports(), answers=answers))
    (record,) = (tmp_path / "deployments").glob("*.json")
    assert "said" in record.read_text()
    for text in (record.read_text(), str(place.events.rows())):
        assert "hunter2" not in text


def test_one_that_has_become_ill_meanwhile_is_not_switched_to(tmp_path: Path) -> None:
    place = Place(tmp_path)
    broken_off(place, "prediction")
    place.is_ill = True
    with pytest.raises(ServiceError, match="not ready"):
        place.deploy()
    assert place.ended()["ledger"] == 1


@pytest.mark.parametrize(("hours", "backups"), [(1.0, 1), (25.0, 2)])
def test_an_old_backup_does_not_do(tmp_path: Path, hours: float, backups: int) -> None:
    place = Place(tmp_path)
    broken_off(place, "prediction")
    later(place, hours)
    assert place.deploy().verdict == "kept"
    assert place.ended()["backups"] == backups


@pytest.mark.parametrize("step", ["prediction", "bots"])
def test_a_window_that_has_ended_is_started_again(tmp_path: Path, step: str) -> None:
    place = Place(tmp_path)
    broken_off(place, step)
    later(place, 3)
    assert place.deploy().verdict == "kept"
    assert place.ended()["windows"] == ["maintenance_started", "maintenance_started", "maintenance_ended"]


def test_what_was_rolled_back_after_its_watch_is_not_kept(tmp_path: Path) -> None:
    place = Place(tmp_path)
    broken_off(place, "watch")
    place.promoter.rollback(REAL, actor="the watch", reason="errors", leaving=2)
    done = place.deploy()
    found = place.ended()
    assert (done.verdict, found["ledger"], found["running"]) == ("gone_back", 1, ["old"])
    assert "production is v1" in done.entries["verdict"].evidence


def test_what_was_halted_during_its_watch_is_not_kept(tmp_path: Path) -> None:
    place = Place(tmp_path)
    broken_off(place, "watch")
    place.promoter.halt(REAL, actor="the watch", reason="errors")
    done = place.deploy()
    assert (done.verdict, place.ended()["running"]) == ("gone_back", ["old"])
    assert "halted" in done.entries["verdict"].evidence
    assert place.promoter.ledger.state(REAL).halt is not None


def test_where_processes_followed_and_then_none_could_be_watched_it_goes_back(tmp_path: Path) -> None:
    done = Place(tmp_path, watch=Seen("not_watched", "nobody", {})).deploy()
    assert done.verdict == "gone_back"
    assert done.entries["switch"].details["verification"]["verdict"] == "verified"
