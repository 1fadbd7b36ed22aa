"""From looks to minutes: differences of counters, restarts, versions and what bots say. Pure: what is known is what the looks said.

A span begins and ends with a look. It ends after a minute, and earlier when the process was restarted, became reachable or unreachable, or changed a
version: so a minute belongs to one process and one version. What was asked between two looks belongs to the span of the later one, also when
looks in between failed. Only where a version changed between them it belongs to the earlier span: errors of the version that was left are never held
against the one that came. Predictions are counted by strategy and version where the process tells them apart (latency is the process's). A process that was restarted has counted from zero, and what it counted before
its end and no look saw is lost.
"""

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tidegate.rollback.finding import BotWord, Minute
from tidegate.watch.scrape import BotSeen, Counts, Look

MINUTE_MS: Final = 60_000
DAY_MS: Final = 86_400_000
_GAP_MS: Final = 300_000
"""A watch that did not look for longer does not know when within that time a version changed."""
_SILENT_MS: Final = 3_600_000

Buckets = tuple[tuple[float, float], ...]
_ZERO: Final = Counts(0.0, 0.0, (), 0.0)


@dataclass(frozen=True, slots=True)
class Kept:
    """A minute with its strategy, and the mean latency for reports; None without any request."""

    strategy: str
    minute: Minute
    latency_mean_ms: float | None


@dataclass(slots=True)
class _Version:
    """The version that was last in production on an instance, and since when; unknown where it was there at the first look."""

    version: int
    since: int | None


@dataclass(slots=True)
class _Span:
    """What one instance does since the span's first look."""

    starts_at: int
    ends_at: int
    reachable: bool
    started_at: int | None
    versions: dict[str, int | None]
    since: dict[str, int | None]
    orderly: bool | None = False
    answered: float = 0.0
    failed: float = 0.0
    seconds: float = 0.0
    buckets: dict[float, float] = field(default_factory=dict)
    own: dict[tuple[str, int], tuple[float, float]] | None = None

    def add(self, now: Counts, before: Counts) -> None:
        """Add what was counted between two looks."""
        earlier = dict(before.buckets)
        self.answered += now.answered - before.answered
        self.failed += now.failed - before.failed
        self.seconds += now.seconds - before.seconds
        for bound, count in now.buckets:
            self.buckets[bound] = self.buckets.get(bound, 0.0) + count - earlier.get(bound, 0.0)
        self.add_own(now, before, self.versions)

    def add_own(self, now: Counts, before: Counts, strategies: Iterable[str]) -> None:
        """Add what these strategies counted between two looks, by the version that was in production."""
        if now.by_version is None:
            return
        self.own = {} if self.own is None else self.own
        for (strategy, version), (asked, failed) in now.by_version.items():
            if strategy in strategies:
                earlier = (before.by_version or {}).get((strategy, version), (0.0, 0.0))
                own = self.own.get((strategy, version), (0.0, 0.0))
                self.own[strategy, version] = own[0] + asked - earlier[0], own[1] + failed - earlier[1]

    def minutes(self, instance: str) -> list[Kept]:
        """One minute a strategy."""
        buckets = tuple(sorted(self.buckets.items()))
        p95 = quantile(buckets, 0.95)
        timed = buckets[-1][1] if buckets else 0.0
        mean_ms = self.seconds / timed * 1000 if timed else None
        return [
            Kept(
                strategy,
                Minute(
                    instance=instance,
                    starts_at=self.starts_at,
                    ends_at=self.ends_at,
                    reachable=self.reachable,
                    version=version,
                    version_since=self.since.get(strategy),
                    started_at=self.started_at,
                    requests=round(self._own(strategy, version)[0]),
                    errors=round(self._own(strategy, version)[1]),
                    latency_p95_ms=None if p95 is None else p95 * 1000,
                    orderly=self.orderly,
                ),
                mean_ms,
            )
            for strategy, version in self.versions.items()
        ]

    def _own(self, strategy: str, version: int | None) -> tuple[float, float]:
        """Predictions and failures of one strategy's version; those of the whole process where it does not tell them apart."""
        return (self.answered, self.failed) if self.own is None else self.own.get((strategy, version or 0), (0.0, 0.0))


