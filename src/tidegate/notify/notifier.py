"""Records a notification, delivers it, records what came of it; and tries again what was not delivered."""

import logging
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from typing import Final

from tidegate.notify.book import Book
from tidegate.notify.channel import Channel, Outcome, deliver, pauses
from tidegate.notify.mail import Mail
from tidegate.notify.notification import SEVERITIES, Notification, Severity
from tidegate.notify.texts import one_line, plain_text
from tidegate.notify.webhook import Webhook
from tidegate.registry.events import EventLedger
from tidegate.registry.schema import STRATEGY, SUBJECT
from tidegate.settings.operations import Notify
from tidegate.settings.settings import Settings

log = logging.getLogger(__name__)

_REMEMBERED_MS: Final = 30 * 86_400_000
"""How far back undelivered notifications are looked for."""
_MOST_AT_ONCE: Final = 8
_PAUSE_S: Final = 1.0
_SLACK_MS: Final = 30_000


class Notifier:
    """Tells people. One for each process; may be used from several threads.

    The event ledger has every notification before anybody is told, and each delivery's proof or failure after it, all with the notification's id.
    Where several processes could deliver one, the first that claims it does; should it die meanwhile, another may once the claim has run out.

    A ledger that cannot be reached stops no notification: it is sent all the same, at most once an hour by its title and subject, and written down once the ledger
    is back, if this process still lives.

    Args:
        settings: `settings.notify` says where to and how.
        events: the event ledger.
        background: deliver in a thread of its own, so that `send` waits for the ledger only.
        pause_s: before the second try of a delivery; doubled before each further one.
        sleep: waits between tries.
    """

    def __init__(
        self,
        settings: Settings,
        events: EventLedger,
        *,
        background: bool = False,
        pause_s: float = _PAUSE_S,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._notify = settings.notify
        self._book = Book(events)
        self._channels = {channel.name: channel for channel in make_channels(settings.notify)}
        self._pauses = pauses(settings.notify.attempts, pause_s)
        self._sleep = sleep
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="notify") if background else None

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels' names, in the settings' order."""
        return tuple(self._channels)

    def send(self, severity: Severity, title: str, body: str, *, strategy: str = "", subject: str = "") -> None:
        """Record a notification and deliver it. Never raises, whatever fails: what does is logged, and in the ledger.

        It is only recorded where its severity is below `notify.least`, or where the same title of the same strategy about the same subject was sent
        within the hour before at this severity or a higher one.

        Args:
            severity: how bad it is.
            title: one line that names what happened and holds nothing that changes each time, such as a number.
            body: plain text.
            strategy: the strategy's id; empty for what is about none.
            subject: what it is about, such as an incident's id; empty for an id of its own, so that the title alone tells what is a repetition.
        """
        try:
            notification = self._book.record(self._made(severity, title, body, strategy, subject))
            if not notification.channels or self._book.is_repetition(notification):
                return
            if self._worker is None:
                self._deliver(notification, notification.channels)
            else:
                self._worker.submit(self._deliver_quietly, notification)
        except Exception:
            # Whoever tells of something is doing something else, which must go on.
            log.exception("the notification %r failed", title)

    def test(self) -> list[Outcome]:
        """Send a notification to every channel, whatever its severity, and give what came of each. A failure is not tried again later."""
        text = "Somebody tries whether notifications arrive."
        notification = self._book.record(self._made("info", "this is a test", text, test=True))
        return self._round(notification, self.channels)

    def retry(self, *, at_once: bool = False) -> list[Notification]:
        """Deliver what is due of the undelivered; for a process to call every minute.

        After each failed round the next is due later, up to an hour; after three days it is no longer tried by itself. Once a channel has failed, what
        else it should deliver waits for the next call.

        Args:
            at_once: try everything that is undelivered now, also what is not due or too old.

        Returns:
            what is still undelivered.

        Raises:
            RegistryError: the ledger cannot be reached or is broken.
        """
        self._book.flush()
        down: set[str] = set()
        for notification in self.undelivered():
            now_ms = self._book.now_ms()
            due = notification.due(self._channels, now_ms)
            if at_once and now_ms >= notification.claimed_until:
                due = notification.missing(self._channels)
            outcomes = self._deliver(notification, [name for name in due if name not in down])
            down |= {outcome.channel for outcome in outcomes if outcome.proof is None}
        return self.undelivered()

    def undelivered(self) -> list[Notification]:
        """What some channel has not delivered, oldest first, of the last 30 days; also what is being delivered now.

        Raises:
            RegistryError: the ledger cannot be reached or is broken.
        """
        every = self._book.since(self._book.now_ms() - _REMEMBERED_MS)
        return [
            each
            for at, each in enumerate(every)
            if not each.test
            and each.missing(self._channels)
            # A process that ended before it could write that it is a repetition.
            and (each.was_tried or not any(each.is_repetition_of(other) for other in every[:at]))
        ]

    def close(self) -> None:
        """Wait for what is being delivered now; what waits behind it stays in the ledger for `retry`."""
        if self._worker is not None:
            self._worker.shutdown(wait=True, cancel_futures=True)

    def _made(
        self, severity: Severity, title: str, body: str, strategy: str = "", subject: str = "", *, test: bool = False
    ) -> Notification:
        known: Severity = severity if severity in SEVERITIES else "critical"
        if known != severity:
            log.error("a notification has the unknown severity %r; it counts as critical", severity)
        name = uuid.uuid4().hex
        loud = test or SEVERITIES.index(known) >= SEVERITIES.index(self._notify.least)
        return Notification(
            id=name,
            number=0,
            strategy=one_line(strategy, STRATEGY),
            subject=one_line(subject, SUBJECT) or name,
            severity=known,
            title=one_line(title) or "(no title)",
            body=plain_text(body),
            created_at=self._book.now_ms(),
            channels=self.channels if loud else (),
            test=test,
        )

    def _deliver_quietly(self, notification: Notification) -> None:
        try:
            self._deliver(notification, notification.channels)
        except Exception:
            # The border of the thread: `retry` finds it in the ledger.
            log.exception("the notification %r failed", notification.title)

    def _deliver(self, notification: Notification, channels: Sequence[str]) -> list[Outcome]:
        """Try, if nobody else does."""
        if not channels:
            return []
        turns = -(-len(channels) // _MOST_AT_ONCE)
        longest_s = turns * (self._notify.attempts * self._notify.timeout_s + sum(self._pauses))
        until_ms = self._book.now_ms() + int(longest_s * 1000) + _SLACK_MS
        return self._round(notification, channels) if self._book.claim(notification, channels, until_ms) else []

    def _round(self, notification: Notification, channels: Sequence[str]) -> list[Outcome]:
        """Try all channels side by side, so that one that hangs does not hold up another."""
        tell = partial(deliver, notification=notification, pauses_s=self._pauses, sleep=self._sleep)
        outcomes: list[Outcome] = []
        with ThreadPoolExecutor(_MOST_AT_ONCE, thread_name_prefix="notify-channel") as pool:
            for done in as_completed([pool.submit(tell, self._channels[name]) for name in channels]):
                outcomes.append(done.result())
                _log(notification, outcomes[-1])
                self._book.write(notification, outcomes[-1])
        return sorted(outcomes, key=lambda outcome: channels.index(outcome.channel))


def make_channels(notify: Notify) -> list[Channel]:
    """The ways to people that the settings name."""
    webhooks = [Webhook(url, notify.webhook_secret_file, notify.timeout_s) for url in notify.webhook_urls]
    mails = [Mail(receiver, notify) for receiver in notify.mail_to] if notify.smtp_host is not None else []
    return [*webhooks, *mails]


def _log(notification: Notification, outcome: Outcome) -> None:
    ids = {"strategy": notification.strategy or None}
    if outcome.proof is not None:
        log.info("%s has taken %r", outcome.channel, notification.title, extra=ids)
    else:
        log.error("%s has not taken %r: %s", outcome.channel, notification.title, outcome.reason, extra=ids)
