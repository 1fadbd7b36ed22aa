"""Deployments behind a real HAProxy with real serving processes, while bots ask for predictions all the time: none of them goes without an answer."""

import json
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.e2e.serving_process import Serving
from tests.integration.backup.place import require_restic
from tests.integration.deployment.proxy import Proxy, written
from tests.integration.deployment.test_real import NAME, Bot, beating, installation
from tests.meanwhile import meanwhile
from tests.servers import free_port, mlflow_server
from tests.unit.model.small_model import SYMBOL, window_ending

from tidegate.bars.bars import COLUMNS
from tidegate.deployment.opening import opened
from tidegate.deployment.procedure import Deployed, Wish, deploy
from tidegate.deployment.processes import Processes
from tidegate.settings.settings import Settings
from tidegate.strategy.strategy import find_strategy

pytestmark = [pytest.mark.slow, pytest.mark.servers, pytest.mark.timeout(600)]


@dataclass
class Answers:
    """Predictions by the version that gave them, and what failed."""

    by: "Counter[int]" = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)


@dataclass
class Place:
    """v1 in production on a process that somebody started, behind the proxy."""

    folder: Path
    settings: Settings
    proxy: Proxy
    old: Serving
    answers: Answers

    def deploy(self, version: int) -> Deployed:
        strategy = find_strategy(NAME, self.settings.paths.strategies)
        with opened(self.settings, self.folder, strategy, NAME, actor="ann") as ports:
            return deploy(ports, Wish(NAME, version, "ann", "the month's model", 0.05))

    def states(self) -> dict[str, str]:
        servers = self.proxy.backend.servers().values()
        return {one.name: "free" if one.is_free else "drained" if one.is_drained else "ready" for one in servers}

    def goes_on(self, version: int) -> None:
        """Some more predictions, all of one version, and nothing that failed."""
        time.sleep(0.5)
        before = self.answers.by.copy()
        deadline = time.monotonic() + 60
        while self.answers.by[version] < before[version] + 20:
            assert self.answers.failed == []
            assert time.monotonic() < deadline, self.answers.by
            time.sleep(0.1)
        assert set(self.answers.by - before) == {version}


@contextmanager
def asking(port: int) -> Iterator[Answers]:
    """A bot that asks about whole windows, each time over a new connection, and tries nothing twice."""
    answers, ending = Answers(), threading.Event()
    window = window_ending(1400)
    item = {"symbol": SYMBOL, "bars": {name: getattr(window, name).tolist() for name in COLUMNS}}
    body = json.dumps({"items": [item]}).encode()

    def ask_on() -> None:
        while not ending.wait(0.04):  # both together well below what one key may ask in a second
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}/v1/predict", body, {"Content-Type": "application/json"}
            )
            try:
                with urllib.request.urlopen(request, timeout=20) as told:
                    (answer,) = json.load(told)["answers"]
                assert answer["problem"] is None, answer
                answers.by[answer["version"]] += 1
            except (OSError, ValueError, KeyError, AssertionError) as error:
                answers.failed.append(repr(error))

    with meanwhile([ask_on] * 2, ending):
        yield answers


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    require_restic()
    folder = tmp_path_factory.mktemp("behind").resolve()
    with ExitStack() as stack:
        address = stack.enter_context(mlflow_server(folder / "mlruns"))
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        port = free_port()
        proxy = written(folder, port, over_tcp=False)
        own = {
            "DEPLOY__PROXY_SOCKET": proxy.api,
            "DEPLOY__PROXY_STATE_FILE": str(proxy.state_file),
            # The bot's bars are of another day.
            "SERVING__CLOCK": "bars",
        }
        settings = installation(folder, address, patch, **own)
        old = stack.enter_context(Serving(folder, address, port, NAME, "old", poll_s=3600))
        proxy.start()
        stack.callback(proxy.kill)
        answers = stack.enter_context(asking(proxy.port))
        yield Place(folder, settings, proxy, old, answers)


@pytest.fixture(scope="module")
def second(place: Place) -> Iterator[Deployed]:
    place.goes_on(1)
    done = place.deploy(2)
    yield done
    Processes(place.settings, place.folder, done.id, done.plan, place.folder).stop_new()


def test_a_new_process_takes_over_and_no_prediction_fails(place: Place, second: Deployed) -> None:
    assert second.verdict == "kept", {name: (one.outcome, one.evidence) for name, one in second.entries.items()}
    assert "requests go to green; blue is drained, with no request under way" in second.entries["switch"].evidence
    place.goes_on(2)
    assert place.states() == {"blue": "free", "green": "ready"}
    # Nothing comes to the old process any more: it may go.
    place.old.process.terminate()
    place.old.process.wait(30)
    place.goes_on(2)
    assert set(place.answers.by) == {1, 2}


def test_one_that_bots_do_not_follow_goes_back_and_no_prediction_fails(place: Place, second: Deployed) -> None:
    del second
    bot = Bot(place.proxy.port, follows=False)
    with beating(bot):
        done = place.deploy(3)
    assert (done.verdict, done.entries["bots"].outcome) == ("gone_back", "not_seen")
    assert "requests go to green again; blue is drained" in done.entries["verdict"].evidence
    place.goes_on(2)
    assert place.states() == {"blue": "free", "green": "ready"}
    assert place.answers.failed == []
