"""One write for the requests of one turn of the event loop."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final, Literal

from tidegate.errors import LogUnavailable
from tidegate.serving.log.record import Row
from tidegate.serving.log.writer import PredictionLog
from tidegate.serving.metrics import Metrics

_log = logging.getLogger(__name__)

_LATER_S: Final = 0.05
_LOOK_S: Final = 1.0


class GroupCommit:
    """Commits rows for the coroutines of one event loop, in its thread.

    Args:
        log: where the rows go.
        metrics: counts rows, failures and answers without a row.
        on_failure: `refuse` raises for each waiting request, `degrade` tells it that its rows are not durable.
    """

    def __init__(self, log: PredictionLog, metrics: Metrics, on_failure: Literal["refuse", "degrade"]) -> None:
        self._log = log
        self._metrics = metrics
        self._refuse = on_failure == "refuse"
        self._waiting: list[tuple[asyncio.Future[bool], int]] = []
        self._scheduled: asyncio.Handle | None = None
        self._later: asyncio.Handle | None = None
        self._size_bytes = -1
        self._failure: str | None = None
        self._look: asyncio.Handle | None = None
        self._look_for_room()

    @property
    def failure(self) -> str | None:
        """Why the log cannot be written; None when it can.

        After a failure the log is tried every second, so that a service which gets no requests because of it recovers as well.
        """
        return self._failure

    def close(self) -> None:
        """Commit what waits, and close the log."""
        self.flush()
        if self._look is not None:
            self._look.cancel()
        self._log.close()

    async def durable(self, rows: Sequence[Row]) -> bool:
        """Wait until rows are durable, together with those of all requests that are under way in this turn of the loop.

        Args:
            rows: of one request.

        Returns:
            Whether they are durable; false only with `degrade`.

        Raises:
            LogUnavailable: they are not, with `refuse`.
        """
        try:
            self._log.append(rows)
        except LogUnavailable:  # of these rows, which says nothing about the log
            self._metrics.log_failures.inc()
            if self._refuse:
                raise
            self._metrics.unlogged.inc(len(rows))
            return False
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        self._waiting.append((waiter, len(rows)))
        if self._scheduled is None:
            self._scheduled = loop.call_soon(self.flush)
        return await waiter

    def later(self, rows: Sequence[Row]) -> None:
        """Write rows that nobody waits for, with the next request's or within 50 ms. A failure is only counted."""
        try:
            self._log.append(rows)
        except LogUnavailable:
            self._metrics.log_failures.inc()
            return
        if self._scheduled is None and self._later is None:
            self._later = asyncio.get_running_loop().call_later(_LATER_S, self.flush)

    def flush(self) -> None:
        """Commit now, and wake who waits."""
        for handle in (self._scheduled, self._later):
            if handle is not None:
                handle.cancel()
        self._scheduled = self._later = None
        waiting, self._waiting = self._waiting, []
        try:
            rows = self._log.commit()
        except LogUnavailable as error:
            self._fail(waiting, error)
        except Exception as error:  # noqa: BLE001  the loop's border: whoever waits must be woken, and no answer may leave unlogged
            self._fail(waiting, LogUnavailable(f"the prediction log failed: {type(error).__name__}"))
        else:
            if rows:
                self._failure = None
                self._metrics.log_rows.inc(rows)
            for waiter, _ in waiting:
                if not waiter.done():
                    waiter.set_result(True)
        self._tell_size()

    def _fail(self, waiting: list[tuple[asyncio.Future[bool], int]], error: LogUnavailable) -> None:
        self._metrics.log_failures.inc()
        self._note(error)
        for waiter, rows in waiting:
            if waiter.done():  # its request was given up meanwhile
                continue
            if self._refuse:
                waiter.set_exception(_another(error))
            else:
                self._metrics.unlogged.inc(rows)
                waiter.set_result(False)

    def _note(self, error: LogUnavailable) -> None:
        if self._failure is None:
            _log.error("answers are not durable: %s", error)
        self._failure = error.what
        if self._look is None:
            self._look = asyncio.get_running_loop().call_later(_LOOK_S, self._look_for_room)

    def _look_for_room(self) -> None:
        self._look = None
        try:
            self._log.ensure_room()
        except LogUnavailable as error:
            self._note(error)
        else:
            self._failure = None
        self._tell_size()

    def _tell_size(self) -> None:
        if self._log.size_bytes != self._size_bytes:
            self._size_bytes = self._log.size_bytes
            self._metrics.log_bytes.set(self._size_bytes)


def _another(error: LogUnavailable) -> LogUnavailable:
    """An error of its own for each request, since raising one adds to its traceback."""
    another = LogUnavailable(
        error.what, expected=error.expected, actual=error.actual, setting=error.setting, next_step=error.next_step
    )
    another.__cause__ = error
    return another
