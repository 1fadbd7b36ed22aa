"""What a notification is, and what the event ledger's events say became of each. No clock, no network."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

from tidegate.registry.events import Event

Severity = Literal["info", "warning", "critical"]
SEVERITIES: Final[tuple[Severity, ...]] = get_args(Severity)
"""Least first."""

FLOOD_MS: Final = 3_600_000
"""How long a title of a strategy and a subject is sent only once."""
GIVE_UP_MS: Final = 3 * 86_400_000
"""Age at which a notification is no longer tried by itself: what it told has been overtaken."""
_MINUTE_MS: Final = 60_000
_LONGEST_DOUBLINGS: Final = 6


@dataclass(frozen=True, slots=True)
class Failure:
    """The newest round of tries by a channel that delivered nothing. `at` is UTC ms; `rounds` counts those so far."""

    at: int
    reason: str
    rounds: int

    @property
    def next_at(self) -> int:
        """When the next round is due, UTC ms: a minute later, then two, four ... an hour."""
        return self.at + min(60, 1 << min(self.rounds - 1, _LONGEST_DOUBLINGS)) * _MINUTE_MS


@dataclass(frozen=True, slots=True)
class Notification:
    """One notification and what became of it.

    Attributes:
        id: names it everywhere, also to its receivers.
        number: its place in the event ledger; 0 where it could not be written there.
        strategy: the strategy's id; empty for what is about none.
        subject: what it is about, such as an incident's id.
        severity: how bad it is.
        title: one line.
        body: plain text.
        created_at: UTC ms.
        channels: to whom it is to be sent; none where its severity is below `notify.least`.
        test: sent by hand to try the channels: never held back as a repetition, never tried again.
        repeats: the id of the notification of which it is a repetition within an hour, so that it is not sent.
        delivered: proofs by channel.
        failures: by channel, of those that have delivered nothing yet.
        claimed_until: UTC ms until which some process is delivering it; 0 for nobody.
    """

    id: str
    number: int
    strategy: str
    subject: str
    severity: Severity
    title: str
    body: str
    created_at: int
    channels: tuple[str, ...]
    test: bool = False
    repeats: str | None = None
    delivered: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    failures: Mapping[str, Failure] = field(default_factory=dict)
    claimed_until: int = 0

    @property
    def what(self) -> tuple[str, str, str]:
        """What it tells: a second incident is news, whatever its title; where no subject was named the title alone counts."""
        return self.title, self.strategy, "" if self.subject == self.id else self.subject

    @property
    def was_tried(self) -> bool:
        """Whether some channel has been tried."""
        return bool(self.delivered or self.failures)

    def missing(self, configured: Collection[str]) -> tuple[str, ...]:
        """Channels that still have to deliver it; one that is no longer configured owes nothing."""
        if self.repeats is not None:
            return ()
        return tuple(name for name in self.channels if name in configured and name not in self.delivered)

    def due(self, configured: Collection[str], now_ms: int) -> tuple[str, ...]:
        """Channels whose next round has come, none while somebody is at it or once it is too old."""
        if now_ms < self.claimed_until or now_ms - self.created_at > GIVE_UP_MS:
            return ()
        return tuple(
            name
            for name in self.missing(configured)
            if name not in self.failures or self.failures[name].next_at <= now_ms
        )

    def is_repetition_of(self, earlier: "Notification") -> bool:
        """Whether `earlier` told the same within the hour before, at least as urgently, and was meant to be sent."""
        return (
            not (self.test or earlier.test)
            and earlier.what == self.what
            and bool(earlier.channels)
            and earlier.repeats is None
            and earlier.number < self.number
            and self.created_at - earlier.created_at < FLOOD_MS
            and SEVERITIES.index(earlier.severity) >= SEVERITIES.index(self.severity)
        )


@dataclass(slots=True)
class _Told:
    """What events have said of one notification so far."""

    first: Event
    repeats: str | None = None
    delivered: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)
    claimed: set[str] = field(default_factory=set)
    claimed_until: int = 0

    def add(self, event: Event) -> None:
        content = event.content
        match content["state"]:
            case "repeated":
                self.repeats = content["of"]
            case "trying":
                self.claimed, self.claimed_until = set(content["channels"]), content["until"]
            case "delivered":
                self.delivered[content["channel"]] = content["proof"]
                self.failures.pop(content["channel"], None)
                self.claimed.discard(content["channel"])
            case "failed":
                before = self.failures.get(content["channel"])
                rounds = 1 if before is None else before.rounds + 1
                self.failures[content["channel"]] = Failure(event.created_at, content["reason"], rounds)
                self.claimed.discard(content["channel"])

    def whole(self) -> Notification:
        event, content = self.first, self.first.content
        return Notification(
            id=content["id"],
            number=event.id,
            strategy=event.strategy,
            subject=event.subject,
            severity=content["severity"],
            title=content["title"],
            body=content["body"],
            created_at=event.created_at,
            channels=tuple(content["channels"]),
            test=content["test"],
            repeats=self.repeats,
            delivered=self.delivered,
            failures=self.failures,
            claimed_until=self.claimed_until if self.claimed else 0,
        )


def notifications(events: Iterable[Event]) -> list[Notification]:
    """The notifications that events of the kind `notification` tell of, oldest first.

    Args:
        events: in the ledger's order. Those that tell what became of a notification which is not among them are passed over.
    """
    told: dict[str, _Told] = {}
    for event in events:
        name = event.content["id"]
        if event.content["state"] in {"pending", "recorded"}:
            told[name] = _Told(event)
        elif name in told:
            told[name].add(event)
    return [each.whole() for each in told.values()]
