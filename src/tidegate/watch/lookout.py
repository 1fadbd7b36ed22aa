"""Looks at all serving processes at once; one that hangs delays nobody."""

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Final

from tidegate.watch.scrape import Look, Target

_AT_ONCE: Final = 32
_GRACE_S: Final = 0.5


class Lookout:
    """Threads that look.

    Args:
        look: looks at one process within `timeout_s`, as far as it can keep that: asking for a name's address cannot be cut short.
        timeout_s: seconds after which a look counts as failed.
        now_ms: UTC ms.
    """

    def __init__(self, look: Callable[[Target], Look], timeout_s: float, now_ms: Callable[[], int]) -> None:
        self._look = look
        self._timeout_s = timeout_s
        self._now_ms = now_ms
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="look")
        self._under_way: dict[str, Future[Look]] = {}

    def look(self, targets: Iterable[Target]) -> list[Look]:
        """Look at every process once, at the same time. What has not ended in time is not reachable."""
        found: dict[str, Look | Future[Look]] = {}
        for target in targets:
            before = self._under_way.get(target.instance)
            if before is not None and not before.done():
                found[target.instance] = self._failed(target.instance, "the look before has not ended")
            else:
                started = self._threads.submit(self._look, target)
                found[target.instance] = self._under_way[target.instance] = started
        wait([one for one in found.values() if isinstance(one, Future)], self._timeout_s + _GRACE_S)
        return [self._result(instance, one) for instance, one in found.items()]

    def close(self) -> None:
        """Start no further look."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _result(self, instance: str, found: Look | Future[Look]) -> Look:
        if isinstance(found, Look):
            return found
        if not found.done():
            return self._failed(instance, f"no answer within {self._timeout_s:g} s")
        error = found.exception()
        return found.result() if error is None else self._failed(instance, f"{type(error).__name__}: {error}")

    def _failed(self, instance: str, why: str) -> Look:
        return Look(instance, self._now_ms(), reachable=False, missing={"look": why})
