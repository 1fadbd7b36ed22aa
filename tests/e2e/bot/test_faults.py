"""The bot trades while everything fails that can fail between it and the model, and its ledger of decisions shows what it did.

Real processes: MLflow, the service, the Rust paper bot, which is fed one bar after the other. Between bot and service, and between service and
MLflow, stands a proxy that a test makes faulty. Time is compressed: a bar comes each twentieth of a second.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from tests.e2e.bot import faults
from tests.e2e.bot.classes import CLASSES, UNCOUNTED
from tests.e2e.bot.fault_proxy import Fault, FaultProxy, passes
from tests.e2e.bot.ledger import wrong_decisions, wrong_trades
from tests.e2e.bot.paper_bot import DECIDE_MS, QUICK, SLACK_MS, Fed, PaperBot
from tests.e2e.bot.trained import NAME, Trained
from tests.e2e.serving_process import Serving
from tests.servers import free_port

pytestmark = [pytest.mark.slow, pytest.mark.servers]

PAUSE_S = 0.05
# After a fault's end the model decides again by itself, at the latest at this bar.
RECOVERY_BARS = 6
# As many as open the breaker, and some that find it open.
FAULTY_BARS = QUICK["breaker"]["failures"] + 2


@dataclass
class Story:
    """The processes, and what the bot decided in them."""

    market: Trained
    proxy: FaultProxy
    registry: FaultProxy
    serving: Serving
    bot: PaperBot
    healthy: Callable[[Fed], bool] = field(default=lambda fed: fed.decision["source"] == "model")

    @contextlib.contextmanager
    def faulty(self, fault: Fault | None, *paths: str) -> Iterator[None]:
        """From a sound state, the fault (None: nobody listens) while the block runs."""
        self.recovers()
        if fault is None:
            self.proxy.refuse()
        else:
            self.proxy.switch(fault, *paths)
        try:
            yield
        finally:
            self.proxy.switch(passes)

    def bars(self, count: int) -> list[Fed]:
        """So many bars, one after the other."""
        found = []
        for _ in range(count):
            found.append(self.bot.feed())
            time.sleep(PAUSE_S)
        return found

    def recovers(self, bars: float = RECOVERY_BARS) -> int:
        """Feeds bars until the model decides; says at which one, from 1."""
        for at in range(1, round(bars) + 1):
            if self.healthy(self.bars(1)[0]):
                return at
        raise AssertionError([fed.decision for fed in self.bot.fed[-round(bars) :]])

    def until_version(self, version: int, bars: int = 120) -> list[Fed]:
        """Feeds bars until this version decides."""
        found: list[Fed] = []
        while len(found) < bars:
            found += self.bars(1)
            if found[-1].decision["version"] == version:
                return found
        raise AssertionError(f"v{version} did not decide within {bars} bars: {found[-1].decision}")

    def bots(self) -> list[dict[str, Any]]:
        """What the service knows of bots, asked without the proxy."""
        answer = httpx.get(f"http://127.0.0.1:{self.serving.port}/v1/bots", timeout=10)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()
        return found


@pytest.fixture(scope="module")
def story(market: Trained, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("faults")
    port = free_port()
    with (
        FaultProxy(market.registry_port) as registry,
        Serving(folder, registry.url, port, NAME, poll_s=0.2, registry_timeout_s=2, registry_retries=0) as serving,
        FaultProxy(port) as proxy,
        PaperBot(folder / "bot", proxy.url, market.strategy, market.bars, market.rows.start, market.lookback) as bot,
    ):
        made = Story(market, proxy, registry, serving, bot)
        assert made.healthy(made.bot.feed())
        yield made


ONCE: dict[str, Fault] = {
    "reset": faults.reset,
    "black hole": faults.black_hole,
    "500": faults.status(500, "internal"),
    "garbled body": faults.garbled_body,
    "truncated body": faults.truncated,
}


@pytest.mark.parametrize("name", CLASSES)
def test_a_fault_costs_signals_and_never_a_decision(story: Story, name: str) -> None:
    fault, paths, reason = CLASSES[name]
    with story.faulty(fault, *paths):
        faulty = story.bars(FAULTY_BARS)
    assert faulty[0].reason == reason
    # Failures open the breaker; what the service refuses with good reason does not.
    counted = reason not in UNCOUNTED
    assert {fed.reason for fed in faulty} <= ({reason, "breaker_open"} if counted else {reason})
    assert any(fed.decision["breaker"] == "open" for fed in faulty) is counted
    assert {fed.decision["target"] for fed in faulty} == {0}
    # A 429 named a second, which began at the last request.
    story.recovers(RECOVERY_BARS + (1.0 / PAUSE_S if reason == "rate_limited" else 0))


@pytest.mark.parametrize("name", ONCE)
def test_one_bad_request_costs_nothing(story: Story, name: str) -> None:
    with story.faulty(faults.only_first(ONCE[name]), faults.PREDICT):
        fed = story.bars(1)[0]
    assert (fed.reason, fed.decision["attempts"]) == (None, 2)


def test_the_service_is_killed_and_started_again(story: Story) -> None:
    story.serving.process.kill()
    story.serving.process.wait(10)
    faulty = story.bars(FAULTY_BARS)
    assert {fed.reason for fed in faulty} == {"unreachable", "breaker_open"}
    started = threading.Thread(target=story.serving.start)
    started.start()
    while started.is_alive():
        story.bars(1)
    started.join()
    # The new process knows no window: it is sent again, and the first bar that reaches it has its signal.
    story.recovers()
    assert story.bot.fed[-1].decision["attempts"] <= 2


def test_without_the_registry_nothing_changes(story: Story) -> None:
    story.registry.refuse()
    before = len(story.registry.asked)
    found = story.bars(8)
    assert {fed.decision["source"] for fed in found} == {"model"}
    # Also a new process serves what its cache holds.
    story.serving.process.kill()
    story.serving.process.wait(10)
    story.bars(2)
    story.serving.start()
    story.recovers()
    assert len(story.registry.asked) == before
    story.registry.switch(passes)
    assert story.bot.fed[-1].decision["version"] == 1


def test_a_promotion_and_a_rollback_under_way(story: Story) -> None:
    story.recovers()
    acts: list[tuple[int, Callable[[], object]]] = [
        (2, lambda: story.market.promote(2)),
        (1, lambda: story.market.promoter.rollback(NAME, actor="test", reason="test", leaving=2)),
    ]
    for version, act in acts:
        acting = threading.Thread(target=act)
        acting.start()
        found = story.until_version(version)
        acting.join()
        # Not one bar without a signal, and the service hears from the bot which version it follows.
        assert {fed.decision["source"] for fed in found} == {"model"}
        assert {fed.decision["version"] for fed in found} <= {1, 2}
        assert found[-1].decision["bundle_digest"] == story.market.digests[version]
        _await_version(story, version)
    assert _seen(story)["breaker"] == "closed"
    assert _seen(story)["dry_run"] is False


def test_a_halt_leaves_the_market_and_its_end_comes_back(story: Story) -> None:
    story.recovers()
    story.market.promoter.halt(NAME, actor="test", reason="test")
    halted = [story.bars(1)[0]]
    while halted[-1].decision["source"] != "halt" and len(halted) < 120:
        halted += story.bars(1)
    halted += story.bars(2)
    assert [fed.decision["source"] for fed in halted[-3:]] == ["halt"] * 3
    assert {fed.decision["target"] for fed in halted[-3:]} == {0}
    # A model's answer until then, and nothing between.
    assert {fed.decision["source"] for fed in halted} <= {"model", "halt"}
    story.market.promoter.resume(NAME, actor="test", reason="test")
    story.recovers(120)


@pytest.mark.parametrize(
    ("shift_ms", "reason"), [(5000, "clock_skew"), (-5000, "bar_not_closed"), (16 * 60_000, "stale_bars")]
)
def test_a_bot_whose_clock_is_wrong_does_not_trade(story: Story, shift_ms: int, reason: str) -> None:
    start = story.bot.row - 3
    folder = story.bot.folder.with_name(f"bot-{reason}")
    arguments = ("--clock-shift-ms", str(shift_ms))
    with PaperBot(
        folder, story.proxy.url, story.market.strategy, story.market.bars, start, story.market.lookback, arguments,
        name=f"bot-{reason}",
    ) as skewed:  # fmt: skip
        found = [skewed.feed() for _ in range(3)]
        assert {fed.reason for fed in found} == {reason}
        assert {fed.decision["target"] for fed in found} == {0}
        assert skewed.end()["trades"] == 0


def test_the_ledger_of_the_whole_story(story: Story) -> None:
    """One decision a bar, each in time; the model's are what the service logged and the backtest had; trades follow from them."""
    fed, rows = story.bot.fed, story.market.rows
    result = story.bot.end()
    bars = story.market.bars.take(slice(rows.start, rows.start + len(fed)))
    assert [each.decision["bar_closed_at"] for each in fed] == bars.closed_at.tolist()
    assert max(each.decision["elapsed_ms"] for each in fed) <= DECIDE_MS + SLACK_MS
    assert max(each.waited_ms for each in fed) <= DECIDE_MS + SLACK_MS
    assert result["bars"] == len(fed) > 150

    assert sum(each.decision["source"] == "model" for each in fed) > 60
    tested = {version: story.market.tested(version) for version in story.market.folds}
    assert wrong_decisions(fed, story.serving.output.parent / "log", tested) == []
    trades = story.bot.fills()
    assert len(trades) == result["trades"] > 0
    assert wrong_trades(trades, fed, story.market.strategy.bar.milliseconds) == []


def _seen(story: Story) -> dict[str, Any]:
    (found,) = [each for each in story.bots() if each["bot"] == "bot-1"]
    return found


def _await_version(story: Story, version: int) -> None:
    deadline = time.monotonic() + 10
    while _seen(story)["last_version"] != version:
        assert time.monotonic() < deadline, _seen(story)
        time.sleep(0.05)
