"""Rate limits per API key and per address: the `limits` library's moving window over a store of our own.

The library's memory store starts a thread at most requests to forget old entries, and judges by the wall clock, which may be set back;
this one forgets while it counts, and judges by a clock that only goes forward. Limits are per process: with two replicas a key may send
twice as much.
"""

import math
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Final

from limits import RateLimitItem, RateLimitItemPerSecond
from limits.storage import MovingWindowSupport, Storage
from limits.strategies import MovingWindowRateLimiter

_MOST_CALLERS: Final = 10_000
_OTHERS: Final = "\0others"
_FEWEST_A_WINDOW: Final = 10
_FAILURES_A_MINUTE: Final = 30
_MINUTE_S: Final = 60


class ForwardStorage(Storage, MovingWindowSupport):
    """Times of the newest requests of each caller, at most `amount` each.

    Args:
        clock: seconds that never go back.
        most: callers whose times are kept; when so many are busy, all further ones share one place, so memory is bounded.
    """

    STORAGE_SCHEME = None

    def __init__(self, clock: Callable[[], float] = monotonic, most: int = _MOST_CALLERS) -> None:
        super().__init__()
        self.clock = clock
        self._most = most
        self._times: dict[str, deque[float]] = {}
        self._swept_at = -math.inf

    @property
    def base_exceptions(self) -> type[Exception]:
        """No error is of the storage's own."""
        return Exception

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Count `amount` requests, if no more than `limit` are then counted within `expiry` seconds."""
        now = self.clock()
        times = self._times.get(key)
        if times is None:
            times = self._make_room(key, now, expiry)
        oldest = now - expiry
        while times and times[0] <= oldest:
            times.popleft()
        if len(times) + amount > limit:
            return False
        times.extend([now] * amount)
        return True

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        """When the window's first request came, and how many it holds."""
        del limit
        now = self.clock()
        times = self._times.get(key) or self._times.get(_OTHERS) or ()
        inside = [time for time in times if time > now - expiry]
        return (inside[0], len(inside)) if inside else (now, 0)

    def _make_room(self, key: str, now: float, expiry: int) -> deque[float]:
        # A look through all callers takes a millisecond, so a flood of new ones gets no more than one a second.
        if len(self._times) >= self._most and now - self._swept_at >= 1.0:
            self._swept_at = now
            self._times = {each: times for each, times in self._times.items() if times and times[-1] > now - expiry}
        if len(self._times) >= self._most:
            key = _OTHERS
        return self._times.setdefault(key, deque())

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Counters belong to strategies that are not used here."""
        raise NotImplementedError

    def get(self, key: str) -> int:
        """How many requests of a caller are remembered."""
        return len(self._times.get(key, ()))

    def get_expiry(self, key: str) -> float:
        """Counters belong to strategies that are not used here."""
        raise NotImplementedError

    def check(self) -> bool:
        """Memory is always at hand."""
        return True

    def reset(self) -> int | None:
        """Forget everybody."""
        forgotten = len(self._times)
        self._times.clear()
        return forgotten

    def clear(self, key: str) -> None:
        """Forget one caller."""
        self._times.pop(key, None)


class _OneCaller(RateLimitItemPerSecond):
    """A limit whose store belongs to it alone, so that a caller's name is key enough."""

    def key_for(self, *identifiers: bytes | str | float) -> str:
        return str(identifiers[0])


class RateLimit:
    """A limit that many callers have each for themselves.

    Args:
        item: how many in how many seconds.
        clock: seconds that never go back.
    """

    def __init__(self, item: RateLimitItem, clock: Callable[[], float] = monotonic) -> None:
        self.item = item
        self._storage = ForwardStorage(clock)
        self._window = MovingWindowRateLimiter(self._storage)
        self._amount, self._expiry_s = item.amount, item.get_expiry()

    @classmethod
    def of_keys(cls, rps: float, clock: Callable[[], float] = monotonic) -> "RateLimit":
        """`rps` requests a second, counted over one second, or over as many as let ten pass."""
        window_s = max(1, math.ceil(_FEWEST_A_WINDOW / rps))
        return cls(_OneCaller(max(1, math.floor(rps * window_s)), window_s), clock)

    @classmethod
    def of_failures(cls, clock: Callable[[], float] = monotonic) -> "RateLimit":
        """Requests without a valid key that one address may send in a minute before it hears 429 instead of 401."""
        return cls(_OneCaller(_FAILURES_A_MINUTE, _MINUTE_S), clock)

    def hit(self, caller: str) -> bool:
        """Count a request; False when it is one too many."""
        return self._window.hit(self.item, caller)

    def retry_after_s(self, caller: str) -> int:
        """Whole seconds until the next request of a caller will pass."""
        reset_at, remaining = self._window.get_window_stats(self.item, caller)
        return 1 if remaining > 0 else max(1, math.ceil(reset_at - self._storage.clock()))
