"""The client: one decision for each closed bar, within its deadline, whatever happens to the service."""

import logging
import random
import time
import weakref
from typing import Final, Self

from tidegate.client.asking import Line
from tidegate.client.background import Background, beat, poll
from tidegate.client.clock import Clock, SystemClock, clock_of
from tidegate.client.collecting import HELD
from tidegate.client.columns import Columns, Unusable, columns_of, read_position
from tidegate.client.config import Config
from tidegate.client.decision import (
    FAILURES,
    Decision,
    FallbackUsed,
    Halt,
    Health,
    NoSignal,
    Outcome,
    Reason,
    Signal,
    Source,
    State,
    shortened,
)
from tidegate.client.exchange import Asked, Exchange
from tidegate.client.fallback import Closure, Situation, fall_back
from tidegate.client.journal import Journal
from tidegate.client.memory import Memory, Progress
from tidegate.client.messages import Served
from tidegate.client.metrics import Metrics
from tidegate.client.metrics_server import MetricsServer
from tidegate.client.transport import Transport
from tidegate.policy.policy import PositionState, Side

log = logging.getLogger(__name__)
_SLACK_S: Final = 0.25


class Client:
    """Signals of one strategy; a context manager, and safe for threads.

    Requests run on a thread with an event loop of its own. So the deadline holds whatever they do, and `decide` can be called from
    anywhere; it blocks its own thread until then.

    Args:
        config: as `Config.load` gives it.
        fallback: a rule of the bot's own for bars without a signal; None: the one that the settings name.
        clock: tells the time; None: the one that the settings name.
        chance: of pauses and of the breaker; None: one of its own.
    Raises:
        ConfigurationError: a file or an address of the settings cannot be used.
    """

    def __init__(
        self,
        config: Config,
        *,
        fallback: Closure | None = None,
        clock: Clock | None = None,
        chance: random.Random | None = None,
    ) -> None:
        self.config = config
        self._closure = fallback
        metrics = Metrics(config.strategy, dry_run=config.dry_run)
        drawn = random.Random() if chance is None else chance  # noqa: S311  jitter, no secret
        memory = Memory(config, metrics, drawn)
        self._clock = clock_of(config.clock) if clock is None else clock
        transport = Transport(config)
        address = config.metrics.address
        self._server = None if address is None else MetricsServer(address, metrics.text)
        try:
            self._journal = None if config.decisions.file is None else Journal(config.decisions.file)
        except BaseException:
            if self._server is not None:
                self._server.close()
            raise
        self._line = Line(config, transport, self._clock, memory, metrics, drawn)
        self._background = Background(self._line)
        self._ended = weakref.finalize(self, _end, self._background, self._server, self._journal)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Send a last sign of life, end what runs in the background, and write out all decisions. A second time does nothing."""
        self._ended()

    def decide(self, symbol: str, bars: object, position: object = None) -> Decision:
        """Decide what to hold from the next bar's open on. Always answers within `deadline.decide_ms`, and never raises.

        Args:
            symbol: of what.
            bars: the bot's own closed bars, ascending, at least the model's lookback: `Bars`, a mapping of columns or a data frame; see
                `tidegate.client.columns.columns_of`.
            position: what is held at the newest bar's close, with `side`, `entry_price` and `bars_held`, as a mapping or an object; None
                is flat.
        """
        with HELD:
            return self._decide(symbol, bars, position)

    def _decide(self, symbol: str, bars: object, position: object) -> Decision:
        started = time.monotonic()
        progress = Progress()
        named = _name(symbol)
        held, objection = read_position(position)
        columns: Columns | None = None
        outcome: Outcome
        try:
            columns = columns_of(bars)
            if objection is None:
                outcome = self._outcome(named, columns, held, started, progress)
            else:
                outcome = NoSignal("position_refused", objection)
        except Unusable as error:
            outcome = NoSignal("window_refused", str(error))
        except Exception as error:
            log.exception("the client failed; the fallback decides")
            # What the bot's own bars do while they are read is no answer of the service.
            reason: Reason = "window_refused" if columns is None else "bad_answer"
            outcome = NoSignal(reason, f"the client failed: {type(error).__name__}: {error}")
        return self._conclude(named, columns, held, outcome, progress, started)

    def state(self) -> State:
        """What the client knows now."""
        return self._line.memory.state()

    def poll_now(self) -> Health:
        """Look at the service now, as the background does every `health.poll_ms`."""
        found = self._background.finish(poll(self._line), self.config.health.timeout_ms / 1000 + _SLACK_S)
        return found or self.state().health

    def heartbeat_now(self) -> bool:
        """Send a sign of life now; says whether it was taken."""
        return bool(self._background.finish(beat(self._line), self.config.health.timeout_ms / 1000 + _SLACK_S))

    def model(self) -> Served | None:
        """What the service said last of the strategy; asks where nothing is known yet."""
        if self._line.memory.served is None:
            self.poll_now()
        return self._line.memory.served

    def metrics_text(self) -> str:
        """The client's own metrics, as Prometheus reads them."""
        return self._line.metrics.text()

    @property
    def metrics_port(self) -> int | None:
        """Where the metrics are served, None where they are not."""
        return None if self._server is None else self._server.port

    def flush(self) -> None:
        """Wait until all decisions so far are in `decisions.file`."""
        if self._journal is not None:
            self._journal.flush()

    def _outcome(
        self, symbol: str, columns: Columns, held: PositionState, started: float, progress: Progress
    ) -> Outcome:
        closed_at = self._closed_at(columns)
        now = self._clock.at(closed_at)
        if closed_at - now > self.config.answers.max_clock_skew_ms:
            return NoSignal("bar_not_closed", f"the newest bar closes in {closed_at - now} ms")
        if now > closed_at + self.config.interval_ms:
            return NoSignal("stale_bars", f"the newest bar closed {now - closed_at} ms ago, the next one is due")
        return self._exchange(Asked(symbol, columns, held, closed_at), started, progress)

    def _exchange(self, asked: Asked, started: float, progress: Progress) -> Outcome:
        permit = self._line.memory.permit()
        if isinstance(permit, NoSignal):
            return permit
        failed: bool | None = None
        try:
            # What is kept back is for the way from the other thread to here.
            decide_s = self.config.deadline.decide_ms / 1000
            exchange = Exchange(self._line, asked, permit, started + decide_s - min(0.01, decide_s / 10), progress)
            try:
                outcome = self._wait_for(exchange, started + decide_s)
            except Exception:
                failed = True
                raise
            failed = isinstance(outcome, NoSignal) and outcome.reason in FAILURES
            return outcome
        finally:
            self._line.memory.settle(permit, failed=failed)

    def _wait_for(self, exchange: Exchange, deadline: float) -> Outcome:
        future = self._background.submit(exchange.run())
        if future is None:
            return NoSignal("unreachable", "the client is closed")
        try:
            return future.result(max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            return NoSignal("timeout", "the client's own thread did not answer within the deadline")
        finally:
            future.cancel()

    def _conclude(
        self,
        symbol: str,
        columns: Columns | None,
        held: PositionState,
        outcome: Outcome,
        progress: Progress,
        started: float,
    ) -> Decision:
        closed_at = None if columns is None else self._closed_at(columns)
        decided_at = self._now(closed_at)
        target: Side = 0
        fallback: FallbackUsed | None = None
        if isinstance(outcome, Signal):
            target = outcome.target
            self._signalled(symbol, progress, decided_at)
        elif isinstance(outcome, Halt):
            self._line.memory.silent(symbol, closed_at, "halt")
        else:
            target, fallback = self._fall_back(symbol, columns, held, outcome, closed_at)
        source, reason, detail = _words(outcome)
        decision = Decision(
            decided_at=decided_at,
            bot=self.config.bot,
            strategy=self.config.strategy,
            symbol=symbol,
            bar_closed_at=closed_at,
            target=target,
            source=source,
            reason=reason,
            detail=detail,
            version=progress.version,
            bundle_digest=progress.bundle_digest,
            probability=outcome.probability if isinstance(outcome, Signal) else None,
            fallback=fallback,
            attempts=progress.attempts,
            elapsed_ms=(time.monotonic() - started) * 1000,
            breaker=self._line.memory.state().breaker,
            dry_run=self.config.dry_run,
            request_id=progress.request_id,
        )
        self._line.metrics.decided(decision)
        if self._journal is not None:
            self._journal.write(decision)
        return decision

    def _signalled(self, symbol: str, progress: Progress, decided_at: int) -> None:
        version, digest = progress.version, progress.bundle_digest
        if version is None or digest is None:
            return
        if self._line.memory.signalled(symbol, version, digest):
            self._background.beat_soon()
        self._line.metrics.signalled(version, decided_at)

    def _fall_back(
        self, symbol: str, columns: Columns | None, held: PositionState, missed: NoSignal, closed_at: int | None
    ) -> tuple[Side, FallbackUsed]:
        memory = self._line.memory
        situation = Situation(
            strategy=self.config.strategy,
            symbol=symbol,
            reason=missed.reason,
            bars_without_signal=memory.silent(symbol, closed_at, "fallback"),
            close=None if columns is None else float(columns["close"][-1]),
            position=held,
            policy=memory.policy,
        )
        target, used = fall_back(self.config.fallback, self._closure, situation)
        log.warning(
            "no signal for %s: %s: %s; the target is %d", symbol, missed.reason, shortened(missed.detail), target
        )
        return target, used

    def _closed_at(self, columns: Columns) -> int:
        return int(columns["opened_at"][-1]) + self.config.interval_ms

    def _now(self, closed_at: int | None) -> int:
        try:
            return self._clock.now() if closed_at is None else self._clock.at(closed_at)
        except Exception:
            log.exception("the clock failed; this machine's is taken")
            return SystemClock().now()


def _name(symbol: object) -> str:
    return symbol if isinstance(symbol, str) else f"({type(symbol).__name__})"


def _words(outcome: Outcome) -> tuple[Source, Reason | None, str | None]:
    if isinstance(outcome, Signal):
        return "model", None, None
    if isinstance(outcome, Halt):
        return "halt", "halted", shortened(outcome.detail)
    return "fallback", outcome.reason, shortened(outcome.detail)


def _end(background: Background, server: MetricsServer | None, journal: Journal | None) -> None:
    background.close()
    if server is not None:
        server.close()
    if journal is not None:
        journal.close()
