"""The whole life after promotion: promoted on the simulated market, served, the edge ends, losses appear, back by itself, again bad, halted.

Real servers and processes; only time is compressed: the service's clock is that of the bars, and the monitor runs at market times.
"""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.e2e.serving_process import Bot, Serving
from tests.integration.notify.receivers import Post, web_receiver
from tests.integration.pipeline.small_market import CONTENT
from tests.servers import free_port, mlflow_server

from tidegate.bars.bars import Bars, iso, parse_time
from tidegate.bars.interval import DAY_MS
from tidegate.bars.simulated import simulate
from tidegate.notify.notifier import Notifier
from tidegate.pipeline.job import Job
from tidegate.pipeline.monitor import monitor
from tidegate.pipeline.monitor_job import monitor_job
from tidegate.pipeline.retrain import retrain
from tidegate.registry.events import EventLedger
from tidegate.registry.ledger import Ledger
from tidegate.rollback.incidents import incidents
from tidegate.settings.loading import load_settings
from tidegate.settings.settings import Settings
from tidegate.strategy.strategy import SimulatedSource, Strategy, find_strategy

pytestmark = [pytest.mark.slow, pytest.mark.servers, pytest.mark.timeout(600)]

NAME = "simulated-small"
FIRST_AT, SECOND_AT, ENDS_AT = "2025-06-15T00:00:00Z", "2025-07-15T00:00:00Z", "2025-07-20T00:00:00Z"
LAST_AT = parse_time("2025-12-31T00:00:00Z")
EVERY_DAYS = 7
CHANGES: dict[str, Any] = {
    # An edge that carries both versions through all gates; it ends five days after the second promotion.
    "source": {**CONTENT["source"], "seed": 5, "days": 400, "edge_ends_at": ENDS_AT},
    "windows": {**CONTENT["windows"], "max_age_days": 300},
    # Three months are too short for statistics, which this story is not about.
    "gates": {**CONTENT["gates"], "policy": "checklist"},
    # Two false alarms a year are allowed here, so that the story takes weeks of market time and not months.
    "monitor": {"yearly_false_alarms": 2.0},
    # Weeks of market time pass within seconds.
    "rollback": {"cooldown_minutes": 0},
}


@dataclass
class Life:
    """What the story works with."""

    folder: Path
    settings: Settings
    strategy: Strategy
    bars: Bars
    port: int
    posts: list[Post]
    seen: int = 0
    bot: Bot | None = None

    @property
    def events(self) -> EventLedger:
        return EventLedger.from_settings(self.settings)

    @property
    def ledger(self) -> Ledger:
        return Ledger.from_settings(self.settings)

    def retrain(self, at: str) -> str:
        at_ms = parse_time(at)
        job = Job(self.strategy, self.settings, self.folder, at_ms, at_ms + 1, "the month")
        return retrain(job).record.promotion.outcome

    def trade_until(self, at_ms: int) -> None:
        """Replay the bars until a time through the service."""
        assert self.bot is not None
        while self.seen < len(self.bars) and int(self.bars.closed_at[self.seen]) <= at_ms:
            self.bot.see(self.bars, self.seen)
            self.seen += 1

    def monitor(self, at_ms: int) -> dict[str, Any]:
        """One run of the monitor; gives what its event says."""
        job = Job(self.strategy, self.settings, self.folder, at_ms, at_ms + 1, "the day")
        notifier = Notifier(self.settings, self.events)
        monitor(monitor_job(job, notifies=notifier))
        found = self.events.newest(NAME, "monitor_run")
        assert found is not None
        assert found.subject.startswith(f"daily/{iso(at_ms)}")
        return found.content

    def live_until_act(self, at_ms: int) -> tuple[int, dict[str, Any]]:
        """Trade and monitor every few days until the monitor acts."""
        while at_ms <= LAST_AT:
            self.trade_until(at_ms)
            found = self.monitor(at_ms)
            if found["decision"]["act"] in {"roll_back", "halt"}:
                return at_ms, found
            at_ms += EVERY_DAYS * DAY_MS
        raise AssertionError(f"nothing was done until {iso(at_ms)}: {found['findings']}")

    def version(self) -> int | None:
        assert self.bot is not None
        found: int | None = self.bot.answers[-1]["version"]
        return found


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    folder = tmp_path_factory.mktemp("life")
    (folder / "configs" / "strategies").mkdir(parents=True)
    (folder / "configs" / "strategies" / f"{NAME}.yaml").write_text(yaml.safe_dump(CONTENT | CHANGES))
    port = free_port()
    with mlflow_server(folder / "mlflow") as address, web_receiver() as receiver, pytest.MonkeyPatch.context() as patch:
        own = {
            "MLFLOW__TRACKING_URI": address,
            "SERVING__LOG_FOLDER": str(folder / "log"),
            "SERVING__CLOCK": "bars",
            "NOTIFY__WEBHOOK_URLS": receiver.url,
            "COMPUTE__LATENCY_SAMPLES": "50",
            **{f"PATHS__{name.upper()}": str(folder / name) for name in ("data", "runs", "mlruns", "cache")},
            "PATHS__STRATEGIES": str(folder / "configs" / "strategies"),
        }
        for name, value in own.items():
            patch.setenv(f"TIDEGATE_{name}", value)
        settings = load_settings(folder)
        strategy = find_strategy(NAME, settings.paths.strategies)
        assert isinstance(strategy.source, SimulatedSource)
        bars = simulate("SIM/USD", strategy.bar, strategy.source, LAST_AT)
        story = Life(folder, settings, strategy, bars, port, receiver.posts)
        assert story.retrain(FIRST_AT) == "promoted"
        assert story.retrain(SECOND_AT) == "promoted"
        with Serving(folder, address, port, NAME, poll_s=20):
            lookback = 200
            story.bot = Bot(port, "SIM/USD", lookback)
            story.seen = int((bars.closed_at <= parse_time(SECOND_AT)).sum())
            with contextlib.closing(story.bot.connection):
                yield story


