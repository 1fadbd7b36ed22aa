"""Deployments with a real MLflow, a real repository of backups, real serving processes and a bot that sends heartbeats."""

import json
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.serving_process import Serving, get
from tests.integration.backup.place import require_restic
from tests.registry_factories import decision
from tests.servers import free_port, mlflow_server
from tests.unit.cli.run import CommandLine
from tests.unit.model.small_model import small_files, small_manifest

from tidegate.backup.take import take_backup
from tidegate.deployment.opening import opened
from tidegate.deployment.procedure import Deployed, Wish, deploy
from tidegate.deployment.processes import Processes
from tidegate.model.bundle import write_bundle
from tidegate.registry.database import system_clock
from tidegate.registry.events import EventLedger
from tidegate.registry.opening import open_promoter
from tidegate.registry.tracking.versions import Tracking
from tidegate.settings.loading import load_settings
from tidegate.settings.settings import Settings
from tidegate.strategy.strategy import find_strategy

pytestmark = [pytest.mark.slow, pytest.mark.servers, pytest.mark.timeout(300)]

NAME = "small"
FAR_MS = 10**14
STRATEGIES = Path(__file__).parents[3] / "configs" / "strategies"


@dataclass
class Bot:
    """Sends heartbeats that name the version of the service's last answer."""

    port: int
    follows: bool = True
    ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self.ended.wait(0.2):
            self.beat()

    def beat(self) -> None:
        version = served(self.port)["version"] if self.follows else 1
        body = {
            "bot": "bot-1",
            "strategy": NAME,
            "last_version": version,
            "last_bundle_digest": None,
            "breaker": "closed",
            "decisions": {"model": 1},
            "dry_run": False,
            "sent_at": system_clock(),
        }
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/v1/bots/heartbeat",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10):
            pass


@dataclass
class Place:
    """An installation: v1 in production on an old process, v2 and v3 registered."""

    folder: Path
    settings: Settings
    old: Serving
    bot: Bot

    def deploy(self, version: int, minutes: float) -> Deployed:
        strategy = find_strategy(NAME, self.settings.paths.strategies)
        with opened(self.settings, self.folder, strategy, NAME, actor="ann") as ports:
            return deploy(ports, Wish(NAME, version, "ann", "the month's model", minutes))

    def processes(self, done: Deployed) -> Processes:
        return Processes(self.settings, self.folder, done.id, done.plan, self.folder)


@contextmanager
def beating(bot: Bot) -> Iterator[None]:
    thread = threading.Thread(target=bot.run)
    thread.start()
    try:
        yield
    finally:
        bot.ended.set()
        thread.join(20)


def served(port: int) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/model", timeout=10) as answer:
        found: list[dict[str, Any]] = json.load(answer)
    return found[0]["production"] if "production" in found[0] else found[0]


def register(settings: Settings, folder: Path) -> None:
    tracking, files = Tracking(settings), small_files()
    for seed in (1, 2, 3):
        manifest = small_manifest(files, expires_at=FAR_MS, seed=seed, created_at=seed)
        write_bundle(folder / f"bundle-{seed}", manifest, files)
        with tracking.start_run(NAME, f"run {seed}") as run:
            run.decision(decision(manifest))
            names = [spec.name for spec in manifest.features]
            tracking.register(folder / f"bundle-{seed}", run, names, description="test")
    promoter = open_promoter(settings, tracking)
    promoter.promote(NAME, 1, tracking.decision(NAME, 1), actor="ann", reason="first", champion=None)


def installation(folder: Path, address: str, patch: pytest.MonkeyPatch, **changes: str) -> Settings:
    """v1 in production, v2 and v3 registered, a first backup; `changes` are further settings, as the environment names them."""
    password = folder / "password"
    password.write_text("secret")
    password.chmod(0o600)
    own = {
        "MLFLOW__TRACKING_URI": address,
        "SERVING__ALLOW_UNSIGNED": "true",
        "SERVING__POLL_S": "3600",
        "SERVING__LOG_FOLDER": str(folder / "log"),
        "SERVING__CACHE": str(folder / "cache" / "serving"),
        "BACKUP__REPOSITORY": str(folder / "backups"),
        "BACKUP__PASSWORD_FILE": str(password),
        "BACKUP__MLFLOW_DATABASE_URL": f"sqlite:///{folder}/mlruns/mlflow.db",
        "BACKUP__MLFLOW_ARTIFACTS": str(folder / "mlruns" / "artifacts"),
        "DEPLOY__REPLICAS": "processes",
        "DEPLOY__BOT_MINUTES": "0.2",
        "DEPLOY__READY_S": "60",
        "WATCH__POLL_S": "0.3",
        **changes,
        **{f"PATHS__{name.upper()}": str(folder / name) for name in ("data", "runs", "mlruns", "strategies")},
    }
    for name, value in own.items():
        patch.setenv(f"TIDEGATE_{name}", value)
    settings = load_settings(folder)
    for each in ("runs", "log", "strategies", "configs"):
        (folder / each).mkdir(exist_ok=True)
    text = (STRATEGIES / "eurusd-sample.yaml").read_text(encoding="utf-8")
    (folder / "strategies" / f"{NAME}.yaml").write_text(text.replace("eurusd-sample", NAME), encoding="utf-8")
    register(settings, folder)
    take_backup(settings, folder, reason="first", actor="test", init=True)
    return settings


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    require_restic()
    folder = tmp_path_factory.mktemp("deployment").resolve()
    with ExitStack() as stack:
        address = stack.enter_context(mlflow_server(folder / "mlruns"))
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        settings = installation(folder, address, patch)
        old = stack.enter_context(
            Serving(folder, address, free_port(), NAME, "old", clock="system", poll_s=3600, allow_unsigned="true")
        )
        bot = Bot(old.port)
        bot.beat()
        stack.enter_context(beating(bot))
        yield Place(folder, settings, old, bot)


