"""A deployment that is killed with kill -9 at any step, and given again, ends as one that was never killed; nothing is done twice that must not be."""

import multiprocessing as mp
import signal
from pathlib import Path

import pytest
from tests.integration.deployment.places import Place
from tests.registry_factories import REAL

from tidegate.deployment.journal import STEPS
from tidegate.deployment.ports import Seen

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

context = mp.get_context("forkserver")
context.set_forkserver_preload(["tests.integration.deployment.places"])

KEPT = {
    "ledger": 2,
    "alias": 2,
    "open": None,
    "requests": "deploy",
    "running": ["deploy"],
    "started": 1,
    "backups": 1,
    "told": [f"{REAL}: a deployment begins", f"{REAL}: a deployment has ended: kept"],
    "windows": ["maintenance_started", "maintenance_ended"],
    "deployments": 1,
}
# Named steps of a promotion, which are within `switch`.
PROMOTION = [
    "intent written",
    "fence passed",
    "previous set",
    "production set",
    "aliases verified",
    "closing row written",
    "committed",
    "published",
    "settled",
]
FIRED = Seen("fired", "errors: 12 % fail", {})


def run(folder: str, kill_at: str | None, fires: bool) -> None:
    place = Place(Path(folder), kill_at=kill_at)
    place.watch = FIRED if fires else place.watch
    place.deploy()


def killed_at(folder: Path, step: str, *, fires: bool = False) -> None:
    Place(folder)  # v1 is in production before
    process = context.Process(target=run, args=(str(folder), step, fires))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL


@pytest.mark.parametrize("step", [*(f"{name}{point}" for name in STEPS for point in (": done", "")), *PROMOTION])
def test_the_end_is_the_same(tmp_path: Path, step: str) -> None:
    killed_at(tmp_path, step)
    again = Place(tmp_path)
    if step == "record":
        assert again.ended() == KEPT, "it had ended"
        return
    done = again.deploy()
    found = again.ended()
    # Before its plan is on record a deployment has no name, and nothing was done.
    assert found == KEPT
    assert (done.verdict, list(done.entries)) == ("kept", list(STEPS))
    again.events.verify()
    again.promoter.ledger.verify()


@pytest.mark.parametrize("step", ["watch", "verdict: done", "verdict", "stop: done", "record: done"])
def test_going_back_is_the_same_as_well(tmp_path: Path, step: str) -> None:
    killed_at(tmp_path, step, fires=True)
    again = Place(tmp_path, watch=FIRED)
    assert again.deploy().verdict == "gone_back"
    found = again.ended()
    assert (found["ledger"], found["alias"], found["open"]) == (1, 1, None)
    assert (found["requests"], found["running"], found["backups"]) == ("old", ["old"], 1)
    assert again.promoter.ledger.state(REAL).barred == {2}
