"""The paper bot on one-minute bars while everything fails: class by class, and a day of random faults."""

import contextlib
import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.bot.classes import CLASSES
from tests.e2e.bot.fault_proxy import FaultProxy, passes
from tests.e2e.bot.ledger import wrong_decisions, wrong_trades
from tests.e2e.bot.paper_bot import DECIDE_MS, PaperBot
from tests.e2e.bot.trained import NAME, Trained
from tests.e2e.serving_process import Serving
from tests.servers import free_port

DAY_BARS = 1440
KILLED = "killed and restarted"


@dataclass
class Trading:
    """A service, a bot and the proxy between them.

    Args:
        market: one-minute bars, with a version in production.
        folder: for files and the service.
        program: the paper bot's.
        pause_s: between two bars.
    """

    market: Trained
    folder: Path
    program: Path
    pause_s: float
    restarts: list[threading.Thread] = field(default_factory=list)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Everything is up, from the first bar of the test window on."""
        port = free_port()
        market = self.market
        self.folder.mkdir(parents=True, exist_ok=True)
        with (
            Serving(self.folder, market.registry, port, NAME, registry_retries=0) as self.serving,
            FaultProxy(port) as self.proxy,
            PaperBot(
                self.folder / "bot",
                self.proxy.url,
                market.strategy,
                market.bars,
                market.rows.start,
                market.lookback,
                program=self.program,
            ) as self.bot,
        ):
            try:
                yield
            finally:
                self._await_restarts()

    def bars(self, count: int) -> int:
        """Feed so many bars; says how many decisions had another source than the model."""
        silent = 0
        for _ in range(count):
            silent += self.bot.feed().decision["source"] != "model"
            time.sleep(self.pause_s)
        return silent

    def begin(self, name: str) -> Callable[[], None]:
        """Begin a fault; gives what ends it."""
        if name == KILLED:
            self._await_restarts()
            self.serving.process.kill()
            self.serving.process.wait(10)
            return self._restart
        fault, paths, _ = CLASSES[name]
        if fault is None:
            self.proxy.refuse()
        else:
            self.proxy.switch(fault, *paths)
        return lambda: self.proxy.switch(passes)

    def _restart(self) -> None:
        # The bot goes on meanwhile.
        restart = threading.Thread(target=self.serving.start)
        restart.start()
        self.restarts.append(restart)

    def _await_restarts(self) -> None:
        while self.restarts:
            self.restarts.pop().join()

    def recovered_at(self, most: int = 200) -> int | None:
        """Bars until the model decides again."""
        return next((at for at in range(1, most + 1) if not self.bars(1)), None)

    def judged(self, due: int) -> dict[str, Any]:
        """End the bot; what came of it all."""
        fed, result = self.bot.fed, self.bot.end()
        self._await_restarts()
        tested = {version: self.market.tested(version) for version in self.market.folds}
        wrong = wrong_decisions(fed, self.folder / "log", tested)
        trades = self.bot.fills()
        wrong_ones = wrong_trades(trades, fed, self.market.strategy.bar.milliseconds)
        openings = itertools.pairwise(fed)
        return {
            "due": due,
            "made": len(fed),
            "model_share": round(sum(each.reason is None for each in fed) / due, 4),
            "reasons": dict(Counter(each.reason or "model" for each in fed).most_common()),
            "wrong_decisions": len(wrong),
            "trades": result["trades"],
            "wrong_trades": len(wrong_ones),
            "breaker_openings_seen": sum(
                (before.decision["breaker"], after.decision["breaker"]) == ("closed", "open")
                for before, after in openings
            ),
            "longest_decision_ms": round(max(each.decision["elapsed_ms"] for each in fed), 1),
            "longest_wait_ms": round(max(each.waited_ms for each in fed), 1),
            "deadline_ms": DECIDE_MS,
            "return": result["return"],
        }


def by_class(trading: Trading, bars: int) -> dict[str, Any]:
    """Decisions of each class of faults."""
    found: dict[str, Any] = {}
    with trading.running():
        trading.recovered_at()
        for name in (*CLASSES, KILLED):
            first = len(trading.bot.fed)
            end = trading.begin(name)
            trading.bars(bars)
            end()
            recovered = trading.recovered_at()
            fed = trading.bot.fed[first : first + bars]
            found[name] = {
                "due": bars,
                "made": len(fed),
                "reasons": dict(Counter(each.reason or "model" for each in fed).most_common()),
                "longest_decision_ms": round(max(each.decision["elapsed_ms"] for each in fed), 1),
                "recovered_at_bar": recovered,
            }
        total = len(trading.bot.fed)
        return {"classes": found, "whole": trading.judged(total)}


def one_day(trading: Trading, seed: int) -> dict[str, Any]:
    """24 hours of one-minute bars; sound stretches of 5 to 40 bars, faults of 3 to 15, each of a random class."""
    drawn = random.Random(seed)  # noqa: S311  a plan of faults, no secret
    plan: list[str] = []
    sound_silent = faulty = 0
    with trading.running():
        while len(trading.bot.fed) < DAY_BARS:
            sound_silent += trading.bars(min(drawn.randint(5, 40), DAY_BARS - len(trading.bot.fed)))
            count = min(drawn.randint(3, 15), DAY_BARS - len(trading.bot.fed))
            name = drawn.choice((*CLASSES, KILLED))
            if count:
                end = trading.begin(name)
                trading.bars(count)
                end()
                plan.append(name)
                faulty += count
        found = trading.judged(DAY_BARS)
    sound = DAY_BARS - faulty
    return {
        "seed": seed,
        "faults": len(plan),
        "faulty_bars": faulty,
        "model_share_of_sound_bars": round(1 - sound_silent / sound, 4),
        **found,
    }
