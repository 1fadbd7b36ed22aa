"""What runs beside decisions, on a thread with an event loop of its own: the requests, looks at the service, and signs of life."""

import asyncio
import logging
import threading
import time
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, Final, TypeVar

import msgspec

from tidegate.client.asking import Line, Miss, look
from tidegate.client.clock import SystemClock
from tidegate.client.decision import Health
from tidegate.client.messages import Heartbeat
from tidegate.client.retry import LEAST_S
from tidegate.client.transport import Failure

log = logging.getLogger(__name__)
_READY: Final = "/readyz"
_HEARTBEAT: Final = "/v1/bots/heartbeat"
_STOP_S: Final = 5.0
_encode: Final = msgspec.json.Encoder().encode
_T = TypeVar("_T")


async def poll(line: Line) -> Health:
    """One look: whether the service is ready, and what it says of the strategy."""
    started = time.monotonic()
    limit_s = line.config.health.timeout_ms / 1000
    health: Health
    try:
        reply = await line.transport.get(_READY, limit_s)
    except Failure as failure:
        health, outcome = "unreachable", str(failure.reason)
    else:
        health, outcome = ("ready" if reply.status == 200 else "not_ready"), "answered"
    line.metrics.requested(_READY, outcome, time.monotonic() - started)
    line.memory.healthy(health)
    left_s = limit_s - (time.monotonic() - started)
    if health != "unreachable" and left_s >= LEAST_S and not line.memory.is_waiting():
        try:
            await look(line, left_s)
        except Miss as miss:
            log.debug("what is served is not known: %s", miss.detail)
    return health


async def beat(line: Line) -> bool:
    """One sign of life; says whether it was taken. One that fails is dropped: the next one says the same and more."""
    state = line.memory.state()
    message = Heartbeat(
        bot=line.config.bot,
        strategy=line.config.strategy,
        last_version=state.version,
        last_bundle_digest=state.bundle_digest,
        breaker=state.breaker,
        decisions=state.decisions,
        dry_run=line.config.dry_run,
        sent_at=SystemClock().now(),
    )
    limit_s = line.config.health.timeout_ms / 1000
    started = time.monotonic()
    try:
        reply = await line.transport.post(_HEARTBEAT, _encode(message), line.request_id(), limit_s)
    except Failure as failure:
        sent, outcome = False, str(failure.reason)
    else:
        sent = reply.status == 204
        outcome = "answered" if sent else Miss.of_reply(reply).word
    line.metrics.requested(_HEARTBEAT, outcome, time.monotonic() - started)
    line.metrics.heartbeat(sent=sent)
    return sent


class Background:
    """The thread, and what it does again and again. Everything but the work itself is called from other threads."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._loop = asyncio.new_event_loop()
        self._due = asyncio.Event()
        self._lock = threading.Lock()
        self._is_open = True
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tidegate-client", daemon=True)
        self._thread.start()
        self._started.wait(_STOP_S)

    def submit(self, work: Coroutine[Any, Any, _T]) -> "Future[_T] | None":
        """Begin something on the thread; None where it has ended."""
        with self._lock:
            if self._is_open:
                return asyncio.run_coroutine_threadsafe(work, self._loop)
        work.close()
        return None

    def finish(self, work: Coroutine[Any, Any, _T], timeout_s: float) -> _T | None:
        """Do something on the thread and wait; None where it does not end in time, or fails."""
        future = self.submit(work)
        if future is None:
            return None
        try:
            return future.result(timeout_s)
        except TimeoutError:
            future.cancel()
            return None

    def beat_soon(self) -> None:
        """Send a sign of life now, and not only when its time has come."""
        with self._lock:
            if self._is_open:
                self._loop.call_soon_threadsafe(self._due.set)

    def close(self) -> None:
        """Send a last sign of life where any are sent, end everything under way, and wait for the thread's end."""
        # The last client may be collected on any thread, this one among them, which cannot wait for itself.
        is_own = threading.current_thread() is self._thread
        if self._line.config.heartbeat.every_ms and not is_own:
            self.finish(beat(self._line), self._line.config.health.timeout_ms / 1000 + 0.1)
        with self._lock:
            if not self._is_open:
                return
            self._is_open = False
            self._loop.call_soon_threadsafe(self._loop.stop)
        if is_own:
            return
        self._thread.join(_STOP_S)
        if self._thread.is_alive():
            log.error("the client's thread does not end; it is left to the end of the process")

    def _run(self) -> None:
        loop = self._loop
        asyncio.set_event_loop(loop)
        loop.run_until_complete(self._line.transport.warm_up())
        loop.call_soon(self._started.set)
        tasks = [loop.create_task(each) for each in self._again_and_again()]
        try:
            loop.run_forever()
        finally:
            del tasks
            for task in asyncio.all_tasks(loop):
                task.cancel()
            loop.run_until_complete(self._end())
            loop.close()

    async def _end(self) -> None:
        own = asyncio.current_task()
        await asyncio.gather(*(task for task in asyncio.all_tasks() if task is not own), return_exceptions=True)
        await self._line.transport.close()
        await asyncio.get_running_loop().shutdown_default_executor()

    def _again_and_again(self) -> list[Coroutine[Any, Any, None]]:
        found: list[Coroutine[Any, Any, None]] = []
        if self._line.config.health.poll_ms:
            found.append(self._poll_on())
        if self._line.config.heartbeat.every_ms:
            found.append(self._beat_on())
        return found

    async def _poll_on(self) -> None:
        while True:
            try:
                await poll(self._line)
            except Exception:
                log.exception("a look at the service failed")
            await asyncio.sleep(self._line.config.health.poll_ms / 1000)

    async def _beat_on(self) -> None:
        while True:
            self._due.clear()
            try:
                await beat(self._line)
            except Exception:
                log.exception("a sign of life failed")
            try:
                async with asyncio.timeout(self._line.config.heartbeat.every_ms / 1000):
                    await self._due.wait()
            except TimeoutError:
                pass
