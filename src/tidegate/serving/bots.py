"""The bots' signs of life: what each said last. A restart forgets them until their next one."""

from dataclasses import dataclass
from typing import Final

from tidegate.serving.messages import Heartbeat
from tidegate.serving.metrics import Metrics
from tidegate.serving.problems import Problem

_SILENT_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class Known:
    """A bot's last heartbeat, whose key sent it, and when it came in (UTC ms by this machine's clock)."""

    heartbeat: Heartbeat
    key_id: str
    received_at: int


class Bots:
    """The last heartbeat of each bot and strategy.

    Args:
        most: how many are kept; a further one is refused rather than pushing out one that is watched.
        metrics: told of each heartbeat.
    """

    def __init__(self, most: int, metrics: Metrics) -> None:
        self._most = most
        self._metrics = metrics
        self._known: dict[tuple[str, str, str], Known] = {}

    def take(self, heartbeat: Heartbeat, key_id: str, now_ms: int) -> None:
        """Keep a heartbeat in place of the bot's last one.

        Raises:
            Problem: more bots than are kept.
        """
        # By key as well: nobody speaks for another key's bot.
        name = (key_id, heartbeat.bot, heartbeat.strategy)
        if name not in self._known and len(self._known) >= self._most:
            self._forget_silent(now_ms)
        if name not in self._known and len(self._known) >= self._most:
            raise Problem("too_many", f"heartbeats of {self._most} bots are kept, and this is another one")
        self._known[name] = Known(heartbeat, key_id, now_ms)
        self._metrics.bot_seen_at.labels(*name[1:]).set(now_ms / 1000)
        if heartbeat.last_version is not None:
            self._metrics.bot_version.labels(*name[1:]).set(heartbeat.last_version)

    def _forget_silent(self, now_ms: int) -> None:
        self._known = {name: known for name, known in self._known.items() if now_ms - known.received_at < _SILENT_MS}

    def all(self) -> list[Known]:
        """Every bot's last heartbeat, by name."""
        return [self._known[name] for name in sorted(self._known)]