@pytest.fixture
def tidegate(place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    monkeypatch.setenv("TIDEGATE_ROOT", str(place.folder))
    return CommandLine(monkeypatch, capsys)


@pytest.fixture(scope="module")
def second(place: Place) -> Iterator[Deployed]:
    done = place.deploy(2, 0.05)
    yield done
    place.processes(done).stop_new()


def test_a_dry_run_shows_the_plan_and_changes_nothing(tidegate: CommandLine, place: Place) -> None:
    told = tidegate("deploy", NAME, "2", "--dry-run", "--json")
    assert told.code == 0, told.err
    plan = json.loads(told.out)
    assert (plan["from_version"], plan["version"], plan["rollback_to"], plan["rollback_verified"]) == (1, 2, 1, True)
    assert plan["steps"][0] == "plan"
    assert "going back: v1, answers its golden windows" in tidegate("deploy", NAME, "2", "--dry-run").out
    assert EventLedger.from_settings(place.settings).rows(kinds=["deployment"]) == []


def test_a_deployment_needs_a_reason_and_something_to_abandon(tidegate: CommandLine) -> None:
    told = tidegate("deploy", NAME, "2")
    assert (told.code, "needs a reason" in told.err) == (2, True)
    told = tidegate("deploy", NAME, "--abandon")
    assert (told.code, f"no deployment of {NAME} is open" in told.err) == (2, True)


def test_the_new_version_is_served_by_old_and_new_and_the_bot_names_it(place: Place, second: Deployed) -> None:
    assert second.verdict == "kept", {name: (one.outcome, one.evidence) for name, one in second.entries.items()}
    assert served(place.old.port)["version"] == 2
    assert Tracking(place.settings).alias(NAME, "production") == 2
    assert second.entries["bots"].details == {"bots": {"bot-1": 2}}
    assert second.entries["bots"].evidence == "all 1 bots name v2"
    started = second.entries["start"].evidence
    assert get(int(started.rpartition(" ")[2]), "/readyz") == 200
    assert {"old", second.id} <= set(second.entries["watch"].details["instances"])
    assert second.entries["stop"].evidence == "old: none was there to stop"


def test_the_record_is_whole(place: Place, second: Deployed) -> None:
    folder = place.settings.paths.runs / NAME / "deployments"
    content = json.loads((folder / f"{second.id}.json").read_text())
    assert (content["from_version"], content["version"], content["rollback_to"]) == (1, 2, 1)
    assert content["rollback_verified"] is True
    assert "seed: 1 > 2" in content["changes"]
    assert "- Rollback plan verified: yes (back to v1)" in (folder / f"{second.id}.md").read_text()
    version = Tracking(place.settings).version(NAME, 2)
    assert (version.tags["deployment"], version.tags["deployment_verdict"]) == (second.id, "kept")
    (backup,) = [
        row for row in EventLedger.from_settings(place.settings).rows("", kinds=["backup"])
        if row.content["reason"] == f"deployment {second.id} of {NAME} v2"
    ]  # fmt: skip
    assert second.entries["backup"].details == {"backup": backup.subject}


def test_a_bot_that_does_not_follow_brings_the_old_version_back(
    tidegate: CommandLine, place: Place, second: Deployed
) -> None:
    place.bot.follows = False
    told = tidegate("deploy", NAME, "3", "--reason", "the next", "--watch-minutes", "0.05", "--json")
    assert told.code == 7, told.err
    done = json.loads(told.out)
    steps = {one["name"]: one for one in done["steps"]}
    assert (done["verdict"], steps["bots"]["outcome"]) == ("gone_back", "not_seen")
    assert served(place.old.port)["version"] == 2
    state = open_promoter(place.settings).ledger.state(NAME)
    assert state.current == 2
    assert state.barred == {3}
    ended = int(steps["start"]["evidence"].rpartition(" ")[2])
    kept = int(second.entries["start"].evidence.rpartition(" ")[2])
    assert (get(ended, "/readyz"), get(kept, "/readyz")) == (0, 200)
