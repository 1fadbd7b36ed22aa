"""The one port through which the service learns what time it is."""

import time
from typing import Literal, Protocol


class Clock(Protocol):
    """Times are UTC ms."""

    def now_ms(self) -> int:
        """Now, for what has no bar: whether a model has expired when it is loaded."""

    def at(self, closed_at: int) -> int:
        """Now, for judging a window whose newest bar closed at `closed_at`."""

    def seen(self, closed_at: int) -> None:
        """A validated window's newest bar closed then."""


def wall_ms() -> int:
    """This machine's clock."""
    return time.time_ns() // 1_000_000


class SystemClock:
    """This machine's clock, whatever the bars say."""

    def now_ms(self) -> int:
        """This machine's time."""
        return wall_ms()

    def at(self, closed_at: int) -> int:
        """This machine's time."""
        del closed_at
        return wall_ms()

    def seen(self, closed_at: int) -> None:
        """Nothing: bars do not move this clock."""


class BarsClock:
    """The bars' own time, for replays and paper trading: now is the close of the newest bar. Production settings refuse it."""

    def __init__(self) -> None:
        self._newest = 0

    def now_ms(self) -> int:
        """The newest close seen so far, 0 before the first bar."""
        return self._newest

    def at(self, closed_at: int) -> int:
        """The window's own newest close."""
        return closed_at

    def seen(self, closed_at: int) -> None:
        """Time has come to that bar."""
        self._newest = max(self._newest, closed_at)


def make_clock(kind: Literal["system", "bars"]) -> Clock:
    """The clock that the settings name."""
    return SystemClock() if kind == "system" else BarsClock()