def test_the_edge_ends_and_everything_happens_by_itself(life: Life, capsys: pytest.CaptureFixture[str]) -> None:
    # While the edge is there nothing is done.
    healthy_at = parse_time(ENDS_AT)
    life.trade_until(healthy_at)
    assert life.version() == 2
    found = life.monitor(healthy_at)
    assert found["decision"]["act"] in {"nothing", "alert"}
    assert found["version"] == 2

    # The edge ends: losses appear, and the version is taken back once.
    acted_at, found = life.live_until_act(healthy_at + EVERY_DAYS * DAY_MS)
    assert found["decision"] == found["decision"] | {"act": "roll_back", "rule": "sequential"}
    assert found["sequential"]["alarm"]
    assert found["live"]["win_rate"] < found["promised"]["win_rate"]
    assert found["live"]["total_return"] < 0
    # Each bar of the window was answered once; the next bar of the newest one has not come yet.
    assert found["balance"] == found["balance"] | {"rows": 30 * 96, "counted": 30 * 96 - 1, "not_yet_known": 1}
    state = life.ledger.state(NAME)
    assert (state.current, state.barred, state.halt) == (1, frozenset({2}), None)

    # The service follows without waiting for its next look, and everything is on record.
    life.trade_until(acted_at + DAY_MS)
    assert life.version() == 1
    (incident,) = incidents(life.events, NAME)
    assert incident.automatic
    assert (incident.content["from_version"], incident.content["to_version"]) == (2, 1)
    assert incident.content["verification"]["verdict"] == "verified"
    assert Path(found["report"]).is_file()
    assert any("rolled back" in json.loads(post.body)["title"] for post in life.posts)

    # The version before is no better without the edge, and there is only one automatic rollback in an incident.
    halted_at, found = life.live_until_act(acted_at + EVERY_DAYS * DAY_MS)
    assert found["decision"]["act"] == "halt"
    state = life.ledger.state(NAME)
    assert state.halt is not None
    life.trade_until(halted_at + DAY_MS)
    assert life.bot is not None
    answer = life.bot.answers[-1]
    assert (answer["target_position"], answer["abstain"]["reason"]) == (0, "halted")
    assert [(row.action, row.to_version) for row in life.ledger.rows(NAME) if row.state == "committed"] == [
        ("promote", 1),
        ("promote", 2),
        ("rollback", 1),
        ("bar", 2),
        ("halt", None),
        ("bar", 1),
    ]
    with capsys.disabled():  # the figures that a reader of the run wants
        print(f"\nedge gone {ENDS_AT}, rolled back {iso(acted_at)}, halted {iso(halted_at)}")  # noqa: T201

    # Nothing happens any more, and no run lost or doubled anything.
    again = life.monitor(halted_at)
    assert (again["decision"]["act"], again["version"]) == ("nothing", None)
    runs = [event.subject for event in life.events.rows(NAME, kinds={"monitor_run"})]
    assert len(set(runs)) == len(runs)
    assert len(incidents(life.events, NAME)) == 2
    life.events.verify()