@dataclass(slots=True)
class _Instance:
    """What is remembered of one instance."""

    span: _Span | None = None
    counts: Counts | None = None
    started_at: int | None = None
    seen_at: int | None = None
    restart_untold: bool = False
    orderly: bool | None = False
    versions: dict[str, int | None] = field(default_factory=dict)
    last: dict[str, _Version] = field(default_factory=dict)


class Minutes:
    """Minutes of all instances, of the last day.

    Args:
        kept: minutes of an earlier watch, in any order.
    """

    def __init__(self, kept: Iterable[Kept] = ()) -> None:
        self._instances: dict[str, _Instance] = {}
        self._closed: dict[str, deque[Minute]] = {}
        self._words: dict[tuple[str, str, str], BotWord] = {}
        for one in sorted(kept, key=lambda each: each.minute.ends_at):
            self._recall(one)

    def take(self, look: Look) -> list[Kept]:
        """Take in a look; looks of one instance come in their order.

        Returns:
            minutes that ended with it.
        """
        found = self._instances.setdefault(look.instance, _Instance())
        ended = self._next(found, look) if look.reachable else self._unreachable(found, look)
        for bot in look.bots or ():
            self._hear(bot)
        found.seen_at = look.at
        for one in ended:
            self._keep(one)
        return ended

    def of(self, strategy: str, now_ms: int) -> list[Minute]:
        """Minutes of a strategy that ended within the last day, oldest first, with those that have not ended yet."""
        closed = self._closed.get(strategy, deque())
        while closed and closed[0].ends_at < now_ms - DAY_MS:
            closed.popleft()
        still_open = [
            one.minute
            for instance, found in self._instances.items()
            if found.span is not None
            for one in found.span.minutes(instance)
            if one.strategy == strategy
        ]
        return sorted((*closed, *still_open), key=lambda minute: (minute.starts_at, minute.ends_at, minute.instance))

    def words(self, strategy: str, now_ms: int) -> list[BotWord]:
        """What each bot of a strategy said last, within the last hour."""
        self._words = {name: word for name, word in self._words.items() if word.said_at > now_ms - _SILENT_MS}
        return [word for name, word in sorted(self._words.items()) if name[0] == strategy]

    def forget(self, instance: str) -> list[Kept]:
        """Stop expecting an instance, and return the minutes that end with that. What it served is known on, should it come back within a day."""
        found = self._instances.get(instance)
        ended = [] if found is None or found.span is None else found.span.minutes(instance)
        if found is not None:
            found.span = None
            newest = max(known.seen_at or 0 for known in self._instances.values())
            for name, known in list(self._instances.items()):
                if known.span is None and (known.seen_at or 0) < newest - DAY_MS:
                    del self._instances[name]
        for one in ended:
            self._keep(one)
        return ended

    def end(self) -> list[Kept]:
        """End every open minute, as at a stop, and return them."""
        return [one for instance in list(self._instances) for one in self.forget(instance)]

    def _next(self, found: _Instance, look: Look) -> list[Kept]:
        before, span = found.counts, found.span
        told, fell = _other_start(found, look), _counters_fell(found, look)
        # Where a start is told later than counters fall, it is the same restart, and counts since then are counted already.
        from_zero = fell or (told and not found.restart_untold)
        restarted, found.restart_untold = told or fell, not told and (fell or found.restart_untold)
        started_at = look.started_at or (look.at if fell else found.started_at)
        versions = found.versions if look.versions is None else dict(look.versions)
        changed = () if from_zero else [name for name in versions if versions[name] != found.versions.get(name)]
        counted_by = before
        if changed and span is not None and before is not None and look.counts is not None:
            span.add(look.counts, before)
            before = look.counts
        self._note_versions(found, look, versions)
        ended: list[Kept] = []
        full = span is not None and span.ends_at - span.starts_at >= MINUTE_MS
        same = span is not None and span.reachable and span.versions == versions and not restarted
        if span is None or full or not same:
            ended = [] if span is None else span.minutes(look.instance)
            since = {name: last.since for name, last in found.last.items()}
            span = _Span(look.at if span is None else span.ends_at, look.at, True, started_at, versions, since)
            span.orderly = found.orderly
            found.span = span
        if look.counts is not None:
            if from_zero:
                span.add(look.counts, _ZERO)
            elif before is not None:
                span.add(look.counts, before)
                # What is counted by version needs no guess: the version that came has its own from its first one on.
                if before is look.counts and counted_by is not None:
                    span.add_own(look.counts, counted_by, changed)
            found.counts = look.counts
        elif from_zero:
            found.counts = _ZERO  # what the new process counts until it is read the first time is its own
        span.ends_at = look.at
        span.started_at = found.started_at = started_at
        if look.started_at is not None:
            span.orderly = found.orderly = look.orderly
        found.versions = versions
        return ended

    @staticmethod
    def _unreachable(found: _Instance, look: Look) -> list[Kept]:
        span = found.span
        if span is not None and not span.reachable and span.ends_at - span.starts_at < MINUTE_MS:
            span.ends_at = look.at
            return []
        since = {name: last.since for name, last in found.last.items()}
        # The version that it had answers for its silence, until it says another one.
        versions: dict[str, int | None] = {name: last.version for name, last in found.last.items()}
        starts_at = look.at if span is None else span.ends_at
        found.span = _Span(starts_at, look.at, False, found.started_at, versions, since, found.orderly)
        return [] if span is None else span.minutes(look.instance)

    @staticmethod
    def _note_versions(found: _Instance, look: Look, versions: Mapping[str, int | None]) -> None:
        # It changed between two looks; the earlier one is named, where the span with the new version begins.
        since = look.at if found.span is None else found.span.ends_at
        for strategy, version in versions.items():
            last = found.last.get(strategy)
            if version is None or (last is not None and last.version == version):
                continue  # a restarted process has none for a moment, which is no change of version
            known = found.seen_at is not None and look.at - found.seen_at <= _GAP_MS
            first = last is None and found.versions.get(strategy, version) is not None
            found.last[strategy] = _Version(version, since if known and not first else None)

    def _hear(self, bot: BotSeen) -> None:
        name = (bot.strategy, bot.key_id, bot.bot)
        before = self._words.get(name)
        if before is not None and before.said_at >= bot.received_at:
            return
        # Half open comes after open and before the next trial, so the bot has not reached the service yet.
        unreachable = bot.breaker != "closed"
        since = before.since if before is not None and before.unreachable == unreachable else bot.received_at
        self._words[name] = BotWord(bot.bot, bot.key_id, unreachable, bot.received_at, since)

    def _keep(self, one: Kept) -> None:
        self._closed.setdefault(one.strategy, deque()).append(one.minute)

    def _recall(self, one: Kept) -> None:
        minute = one.minute
        self._keep(one)
        found = self._instances.setdefault(minute.instance, _Instance())
        found.seen_at = minute.ends_at
        found.started_at, found.orderly = minute.started_at or found.started_at, minute.orderly
        found.versions[one.strategy] = minute.version
        if minute.version is not None:
            found.last[one.strategy] = _Version(minute.version, minute.version_since)


