"""One decision's requests: the model's description where it is needed, the prediction with its retries, and the judgement."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec

from tidegate.client.asking import PREDICT, Line, Miss, look
from tidegate.client.breaker import Permit
from tidegate.client.columns import Columns, message_of, newest, position_message
from tidegate.client.decision import NoSignal, Outcome, Signal
from tidegate.client.judging import (
    NotUnderstood,
    Question,
    answering,
    judge,
    named,
    skew_ms,
    understand,
    unfit,
)
from tidegate.client.memory import Progress
from tidegate.client.messages import Item, PredictRequest, Served
from tidegate.client.retry import LEAST_S, pause_s
from tidegate.client.series import Sent, to_send, whole
from tidegate.client.transport import Failure, Reply, route_of
from tidegate.policy.policy import PositionState

_MOST_BARS_TO_HALT: Final = 1000
"""Enough for any service to take, and more than a halt needs."""
_NO_MODEL: Final = "the service has no model of the strategy"
_encode: Final = msgspec.json.Encoder().encode
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A question that may be asked.

    Attributes:
        symbol, bars, held: of what, the bot's checked bars, and the position.
        closed_at: close of the newest bar, UTC ms.
    """

    symbol: str
    bars: Columns
    held: PositionState
    closed_at: int


class Exchange:
    """All requests of one decision. `deadline` is by the monotonic clock, s; `progress` tells how far it came, also when it is cut off."""

    def __init__(self, line: Line, asked: Asked, permit: Permit, deadline: float, progress: Progress) -> None:
        self._line, self._asked, self._deadline, self.progress = line, asked, deadline, progress
        self._most = 1 if permit == "probe" else line.config.retry.attempts
        self._route = route_of(line.config.strategy, asked.symbol)

    async def run(self) -> Outcome:
        """Ask until there is an outcome, or no time is left."""
        try:
            async with asyncio.timeout(self._left_s()):
                return await self._ask()
        except Miss as miss:
            return miss.outcome
        except TimeoutError:
            return NoSignal("timeout", f"nothing was decided in {self._line.config.deadline.decide_ms} ms")

    async def _ask(self) -> Outcome:
        kept = self._line.memory.served
        if kept is not None and kept.production is not None:
            served, is_fresh = kept, False
        else:
            served, is_fresh = await self._described(), True
        try:
            lookback = self._lookback(served)
        except Miss:
            # The service may have another model by now than the one that speaks against the question.
            if is_fresh:
                raise
            served = await self._described()
            lookback = self._lookback(served)
        window = _Window(to_send(self._asked.bars, self._line.memory.window(self._asked.symbol), lookback))
        return await self._retried(lambda: self._attempt_and_resend(served, window))

    async def _attempt_and_resend(self, served: Served, window: "_Window") -> Outcome:
        try:
            return await self._attempt(window.served or served, window.sent)
        except Miss as miss:
            if miss.window is None or window.resent or self._left_s() < LEAST_S:
                raise
            window.resent = True
            if miss.window == "short":
                window.served = await self._described()
            # An answer by another version may have led to a newer description meanwhile.
            latest = window.served or self._line.memory.served or served
        window.sent = whole(self._asked.bars, self._lookback(latest))
        self._line.metrics.resent()
        return await self._attempt(latest, window.sent)

    async def _retried(self, ask: Callable[[], Awaitable[_T]]) -> _T:
        retry = 0
        while True:
            try:
                return await ask()
            except Miss as miss:
                retry += 1
                if miss.wait_s is not None:
                    wait_s = miss.wait_s
                elif miss.again:
                    wait_s = pause_s(self._line.config.retry, retry, self._line.chance.random())
                else:
                    raise
                if retry >= self._most or wait_s + LEAST_S >= self._left_s():
                    raise
            self._line.metrics.retried()
            await asyncio.sleep(wait_s)

    async def _described(self) -> Served:
        return await self._retried(self._described_once)

    async def _described_once(self) -> Served:
        served = await look(self._line, self._limit_s(), self._route)
        if not answering(served) and served.halted is None:
            raise Miss("server_error", _NO_MODEL, again=True)
        return served

    def _lookback(self, served: Served) -> int:
        """Bars of a whole window.

        Raises:
            Miss: the model is not made for this bot, or wants more bars.
        """
        count = len(self._asked.bars["opened_at"])
        models = answering(served)
        detail = unfit(models[0], self._line.config.interval, self._asked.symbol) if models else None
        if served.halted is not None and (served.production is None or detail or count < models[0].lookback):
            # The answer is the halt, and nobody looks at the bars: a position must not be held on because they are too few.
            return min(count, _MOST_BARS_TO_HALT)
        if not models:
            raise Miss("server_error", _NO_MODEL)
        if detail is not None:
            raise Miss("unexpected_version", detail)
        if count < models[0].lookback:
            raise Miss("window_refused", f"{count} bars were given, v{models[0].version} needs {models[0].lookback}")
        return models[0].lookback

    async def _attempt(self, served: Served, sent: Sent) -> Outcome:
        limit_s, started = self._limit_s(), time.monotonic()
        self.progress.attempts += 1
        self.progress.request_id = request_id = self._line.request_id()
        word = "timeout"
        try:
            outcome = await self._exchanged(served, sent, request_id, limit_s)
            word = outcome.reason if isinstance(outcome, NoSignal) else "answered"
        except Miss as miss:
            word = miss.word
            if miss.wait_s is not None:
                self._line.memory.wait(miss.wait_s)
            raise
        else:
            return outcome
        finally:
            self._line.metrics.requested(PREDICT, word, time.monotonic() - started)

    async def _exchanged(self, served: Served, sent: Sent, request_id: str, limit_s: float) -> Outcome:
        config, asked = self._line.config, self._asked
        item = Item(asked.symbol, message_of(sent.bars), sent.after, position_message(asked.held))
        content = _encode(PredictRequest([item], config.strategy, request_id))
        try:
            reply = await self._line.transport.post(PREDICT, content, request_id, limit_s, self._route)
        except Failure as failure:
            raise Miss.of_failure(failure) from failure
        if reply.status != 200:
            raise Miss.of_reply(reply)
        question = Question(
            request_id, config.strategy, asked.symbol, asked.closed_at, asked.bars, config.interval, asked.held
        )
        outcome, is_known = self._judged(reply, question, served)
        is_unexpected = isinstance(outcome, NoSignal) and outcome.reason == "unexpected_version"
        if is_unexpected and not is_known and self._left_s() >= LEAST_S:
            # The service may have changed its model this moment.
            try:
                described = await look(self._line, self._limit_s(), self._route)
            except Miss:
                return outcome
            outcome, is_known = self._judged(reply, question, described)
        if isinstance(outcome, NoSignal) and outcome.reason == "wrong_window":
            raise Miss("wrong_window", outcome.detail, window="other")
        # Whose window an unknown model judged, nobody can tell.
        if isinstance(outcome, Signal) or (
            is_known and isinstance(outcome, NoSignal) and outcome.reason == "abstained"
        ):
            self._keep_window()
        return outcome

    def _judged(self, reply: Reply, question: Question, served: Served) -> tuple[Outcome, bool]:
        """What the answer comes to, and whether the service describes the model that gave it."""
        try:
            told, answer = understand(reply.body, question)
        except NotUnderstood as error:
            raise Miss("bad_answer", str(error), again=True) from error
        if answer.problem is not None:
            problem = answer.problem
            raise Miss.of_status(problem.status, problem.name, problem.detail, reply.retry_after_s)
        self.progress.version, self.progress.bundle_digest = answer.version, answer.bundle_digest
        now = self._line.clock.at(question.closed_at)
        skew = skew_ms(answer, question.closed_at, now)
        if skew is not None:
            self._line.memory.skewed(skew)
        outcome = judge(told, answer, question, served, self._line.config.answers, now)
        return outcome, named(answer, served) is not None

    def _keep_window(self) -> None:
        served = self._line.memory.served
        longest = max((model.lookback for model in answering(served)), default=0) if served is not None else 0
        self._line.memory.keep_window(self._asked.symbol, newest(self._asked.bars, longest))

    def _left_s(self) -> float:
        return self._deadline - time.monotonic()

    def _limit_s(self) -> float:
        """Time for one request, s.

        Raises:
            Miss: too little is left to begin one.
        """
        left_s = self._left_s()
        if left_s < LEAST_S:
            raise Miss("timeout", f"nothing was decided in {self._line.config.deadline.decide_ms} ms")
        return min(self._line.config.deadline.attempt_ms / 1000, left_s)


@dataclass(slots=True, eq=False)
class _Window:
    """What goes out next, and what is known of the model since the exchange began."""

    sent: Sent
    served: Served | None = None
    resent: bool = False
