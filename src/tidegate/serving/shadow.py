"""The challenger predicts beside production, off the hot path: when no request is under way, and left out under load."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tidegate.bars.bars import Bars
from tidegate.errors import TidegateError
from tidegate.serving.answering import Answerer
from tidegate.serving.log.record import Row
from tidegate.serving.metrics import Metrics
from tidegate.serving.rows import Asked, row_of

log = logging.getLogger(__name__)

_MOST_WAITING: Final = 256
_PAUSE_S: Final = 0.001


@dataclass(frozen=True, slots=True, eq=False)
class ShadowQuestion:
    """What production has just answered.

    Attributes:
        answerer: the challenger.
        window: as many bars as the challenger needs.
        asked: whose question it was.
        now_ms: the time of asking, as production judged it.
    """

    answerer: Answerer
    window: Bars
    asked: Asked
    now_ms: int


class Shadow:
    """Answers waiting questions one by one between requests.

    A shadow's target position is that of a flat book: what the challenger would have held is for the monitoring to work out.

    Args:
        write: takes rows for the log that nobody waits for.
        metrics: told of predictions and of those left out.
        busy: whether a request is under way.
    """

    def __init__(self, write: Callable[[list[Row]], None], metrics: Metrics, busy: Callable[[], bool]) -> None:
        self._write = write
        self._metrics = metrics
        self._busy = busy
        self._waiting: deque[ShadowQuestion] = deque()
        self._awake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, in the running event loop."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Answer what waits, and end."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        while self._waiting:
            self._answer(self._waiting.popleft())

    def ask(self, question: ShadowQuestion) -> None:
        """Put a question behind the others; the oldest leaves when too many wait."""
        if len(self._waiting) >= _MOST_WAITING:
            dropped = self._waiting.popleft()
            self._metrics.shadow_dropped.labels(dropped.asked.strategy).inc()
        self._waiting.append(question)
        self._awake.set()

    async def _run(self) -> None:
        while True:
            await self._awake.wait()
            # Not in the very iteration that answers production: the answer is to leave first.
            await asyncio.sleep(_PAUSE_S)
            if not self._waiting:
                self._awake.clear()
            elif not self._busy():
                self._answer(self._waiting.popleft())

    def _answer(self, question: ShadowQuestion) -> None:
        asked = question.asked
        ids = {"request_id": asked.request_id, "strategy": asked.strategy, "version": question.answerer.model.version}
        try:
            answered = question.answerer.answer(question.window, question.window.content_hash(), None, question.now_ms)
        except TidegateError as error:
            log.warning("challenger of %s did not answer: %s", asked.strategy, error, extra=ids)
            self._metrics.problems.labels("shadow_failed").inc()
            return
        except Exception:
            # A challenger's own feature function may raise anything, and must never stop the loop that serves production.
            log.exception("challenger of %s failed", asked.strategy, extra=ids)
            self._metrics.problems.labels("shadow_failed").inc()
            return
        version = str(answered.model.version)
        self._metrics.predictions.labels(asked.strategy, "shadow", version).inc()
        self._write([row_of(asked, answered.message, answered.status, "shadow", answered.features)])
