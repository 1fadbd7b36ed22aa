"""The one port through which the client learns what time it is. Durations (deadlines, the breaker) never go by it: they are monotonic."""

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """Tells the time."""

    def at(self, closed_at: int) -> int:
        """Now, UTC ms, for a bot whose newest bar closed at `closed_at`."""
        ...

    def now(self) -> int:
        """Now, UTC ms, for what has no bar."""
        ...


class SystemClock:
    """This machine's clock, whatever the bars say."""

    def at(self, closed_at: int) -> int:
        """Now, UTC ms."""
        del closed_at
        return self.now()

    def now(self) -> int:
        """Now, UTC ms."""
        return time.time_ns() // 1_000_000


class BarsClock:
    """The bars' own time, for replays: now is the close of the newest bar."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._newest = 0

    def at(self, closed_at: int) -> int:
        """The close itself, UTC ms."""
        with self._lock:
            self._newest = max(self._newest, closed_at)
        return closed_at

    def now(self) -> int:
        """The latest close that anybody asked with, UTC ms."""
        with self._lock:
            return self._newest


def clock_of(kind: str) -> Clock:
    """The clock that the setting `clock` names."""
    return BarsClock() if kind == "bars" else SystemClock()
