"""The daily backup as a flow with a real Prefect server, and the deployments of an installation beside those of strategies."""

from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.schedules import CronSchedule
from tests.integration.backup.place import Place, make_place

from flows.deploy import OF_INSTALLATION, deploy
from tidegate.errors import BackupError
from tidegate.registry.events import EventLedger

pytestmark = [pytest.mark.slow, pytest.mark.servers]

PROJECT = Path(__file__).parents[3]
REPORT = "1/run/artifacts/report.html"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    made = make_place(tmp_path)
    made.configure()
    monkeypatch.setenv("TIDEGATE_ROOT", str(made.root))
    monkeypatch.chdir(made.root)
    return made


@pytest.mark.usefixtures("prefect_server")
def test_the_flow_takes_one_verifies_it_and_fails_on_damage(place: Place) -> None:
    from flows.backup import backup

    told = backup("test")
    event = EventLedger.from_settings(place.settings).newest("", "backup")
    assert event is not None
    assert event.content["id"] == told["backup"]
    assert event.actor.startswith("prefect flow run ")
    look = EventLedger.from_settings(place.settings).newest("", "backup_verified")
    assert look is not None
    assert look.content["well"] is True

    # The next backup knows nothing of what is gone: it is compared with the one before.
    kept = (place.artifacts / REPORT).read_bytes()
    (place.artifacts / REPORT).unlink()
    with pytest.raises(BackupError, match=rf"{REPORT}: it is gone"):
        backup("test")
    (place.artifacts / REPORT).write_bytes(kept)

    file = place.bundle("alpha", 1) / "golden.json"
    content = file.read_bytes()
    file.write_bytes(content + b" ")
    with pytest.raises(BackupError, match=r"golden\.json was altered"):
        backup("test")
    file.write_bytes(content)
    assert (place.artifacts / REPORT).read_bytes() == kept


@pytest.mark.usefixtures("prefect_server")
def test_its_deployments_are_made_once() -> None:
    schedule = CronSchedule(cron="17 3 1 * *", timezone="UTC")
    names = ["backup/installation", "restore-drill/installation"]
    assert deploy(PROJECT, [], schedule, plans=(), of_installation=OF_INSTALLATION).created == names
    again = deploy(PROJECT, [], schedule, plans=(), of_installation=OF_INSTALLATION)
    # Other tests of this server may have left deployments of strategies that are gone; these two are none of them.
    assert (again.created, again.updated, again.unchanged) == ([], [], names)
    assert not {"installation", *names} & set(again.without_strategy)
    with get_client(sync_client=True) as client:
        found = client.read_deployment_by_name("backup/installation")
    assert [one.schedule.cron for one in found.schedules if isinstance(one.schedule, CronSchedule)] == ["30 2 * * *"]
