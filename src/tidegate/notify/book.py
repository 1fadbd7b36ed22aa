"""What was told to whom, in the event ledger: written at once, or kept in this process until the ledger is back."""

import logging
import socket
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from tidegate.errors import RegistryError
from tidegate.notify.channel import Outcome
from tidegate.notify.notification import FLOOD_MS, SEVERITIES, Notification, notifications
from tidegate.registry.events import Event, EventLedger
from tidegate.registry.schema import ACTOR

log = logging.getLogger(__name__)

_MOST_UNWRITTEN: Final = 1_000
_Write = tuple[str, str, Mapping[str, Any]]


class Book:
    """The notifications of the event ledger.

    A ledger that cannot be reached stops nobody: what should be written waits here, in order.

    Args:
        events: the event ledger.
    """

    def __init__(self, events: EventLedger) -> None:
        self._events = events
        self._actor = f"notify@{socket.gethostname()}"[:ACTOR]
        self._lock = threading.RLock()
        self._unwritten: deque[_Write] = deque(maxlen=_MOST_UNWRITTEN)
        self._sent_unwritten: dict[tuple[str, str, str], tuple[int, int]] = {}

    def now_ms(self) -> int:
        """The time now, UTC ms, by the ledger's clock."""
        return self._events.database.clock()

    def record(self, notification: Notification) -> Notification:
        """Write a new notification, and give it with its number and time in the ledger; its number stays 0 where that is out of reach."""
        content = {
            "id": notification.id,
            "state": "pending" if notification.channels else "recorded",
            "severity": notification.severity,
            "title": notification.title,
            "body": notification.body,
            "channels": list(notification.channels),
            "test": notification.test,
        }
        try:
            self.flush()
            event = self._append(notification, content)
        except RegistryError as error:
            self._keep(notification, content, error)
            return notification
        return replace(notification, number=event.id, created_at=event.created_at)

    def is_repetition(self, notification: Notification) -> bool:
        """Whether the same was sent within the hour before; written down where it was."""
        if not notification.number:
            return self._was_sent_unwritten(notification)
        try:
            earlier = self.since(notification.created_at - FLOOD_MS, notification.strategy)
            of = next((each.id for each in earlier if notification.is_repetition_of(each)), None)
            if of is not None:
                self._append(notification, {"id": notification.id, "state": "repeated", "of": of})
        except RegistryError as error:
            log.warning("whether %r is a repetition is not known, so it is sent: %s", notification.title, error)
            return False
        return of is not None

    def claim(self, notification: Notification, channels: Sequence[str], until_ms: int) -> bool:
        """Take the delivery by these channels for this process, until then at most; False where another has it, or has done it."""
        if self._is_unwritten(notification):
            return True  # no other process knows of it
        now_ms = self.now_ms()

        def free(found: list[Event]) -> bool:
            known = next((each for each in notifications(found) if each.id == notification.id), notification)
            return now_ms >= known.claimed_until and set(channels) <= set(known.missing(channels))

        content = {"id": notification.id, "state": "trying", "channels": list(channels), "until": until_ms}
        try:
            return self._append_if(notification, content, free) is not None
        except RegistryError as error:
            log.warning(
                "the notification %r could not be claimed and is sent all the same: %s", notification.title, error
            )
            return True

    def write(self, notification: Notification, outcome: Outcome) -> None:
        """Write what a channel's tries came to."""
        content: dict[str, Any] = {"id": notification.id, "channel": outcome.channel, "tries": outcome.tries}
        if outcome.proof is None:
            content |= {"state": "failed", "reason": outcome.reason}
        else:
            content |= {"state": "delivered", "proof": dict(outcome.proof)}
        try:
            if self._is_unwritten(notification):
                self._keep(notification, content, None)
                self.flush()
            else:
                self._append(notification, content)
        except RegistryError as error:
            if not self._is_unwritten(notification):
                self._keep(notification, content, error)

    def since(self, since_ms: int, strategy: str | None = None) -> list[Notification]:
        """Notifications written at or after a time, oldest first.

        Raises:
            RegistryError: the ledger cannot be reached.
        """
        return notifications(self._events.rows(strategy, kinds={"notification"}, since_ms=since_ms))

    def flush(self) -> None:
        """Write what could not be written before, in order.

        Raises:
            RegistryError: it still cannot; what is left is kept.
        """
        with self._lock:
            while self._unwritten:
                strategy, subject, content = self._unwritten[0]
                self._events.append(
                    "notification", strategy=strategy, subject=subject, actor=self._actor, content=content
                )
                self._unwritten.popleft()

    def _append(self, notification: Notification, content: Mapping[str, Any]) -> Event:
        event = self._append_if(notification, content, lambda _found: True)
        assert event is not None
        return event

    def _append_if(
        self, notification: Notification, content: Mapping[str, Any], condition: Callable[[list[Event]], bool]
    ) -> Event | None:
        return self._events.append_if(
            "notification",
            strategy=notification.strategy,
            subject=notification.subject,
            actor=self._actor,
            content=content,
            condition=condition,
        )

    def _keep(self, notification: Notification, content: Mapping[str, Any], error: RegistryError | None) -> None:
        if error is not None:
            log.error("the notification %r is not in the ledger yet: %s", notification.title, error)
        with self._lock:
            self._unwritten.append((notification.strategy, notification.subject, content))

    def _is_unwritten(self, notification: Notification) -> bool:
        with self._lock:
            return any(content["id"] == notification.id for _, _, content in self._unwritten)

    def _was_sent_unwritten(self, notification: Notification) -> bool:
        """As `is_repetition`, by what this process remembers of the time without a ledger."""
        key, rank = notification.what, SEVERITIES.index(notification.severity)
        with self._lock:
            at, before = self._sent_unwritten.get(key, (-FLOOD_MS, -1))
            if notification.created_at - at < FLOOD_MS and before >= rank:
                return True
            if len(self._sent_unwritten) >= _MOST_UNWRITTEN:
                self._sent_unwritten.clear()
            self._sent_unwritten[key] = (notification.created_at, rank)
        return False
