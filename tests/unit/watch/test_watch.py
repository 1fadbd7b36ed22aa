"""The loop with a desk and looks by hand: what is judged, what is handed to the desk, and that nothing ends it."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.watch.looks import look
from tests.unit.watch.test_strategies import write

from tidegate.rollback.finding import BotWord, Finding, Minute
from tidegate.settings.operations import Watch as WatchSettings
from tidegate.watch.exporter import WatchMetrics
from tidegate.watch.figures import Sample
from tidegate.watch.history import History
from tidegate.watch.lookout import Lookout
from tidegate.watch.scrape import Look, Target
from tidegate.watch.strategies import Strategies, Watched
from tidegate.watch.watch import Parts, Watch

FIRED = Finding("errors", "roll_back", "fired", 0.5, 0.05, "fraction", 100, None, "many failed", "-")
QUIET = Finding("errors", "roll_back", "quiet", 0.0, 0.05, "fraction", 100, None, "none failed", "-")


@dataclass
class Desk:
    """Does what it is told to, and keeps what it was asked."""

    known: dict[str, int | None] = field(default_factory=dict)
    decided: list[tuple[str, int]] = field(default_factory=list)
    rounds: list[tuple[str, int | None, tuple[Finding, ...]]] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    instances: list[Target] = field(default_factory=lambda: [Target("one", "http://one")])
    away: set[str] = field(default_factory=set)
    hold: threading.Event = field(default_factory=threading.Event)
    begun: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.hold.set()

    def targets(self, now_ms: int) -> list[Target]:
        del now_ms
        self._require("targets")
        return self.instances

    def version(self, model: str) -> int | None:
        return self.known.get(model)

    def go_round(self, watched: Watched, version: int | None, findings: Sequence[Finding]) -> None:
        self._require("go_round")
        self.rounds.append((watched.model, version, tuple(findings)))

    def figures(self, watched: Watched) -> list[Sample]:
        self._require("figures")
        return [Sample("tidegate_live_sharpe", (("strategy", watched.model),), 1.5)]

    def decide(self, watched: Watched, version: int, findings: Sequence[Finding]) -> None:
        assert FIRED in findings
        self.begun.set()
        self.hold.wait(10)
        self._require("decide")
        self.decided.append((watched.model, version))

    def deliver(self) -> list[Sample]:
        self._require("deliver")
        return [Sample("tidegate_undelivered_notifications", (), 2.0)]

    def failed(self, kind: str, why: str) -> None:
        self.told.append(f"{kind}: {why}")

    def worked(self, kind: str) -> None:
        if kind.startswith("looks "):
            self.told.append(f"{kind}: works")

    def _require(self, name: str) -> None:
        if name in self.away:
            raise OSError(f"{name} is away")


class Scene:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now_s = 0.0
        self.desk = Desk(known={"aa": 1})
        self.findings: dict[str, Finding | Exception] = {}
        self.judged: list[tuple[str, int | None, int, int]] = []
        self.metrics = WatchMetrics()
        self.looking: Callable[[Target], Look] = self.seen
        write(folder, "aa")
        settings = WatchSettings(poll_s=5, registry_poll_s=15, timeout_s=1)
        self.watch = Watch(
            Parts(
                settings=settings,
                strategies=Strategies(folder),
                lookout=Lookout(self.look, 1, self.now_ms),
                judge=self.judge,
                desk=self.desk,
                history=History(folder / "watch" / "minutes.jsonl"),
                metrics=self.metrics,
                now_ms=self.now_ms,
                monotonic=lambda: self.now_s,
            )
        )

    def look(self, target: Target) -> Look:
        return self.looking(target)

    def seen(self, target: Target) -> Look:
        found = look(self.now_s, int(self.now_s), instance=target.instance)
        return Look(**{name: getattr(found, name) for name in Look.__slots__} | {"versions": {"aa": 1}})

    def now_ms(self) -> int:
        return 1_000_000 + round(self.now_s * 1000)

    def judge(
        self,
        watched: Watched,
        version: int | None,
        minutes: Sequence[Minute],
        words: Sequence[BotWord],
        now_ms: int,
    ) -> list[Finding]:
        del now_ms
        self.judged.append((watched.model, version, len(minutes), len(words)))
        found = self.findings.get(watched.model, QUIET)
        if isinstance(found, Exception):
            raise found
        return [found]

    def turn(self, times: int = 1) -> None:
        for _ in range(times):
            self.watch.turn()
            self.settle()
            self.now_s += 5

    def settle(self) -> None:
        """Wait until the lanes have done what they were given."""
        for lane in (self.watch._office, self.watch._post):
            done = threading.Event()
            if self.desk.hold.is_set() and lane.submit("settle", done.set):
                assert done.wait(10)

    def sample(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    made.desk.hold.set()
    made.watch.close()


def test_a_turn_looks_judges_and_shows(scene: Scene) -> None:
    scene.turn(3)
    assert scene.judged[-1] == ("aa", 1, 1, 0)
    assert scene.sample("tidegate_watch_looks_total", instance="one", result="whole") == 2
    assert scene.sample("tidegate_instance_up", instance="one") == 1
    assert scene.sample("tidegate_rule_fired", strategy="aa", rule="errors", action="roll_back") == 0
    assert scene.sample("tidegate_live_sharpe", strategy="aa") == 1.5
    assert scene.sample("tidegate_undelivered_notifications") == 2
    assert scene.sample("tidegate_watch_last_look_timestamp_seconds") == 1010
    assert scene.desk.decided == []


def test_rounds_come_at_their_own_pace_with_what_the_rules_say(scene: Scene) -> None:
    scene.turn(7)
    assert scene.desk.rounds == [("aa", 1, (QUIET,))] * 3


def test_a_fired_rule_is_decided_about_at_each_turn(scene: Scene) -> None:
    scene.findings["aa"] = FIRED
    scene.turn(2)
    assert scene.desk.decided == [("aa", 1)] * 2
    assert scene.sample("tidegate_rule_fired", strategy="aa", rule="errors", action="roll_back") == 1


def test_a_rule_that_is_quiet_by_the_time_of_the_decision_decides_nothing(scene: Scene) -> None:
    scene.turn()
    scene.findings["aa"] = FIRED
    scene.desk.hold.clear()
    scene.watch.turn()
    assert scene.desk.begun.wait(10)
    scene.watch.turn()
    scene.findings["aa"] = QUIET
    scene.watch.turn()
    scene.desk.hold.set()
    scene.settle()
    assert scene.desk.decided == [("aa", 1)]


def test_nothing_is_decided_while_the_ledger_is_unknown(scene: Scene) -> None:
    scene.desk.known.clear()
    scene.findings["aa"] = FIRED
    scene.turn(2)
    assert scene.judged[-1][1] is None
    assert scene.desk.decided == []


def test_looks_go_on_while_an_act_takes_its_time(scene: Scene) -> None:
    scene.turn()
    scene.findings["aa"] = FIRED
    scene.desk.hold.clear()
    scene.turn(5)
    assert scene.sample("tidegate_watch_looks_total", instance="one", result="whole") == 5
    assert scene.desk.decided == []


def test_whatever_fails_is_counted_and_told_and_ends_nothing(scene: Scene) -> None:
    scene.turn()
    scene.desk.away = {"targets", "go_round", "figures", "decide", "deliver"}
    scene.findings["aa"] = FIRED
    scene.turn(13)
    for kind, least in (("instances", 4), ("registry", 4), ("ledgers", 4), ("decision", 13), ("notifications", 1)):
        assert (scene.sample("tidegate_watch_errors_total", kind=kind) or 0) >= least, kind
    assert "round: targets is away\ngo_round is away\nfigures is away" in scene.desk.told
    assert "decision aa: decide is away" in scene.desk.told
    assert scene.sample("tidegate_live_sharpe", strategy="aa") is None
    assert scene.sample("tidegate_undelivered_notifications") is None
    assert scene.sample("tidegate_watch_looks_total", instance="one", result="whole") == 13
    assert scene.watch.is_turning()


def test_a_strategy_that_cannot_be_judged_looks_like_nothing_and_not_like_quiet(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    write(scene.folder, "bb")
    scene.turn(2)
    scene.findings["aa"] = ValueError("broken")
    with caplog.at_level(logging.CRITICAL):
        scene.turn()
    assert scene.sample("tidegate_rule_fired", strategy="aa", rule="errors", action="roll_back") is None
    assert scene.sample("tidegate_rule_fired", strategy="bb", rule="errors", action="roll_back") == 0
    assert scene.sample("tidegate_watch_errors_total", kind="judge") == 1


def test_unreachable_and_unreadable_looks_are_told_apart(scene: Scene) -> None:
    scene.desk.instances = [Target(name, f"http://{name}") for name in ("one", "two", "three")]

    def looking(target: Target) -> Look:
        if target.instance == "one":
            return Look("one", scene.now_ms(), reachable=False)
        return (
            Look("two", scene.now_ms(), reachable=True, missing={"/metrics": "status 401"})
            if target.instance == "two"
            else scene.seen(target)
        )

    scene.looking = looking
    scene.turn(2)
    results = {"one": "unreachable", "two": "partial", "three": "whole"}
    for instance, result in results.items():
        assert scene.sample("tidegate_watch_looks_total", instance=instance, result=result) == 1
    assert scene.sample("tidegate_instance_up", instance="one") == 0
    assert scene.sample("tidegate_watch_errors_total", kind="unreadable /metrics") == 1


def test_people_are_told_once_that_the_rules_are_blind(scene: Scene) -> None:
    scene.turn()
    scene.looking = lambda _: Look("one", scene.now_ms(), reachable=True, missing={"/metrics": "status 401"})
    scene.turn(9)
    assert scene.desk.told == []
    scene.turn(9)
    assert scene.desk.told == ["looks at one: /metrics: status 401"]
    scene.looking = scene.seen
    scene.turn(2)
    assert scene.desk.told == ["looks at one: /metrics: status 401", "looks at one: works"]


def test_an_instance_that_signed_off_is_forgotten(scene: Scene) -> None:
    scene.turn(3)
    scene.desk.instances = []
    scene.turn(5)
    assert scene.sample("tidegate_instance_up", instance="one") is None
    assert scene.judged[-1][2] == 1
    assert len(History(scene.folder / "watch" / "minutes.jsonl").load(0)) == 1


def test_a_strategy_that_is_gone_has_no_samples(scene: Scene) -> None:
    scene.turn(2)
    (scene.folder / "aa.yaml").unlink()
    scene.turn()
    assert scene.sample("tidegate_rule_fired", strategy="aa", rule="errors", action="roll_back") is None
    assert scene.sample("tidegate_live_sharpe", strategy="aa") is None


def test_open_minutes_are_kept_at_a_stop_and_known_at_the_next_start(scene: Scene) -> None:
    scene.turn(3)
    scene.watch.close()
    again = Scene(scene.folder)
    again.now_s = scene.now_s
    again.turn()
    assert again.judged[-1][2] == 1
    again.watch.close()


def test_a_disk_that_refuses_is_counted(scene: Scene) -> None:
    scene.turn()
    history: Any = SimpleNamespace(append=_refuse)
    scene.watch._parts = Parts(
        **{name: getattr(scene.watch._parts, name) for name in Parts.__slots__} | {"history": history}
    )
    scene.turn(2)
    assert (scene.sample("tidegate_watch_errors_total", kind="history") or 0) >= 1
    assert scene.watch.is_turning()


def _refuse(*_: object) -> None:
    raise OSError("no space")


def test_health_ends_ten_polls_after_the_last_turn(scene: Scene) -> None:
    scene.turn()
    turned_at = scene.now_s - 5
    scene.now_s = turned_at + 60
    assert scene.watch.is_turning()
    scene.now_s += 0.1
    assert not scene.watch.is_turning()


def test_health_ends_while_an_act_hangs(scene: Scene) -> None:
    scene.turn(3)
    scene.desk.hold.clear()
    scene.findings["aa"] = FIRED
    scene.turn()
    assert scene.desk.begun.wait(5)
    scene.findings["aa"] = QUIET
    longest_s = int(WatchSettings().verify_s) + 60
    scene.turn(longest_s // 5 - 1)
    assert scene.watch.is_turning()
    scene.turn(3)
    assert not scene.watch.is_turning()
    scene.desk.hold.set()
    scene.settle()
    assert scene.watch.is_turning()


def test_a_run_ends_when_it_is_stopped(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    stop = threading.Event()
    thread = threading.Thread(target=scene.watch.run, args=(stop,))
    thread.start()
    deadline = time.monotonic() + 10
    while not scene.judged and time.monotonic() < deadline:
        time.sleep(0.01)
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
    assert scene.judged
