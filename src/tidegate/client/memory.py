"""All that changes while a client runs; safe for threads, each of whose calls takes a moment."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from tidegate.client.breaker import Breaker, Permit
from tidegate.client.columns import Columns
from tidegate.client.config import Config
from tidegate.client.decision import Health, NoSignal, Source, State
from tidegate.client.judging import answering, policy_of
from tidegate.client.messages import Served
from tidegate.client.metrics import Metrics
from tidegate.policy.policy import PositionPolicy


@dataclass(slots=True)
class Progress:
    """How far an exchange came; it outlives one that is cut off by the deadline."""

    attempts: int = 0
    request_id: str | None = None
    version: int | None = None
    bundle_digest: str | None = None


class Memory:
    """What a client knows.

    Args:
        config: its settings.
        metrics: where gauges are set.
        chance: of the breaker's spread.
        monotonic: seconds that never go back.
    """

    def __init__(
        self,
        config: Config,
        metrics: Metrics,
        chance: random.Random,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lock = threading.Lock()
        self._breaker = Breaker(config.breaker)
        self._metrics, self._chance, self._monotonic = metrics, chance, monotonic
        self._served: Served | None = None
        self._policy: PositionPolicy | None = None
        self._windows: dict[str, Columns] = {}
        self._not_before = 0.0
        self._health: Health = "unknown"
        self._version: tuple[int, str] | None = None
        self._decisions: Counter[Source] = Counter()
        self._skew_ms: int | None = None
        self._halted = False
        self._silent: dict[str, tuple[int | None, int]] = {}

    def permit(self) -> Permit | NoSignal:
        """Leave for one exchange, or why there is none."""
        with self._lock:
            now = self._monotonic()
            if now < self._not_before:
                return NoSignal("rate_limited", "the service asked to wait")
            permit = self._breaker.permit(now)
            self._metrics.set_breaker(self._breaker.state(now))
        return permit or NoSignal("breaker_open", "the breaker lets no request through")

    def settle(self, permit: Permit, *, failed: bool | None) -> None:
        """Say what came of an exchange; None where it told nothing of the service."""
        with self._lock:
            now, opened = self._monotonic(), False
            if failed is None:
                self._breaker.abandoned(permit)
            elif failed:
                opened = self._breaker.failed(permit, now, self._chance.uniform(0.8, 1.2))
            else:
                self._breaker.understood(permit)
            self._metrics.set_breaker(self._breaker.state(now))
        if opened:
            self._metrics.breaker_opened()

    def wait(self, seconds: float) -> None:
        """Send nothing for so long; the longest wait that was asked for counts."""
        with self._lock:
            self._not_before = max(self._not_before, self._monotonic() + seconds)

    def is_waiting(self) -> bool:
        """Whether the service asked to wait, and the time is not over."""
        with self._lock:
            return self._monotonic() < self._not_before

    def describe(self, served: Served) -> None:
        """Keep what the service says of the strategy.

        Raises:
            ValueError: the parameters of a model that may answer are no policy, or its lookback is none; then nothing is kept.
        """
        policies = [policy_of(model) for model in answering(served)]
        if any(model.lookback < 1 for model in answering(served)):
            raise ValueError("a lookback of 1 bar at least is expected")
        with self._lock:
            self._served = served
            self._policy = policies[0] if policies else self._policy
            self._halted = served.halted is not None

    @property
    def served(self) -> Served | None:
        """What the service said last of the strategy."""
        with self._lock:
            return self._served

    @property
    def policy(self) -> PositionPolicy | None:
        """Of the last model that was described."""
        with self._lock:
            return self._policy

    def healthy(self, health: Health) -> None:
        """Keep what a look in the background came to; one without an answer counts as a failed exchange while the breaker is closed."""
        with self._lock:
            now, opened = self._monotonic(), False
            self._health = health
            if health == "unreachable":
                opened = self._breaker.missed_look(now, self._chance.uniform(0.8, 1.2))
            else:
                self._breaker.answered_look()
            if health == "ready":
                self._breaker.ready()
            self._metrics.set_breaker(self._breaker.state(now))
        self._metrics.set_health(health)
        if opened:
            self._metrics.breaker_opened()

    def window(self, symbol: str) -> Columns | None:
        """The window whose answer was understood last."""
        with self._lock:
            return self._windows.get(symbol)

    def keep_window(self, symbol: str, window: Columns) -> None:
        """Keep a window whose answer was understood."""
        with self._lock:
            self._windows[symbol] = window

    def skewed(self, skew_ms: int) -> None:
        """Keep the service's clock less the client's."""
        with self._lock:
            self._skew_ms = skew_ms
        self._metrics.set_skew(skew_ms)

    def signalled(self, symbol: str, version: int, digest: str) -> bool:
        """Count a model's decision; says whether another model decided than before."""
        with self._lock:
            self._decisions["model"] += 1
            self._halted = False
            self._silent.pop(symbol, None)
            another = self._version != (version, digest)
            self._version = (version, digest)
            return another

    def silent(self, symbol: str, closed_at: int | None, source: Source) -> int:
        """Count a decision without a signal; gives the bars in a row without one, this one among them."""
        with self._lock:
            self._decisions[source] += 1
            self._halted = source == "halt" or self._halted
            last, count = self._silent.get(symbol, (None, 0))
            # Bars that cannot be read have no time: each asking is one, so that nothing is held longer for it.
            if not count or closed_at is None or closed_at != last:
                count += 1
            self._silent[symbol] = (closed_at, count)
            return count

    def state(self) -> State:
        """What is known now."""
        with self._lock:
            version, digest = self._version or (None, None)
            sources: tuple[Source, ...] = ("model", "fallback", "halt")
            return State(
                breaker=self._breaker.state(self._monotonic()),
                health=self._health,
                version=version,
                bundle_digest=digest,
                decisions={source: self._decisions[source] for source in sources if self._decisions[source]},
                clock_skew_ms=self._skew_ms,
                halted=self._halted,
            )
