"""The circuit breaker: requests stop when they fail, and one probe at a time finds out whether they may go on.

Pure: the times of a monotonic clock are given, in seconds, and so is chance.
"""

from typing import Literal

from tidegate.client.config import BreakerSettings
from tidegate.client.messages import BreakerName

Permit = Literal["whole", "probe"]
"""Leave for one decision's requests: as many attempts as the settings allow, or one since the breaker is half open."""


class Breaker:
    """Counts failed exchanges in a row. Not safe for threads: its owner has a lock."""

    def __init__(self, settings: BreakerSettings) -> None:
        self._settings = settings
        self._failures = 0
        self._missed_looks = 0
        self._failed_probes = 0
        self._phase: BreakerName = "closed"
        self._until = 0.0
        self._probing = False

    def state(self, now: float) -> BreakerName:
        """The state; an open breaker whose time is over is half open."""
        return "half_open" if self._phase == "open" and now >= self._until else self._phase

    def permit(self, now: float) -> Permit | None:
        """Leave for one exchange, None where there is none. Each is given back by one of the three methods below."""
        state = self.state(now)
        if state == "closed":
            return "whole"
        if state == "open" or (self._phase == "half_open" and self._probing):
            return None
        self._phase, self._probing = "half_open", True
        return "probe"

    def understood(self, permit: Permit) -> None:
        """The service answered the exchange."""
        if permit == "probe" or self._phase == "closed":
            self._failures = self._missed_looks = self._failed_probes = 0
            self._phase, self._probing = "closed", False

    def failed(self, permit: Permit, now: float, spread: float) -> bool:
        """The exchange failed.

        Args:
            permit: its leave.
            now: s.
            spread: the random factor of the time that the breaker stays open, 0.8 to 1.2.
        Returns:
            Whether that opened the breaker.
        """
        if permit == "probe":
            self._failed_probes += 1
        elif self._phase != "closed":
            return False  # it began before the breaker opened, and says nothing new
        else:
            self._failures += 1
            if not self._is_enough():
                return False
        self._open(now, spread)
        return True

    def missed_look(self, now: float, spread: float) -> bool:
        """A look in the background found nobody; while closed that counts as a failed exchange. Returns whether it opened the breaker."""
        if self._phase != "closed":
            return False
        self._missed_looks += 1
        if not self._is_enough():
            return False
        self._open(now, spread)
        return True

    def answered_look(self) -> None:
        """A look found somebody: looks are missed in a row only. Failed exchanges stay; a service may answer looks and fail every question."""
        self._missed_looks = 0

    def _is_enough(self) -> bool:
        return self._failures + self._missed_looks >= self._settings.failures

    def _open(self, now: float, spread: float) -> None:
        self._failures = self._missed_looks = 0
        self._phase, self._probing = "open", False
        # The exponent is bounded: an integer of a thousand digits tells no more than the longest time.
        doubled = self._settings.open_ms << min(self._failed_probes, 40)
        self._until = now + min(doubled, self._settings.open_max_ms) / 1000 * spread

    def abandoned(self, permit: Permit) -> None:
        """The exchange ended without telling anything of the service."""
        if permit == "probe":
            self._probing = False

    def ready(self) -> None:
        """The service said that it is ready: an open breaker need not wait."""
        if self._phase == "open":
            self._phase, self._probing = "half_open", False
