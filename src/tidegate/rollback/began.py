"""Whether a fault began with a version.

It did where the first bad minute lies within `attribution_minutes` after the version's start on an instance, and the minutes before that start were
measured and good. What is not known never speaks for going back.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from tidegate.bars.interval import DAY_MS
from tidegate.rollback.finding import Minute
from tidegate.strategy.strategy import Rollback

MINUTE_MS: Final = 60_000
_NOT_KNOWN_MS: Final = 30_000
"""After its start a process learns within a moment whether the one before had signed off; after this long it counts as not."""
_Found = Mapping[str, list[Minute]]


def by_instance(minutes: Iterable[Minute], now_ms: int) -> dict[str, list[Minute]]:
    """Minutes of the last day by instance, oldest first."""
    found: dict[str, list[Minute]] = {}
    for one in sorted(minutes, key=lambda each: (each.instance, each.ends_at, each.starts_at)):
        if one.ends_at > now_ms - DAY_MS:
            found.setdefault(one.instance, []).append(one)
    return found


def starts(found: Sequence[Minute], version: int | None) -> int | None:
    """When the version started on an instance, None where that was not seen."""
    return next((one.version_since for one in reversed(found) if one.version == version), None)


def newest_start(found: _Found, version: int | None) -> int | None:
    """The newest start of the version on any instance, None where none was seen."""
    seen = (starts(each, version) for each in found.values())
    return max((at for at in seen if at is not None), default=None)


def own_minutes(found: Sequence[Minute], version: int | None) -> list[Minute]:
    """Minutes of the version since its newest start on an instance, oldest first; what it did in an earlier time in production is left out."""
    start = starts(found, version)
    return [one for one in found if one.version == version and (start is None or one.ends_at > start)]


def due_minutes(found: Sequence[Minute], version: int | None) -> list[Minute]:
    """Minutes of the version, and those in which the instance answered without any version although it should serve this one; oldest first."""
    start = starts(found, version)
    others_until = max((one.ends_at for one in found if one.version not in {version, None}), default=0)
    since = max(others_until, start or 0)
    without = [one for one in found if one.version is None and one.reachable and one.ends_at > since]
    return sorted((*own_minutes(found, version), *without), key=lambda one: (one.ends_at, one.starts_at))


def asked_enough(minutes: Iterable[Minute], from_ms: int, requests: int) -> list[Minute]:
    """Minutes that end after `from_ms`, newest first, and further ones until there are `requests` predictions."""
    stretch: list[Minute] = []
    for one in sorted(minutes, key=lambda each: -each.ends_at):
        if one.ends_at <= from_ms and sum(each.requests for each in stretch) >= requests:
            break
        stretch.append(one)
    return stretch


def latency_began(found: list[Minute], version: int | None, rules: Rollback) -> tuple[int | None, str]:
    """Since when an instance is slow without a break, and why that did not begin with the version, empty where it did."""

    def slow(one: Minute) -> bool:
        return one.latency_p95_ms is not None and one.latency_p95_ms > rules.latency_p95_ms

    first_bad = _first_of_run([one for one in own_minutes(found, version) if one.requests], slow)
    start = starts(found, version)
    early = _too_early_or_late(first_bad, start, rules)
    if early or start is None:
        return first_bad, early
    before, spans_ms, requests = before_start(found, start), 0, 0
    for one in reversed(before):
        if not one.requests:
            continue
        if one.latency_p95_ms is None or not math.isfinite(one.latency_p95_ms):
            return first_bad, "a minute's p95 before the version's start is not known"
        if slow(one):
            return first_bad, "it was as slow before the version's start"
        spans_ms, requests = spans_ms + one.ends_at - one.starts_at, requests + one.requests
        if spans_ms >= rules.latency_minutes * MINUTE_MS and requests >= rules.min_requests:
            return first_bad, ""
    return first_bad, "too little was measured before the version's start"


def errors_began(
    found: _Found, stretch: Sequence[Minute], rules: Rollback, version: int | None
) -> tuple[int | None, str]:
    """Since when predictions fail, and why that did not begin with the version on every failing instance, empty where it did.

    An instance fails where more than `error_rate` of its own predictions of the stretch failed.
    """
    firsts: list[int] = []
    reasons: list[str] = []
    before: list[Minute] = []
    for instance, all_of_it in found.items():
        own = [one for one in stretch if one.instance == instance and one.requests]
        if not _share(own) > rules.error_rate:
            continue
        start = starts(all_of_it, version)
        measured = [one for one in due_minutes(all_of_it, version) if one.requests]
        bad_in_stretch = [one for one in own if _share([one]) > rules.error_rate]
        until = min(bad_in_stretch, key=lambda one: one.starts_at)
        upto = [one for one in measured if one.starts_at <= until.starts_at]
        first_bad = _first_of_run(upto, lambda one: _share([one]) > rules.error_rate)
        firsts += [] if first_bad is None else [first_bad]
        reasons.append(_too_early_or_late(first_bad, start, rules))
        if start is not None:
            from_ms = start - rules.error_minutes * MINUTE_MS
            before += asked_enough(before_start(all_of_it, start), from_ms, rules.min_requests)
    since = min(firsts, default=None)
    told = next(filter(None, reasons), "")
    if told or since is None:
        return since, told or "no single minute fails"
    if sum(one.requests for one in before) < rules.min_requests:
        return since, "too little was measured before the version's start"
    return since, "" if _share(before) <= rules.error_rate else "as much failed before the version's start"


def no_crashes(found: Sequence[Minute], now_ms: int) -> set[int]:
    """Starts that follow a sign-off, and those so young that the process may not know it yet."""
    known = {one.started_at for one in found if one.orderly is not None}
    orderly = {one.started_at for one in found if one.orderly}
    young = {
        one.started_at
        for one in found
        if one.started_at not in known and now_ms - (one.started_at or 0) < _NOT_KNOWN_MS
    }
    return {at for at in orderly | young if at is not None}


def crashes_began(found: list[Minute], first_start: int, rules: Rollback, version: int | None, now_ms: int) -> str:
    """Why crashes of an instance did not begin with the version, empty where they did."""
    start = starts(found, version)
    early = _too_early_or_late(first_start, start, rules)
    if early or start is None:
        return early
    window_at = start - rules.crash_minutes * MINUTE_MS
    before = [one for one in before_start(found, start) if one.ends_at > window_at]
    if not before:
        return "nothing was seen of it before the version's start"
    if not all(one.reachable and one.started_at is not None for one in before):
        return "it was not always reachable before the version's start"
    restarts = {one.started_at for one in before if one.started_at is not None and one.started_at > window_at}
    restarts -= no_crashes(found, now_ms)
    return "it was restarted before the version's start too" if len(restarts) > 1 else ""


def bots_began(found: _Found, since: int, rules: Rollback, version: int | None) -> str:
    """Why what bots say did not begin with the version, empty where it did on some instance."""
    reasons = []
    for all_of_it in found.values():
        if not any(one.version == version for one in all_of_it):
            continue
        start = starts(all_of_it, version)
        reason = _too_early_or_late(since, start, rules)
        if not reason and start is not None:
            from_ms = start - rules.bot_minutes * MINUTE_MS
            before = [one for one in before_start(all_of_it, start) if one.ends_at > from_ms]
            measured = bool(before) and all(one.reachable for one in before)
            reason = "" if measured else "it was not seen to be reachable before the version's start"
        if not reason:
            return ""
        reasons.append(reason)
    return reasons[0] if reasons else "no instance has answered with this version within a day"


def _first_of_run(measured: Sequence[Minute], bad: Callable[[Minute], bool]) -> int | None:
    """Start of the first of the bad minutes without a good one between, that lead to the newest."""
    first: int | None = None
    for one in reversed(measured):
        if not bad(one):
            break
        first = one.starts_at
    return first


def _too_early_or_late(first_bad: int | None, start: int | None, rules: Rollback) -> str:
    if start is None:
        return "the version's start was not seen"
    if first_bad is None or first_bad < start:
        return "it began before the version's start"
    after_min = (first_bad - start) / MINUTE_MS
    if after_min > rules.attribution_minutes:
        return f"it began {after_min:.0f} minutes after the version's start"
    return ""


def before_start(found: Sequence[Minute], start: int) -> list[Minute]:
    """Minutes that ended by the version's start, oldest first."""
    return [one for one in found if one.ends_at <= start]


def _share(minutes: Sequence[Minute]) -> float:
    requests = sum(one.requests for one in minutes)
    return sum(one.errors for one in minutes) / requests if requests else 0.0