def quantile(buckets: Sequence[tuple[float, float]], share: float) -> float | None:
    """A quantile from a histogram, by linear interpolation within the bucket that holds it.

    Args:
        buckets: upper bounds, ascending, the last one infinite, with the number at or under each.
        share: between 0 and 1.

    Returns:
        in the bounds' unit; the last finite bound where the quantile lies above it; None without any observation.

    Source: the documented rule of PromQL's `histogram_quantile`.

    >>> quantile(((0.01, 90), (0.02, 100), (math.inf, 100)), 0.95)
    0.015
    """
    total = buckets[-1][1] if buckets else 0.0
    if total <= 0:
        return None
    rank, under, count_under = share * total, 0.0, 0.0
    for bound, count in buckets:
        if count >= rank and count > count_under:
            if math.isinf(bound):
                return under
            return under + (bound - under) * (rank - count_under) / (count - count_under)
        under, count_under = (bound, count) if math.isfinite(bound) else (under, count)
    return under


def _other_start(found: _Instance, look: Look) -> bool:
    """Whether the process says another start than at the look before."""
    return look.started_at is not None and found.started_at is not None and look.started_at != found.started_at


def _counters_fell(found: _Instance, look: Look) -> bool:
    """Whether a counter is lower than at the look before: it is another process."""
    now, before = look.counts, found.counts
    if now is None or before is None:
        return False
    earlier = dict(before.buckets)
    fallen = any(count < earlier.get(bound, 0.0) for bound, count in now.buckets)
    return fallen or now.answered < before.answered or now.failed < before.failed
