"""The bots' signs of life: what each said last. A restart forgets them until their next one."""

import contextlib
from collections.abc import Container
from dataclasses import dataclass
from typing import Final

from tidegate.serving.messages import Heartbeat
from tidegate.serving.metrics import Metrics
from tidegate.serving.problems import Problem

_SILENT_MS: Final = 3_600_000
_BREAKER: Final = {"closed": 0, "half_open": 1, "open": 2}


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
        before = self._known.get(name)
        self._known[name] = Known(heartbeat, key_id, now_ms)
        self._show(heartbeat, now_ms)
        if before is not None:
            self._hide_sources(before.heartbeat, keep=heartbeat.decisions)

    def _show(self, heartbeat: Heartbeat, now_ms: int) -> None:
        labels, metrics = (heartbeat.bot, heartbeat.strategy), self._metrics
        metrics.bot_seen_at.labels(*labels).set(now_ms / 1000)
        metrics.bot_breaker.labels(*labels).set(_BREAKER[heartbeat.breaker])
        for source, count in heartbeat.decisions.items():
            metrics.bot_decisions.labels(*labels, source).set(count)
        if heartbeat.last_version is not None:
            metrics.bot_version.labels(*labels).set(heartbeat.last_version)

    def _forget_silent(self, now_ms: int) -> None:
        """Drop bots that were silent for an hour, and what they said from the metrics: names must not pile up there."""
        for name, known in list(self._known.items()):
            if now_ms - known.received_at < _SILENT_MS:
                continue
            del self._known[name]
            if any(other[1:] == name[1:] for other in self._known):
                continue  # another key's bot has the same name, and the metrics do not tell keys
            self._hide_sources(known.heartbeat, keep=())
            for gauge in (self._metrics.bot_seen_at, self._metrics.bot_breaker, self._metrics.bot_version):
                with contextlib.suppress(KeyError):
                    gauge.remove(*name[1:])

    def _hide_sources(self, heartbeat: Heartbeat, *, keep: Container[str]) -> None:
        for source in heartbeat.decisions:
            if source not in keep:
                with contextlib.suppress(KeyError):
                    self._metrics.bot_decisions.remove(heartbeat.bot, heartbeat.strategy, source)

    def all(self) -> list[Known]:
        """Every bot's last heartbeat, by name."""
        return [self._known[name] for name in sorted(self._known)]
