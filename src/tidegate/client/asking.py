"""The way to the service: one line with its clock, its memory and its counts, and what an answer without a result means."""

import itertools
import random
import time
from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec

from tidegate.client.clock import Clock
from tidegate.client.config import Config
from tidegate.client.decision import NoSignal, Reason
from tidegate.client.memory import Memory
from tidegate.client.messages import ProblemBody, Served
from tidegate.client.metrics import Metrics
from tidegate.client.transport import Failure, Reply, Transport

MODEL: Final = "/v1/model"
PREDICT: Final = "/v1/predict"
_LONGEST_WAIT_S: Final = 60.0
_AGAIN: Final = frozenset({408, 500, 502, 503, 504})
_decode_served: Final = msgspec.json.Decoder(list[Served]).decode
_decode_problem: Final = msgspec.json.Decoder(ProblemBody).decode


@dataclass(frozen=True, slots=True)
class Line:
    """A service and what the client has for speaking to it."""

    config: Config
    transport: Transport
    clock: Clock
    memory: Memory
    metrics: Metrics
    chance: random.Random
    _start: int = field(default_factory=lambda: random.SystemRandom().getrandbits(32))
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def request_id(self) -> str:
        """A name for a request: the bot's, this client's, and a number."""
        return f"{self.config.bot[:40]}-{self._start:08x}-{next(self._numbers) & 0xFFFFFFFF}"


class Miss(Exception):
    """An attempt that gave nothing.

    Attributes:
        reason, detail: why.
        again: whether the same may be asked again.
        wait_s: how long the service asked to wait, None where it did not.
        window: `conflict` where the whole window is wanted, `short` where more of it is than was sent, `other` where another one was judged.
    """

    def __init__(
        self,
        reason: Reason,
        detail: str,
        *,
        again: bool = False,
        wait_s: float | None = None,
        window: Literal["conflict", "short", "other"] | None = None,
    ) -> None:
        super().__init__(detail)
        self.reason: Reason = reason
        self.detail, self.again, self.wait_s, self.window = detail, again, wait_s, window

    @property
    def outcome(self) -> NoSignal:
        """The same as the end of an exchange."""
        return NoSignal(self.reason, self.detail)

    @property
    def word(self) -> str:
        """The outcome's label in the metrics."""
        return "window" if self.window == "conflict" else self.reason

    @classmethod
    def of_failure(cls, failure: Failure) -> "Miss":
        """A request without an answer."""
        return cls(failure.reason, failure.detail, again=True)

    @classmethod
    def of_reply(cls, reply: Reply) -> "Miss":
        """An answer with another status than 200."""
        try:
            problem = _decode_problem(reply.body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return cls.of_status(reply.status, "", "without a problem's description", reply.retry_after_s)
        return cls.of_status(reply.status, problem.name, problem.detail, reply.retry_after_s)

    @classmethod
    def of_status(cls, status: int, name: str, detail: str, retry_after_s: float | None = None) -> "Miss":
        """A status, of the whole answer or of the problem in it."""
        told = f"{status} {name}: {detail}"
        if status == 409:
            return cls("window_unaccepted", told, window="conflict")
        if status == 422 and name == "window_too_short":
            return cls("refused", told, window="short")
        if status == 429:
            wait_s = 1.0 if retry_after_s is None else min(retry_after_s, _LONGEST_WAIT_S)
            return cls("rate_limited", told, wait_s=wait_s)
        if status >= 500 or status == 408:
            return cls("server_error", told, again=status in _AGAIN)
        return cls("refused" if 400 <= status < 500 else "bad_answer", told)


async def look(line: Line, limit_s: float, route: str | None = None) -> Served:
    """Ask what the service says of the strategy, and keep it; with a route, the process that answers for a symbol.

    Raises:
        Miss: no answer that can be used; what is known stays.
    """
    started, outcome = time.monotonic(), "answered"
    try:
        served = await _looked(line, limit_s, route)
        try:
            line.memory.describe(served)
        except ValueError as error:
            raise Miss("bad_answer", f"{MODEL}: no model: {error}", again=True) from error
    except Miss as miss:
        outcome = miss.word
        if miss.wait_s is not None:
            line.memory.wait(miss.wait_s)
        raise
    else:
        return served
    finally:
        line.metrics.requested(MODEL, outcome, time.monotonic() - started)


async def _looked(line: Line, limit_s: float, route: str | None) -> Served:
    try:
        reply = await line.transport.get(MODEL, limit_s, route)
    except Failure as failure:
        raise Miss.of_failure(failure) from failure
    if reply.status != 200:
        miss = Miss.of_reply(reply)
        # No window was sent here, so none can be wanted.
        miss.window = None
        raise miss
    try:
        everything = _decode_served(reply.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Miss("bad_answer", f"{MODEL}: {error}", again=True) from error
    strategy = line.config.strategy
    for served in everything:
        if served.strategy == strategy:
            return served
    raise Miss("refused", f"the service does not serve {strategy}")
