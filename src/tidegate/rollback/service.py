"""Rules on what the service does: latency, errors, crashes, and what bots say. They look at one version at a time, and at most a day back.

Latency and crashes are judged for each instance: quantiles cannot be added up, and one slow or dying replica hurts all bots that are bound to it.
Errors are pooled over all instances, since it is the share of all predictions that counts. Minutes without a prediction say nothing about
latency and errors and are passed over. Where predictions are few, the rules look further back until there are `min_requests`. Where nothing was reachable
lately, older minutes say nothing of now: that is not enough evidence, never quiet.

A rule whose action is `roll_back` asks for it only where the fault began with the version, see `began`; else it alerts and says why.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from tidegate.rollback.began import (
    MINUTE_MS,
    asked_enough,
    before_start,
    bots_began,
    by_instance,
    crashes_began,
    due_minutes,
    errors_began,
    latency_began,
    newest_start,
    no_crashes,
    own_minutes,
    starts,
)
from tidegate.rollback.finding import Action, BotWord, Finding, Minute, Verdict
from tidegate.strategy.strategy import Rollback

_WORD_AGE_MS: Final = 300_000
_Unit = Literal["ms", "fraction", "starts", "bots"]


@dataclass(frozen=True, slots=True)
class _Judged:
    """One instance's verdict; `not_begun` says why the fault did not begin with the version, empty where it did."""

    instance: str
    verdict: Verdict
    observed: float | None
    n: int
    since: int | None
    reason: str
    not_begun: str = ""


def latency(minutes: Sequence[Minute], now_ms: int, rules: Rollback, *, version: int | None) -> Finding:
    """The 95th percentile of predictions was above `latency_p95_ms` in each measured minute of the last `latency_minutes`, on one instance.

    A percentile at the bound is not above it.

    Args:
        minutes: of all instances, in any order.
        now_ms: UTC ms.
        rules: bounds and action.
        version: the version to judge; None where none is in production.
    """
    since_ms = now_ms - rules.latency_minutes * MINUTE_MS
    judged = [
        _latency_of(instance, found, version, rules, since_ms)
        for instance, found in _looked_at(by_instance(minutes, now_ms), since_ms).items()
        if version is not None and any(one.version == version for one in found)
    ]
    rate = f"no test of chance: a sound service fires it when every minute of {rules.latency_minutes} has a p95 above {rules.latency_p95_ms:g} ms"
    return _worst("latency", rules.latency_action, judged, rules.latency_p95_ms, "ms", rate)


def errors(minutes: Sequence[Minute], now_ms: int, rules: Rollback, *, version: int | None) -> Finding:
    """The service failed more than `error_rate` of all predictions of the last `error_minutes`. A share at the bound is not more.

    What an instance without any version fails counts as well: it should serve this one.

    Args:
        minutes: of all instances, in any order.
        now_ms: UTC ms.
        rules: bounds and action.
        version: the version to judge; None where none is in production.
    """
    action, rate = rules.error_action, f"no test of chance: a sound service fails less than {rules.error_rate:.0%}"
    found = by_instance(minutes, now_ms)
    own = [] if version is None else [one for each in found.values() for one in due_minutes(each, version)]
    from_ms = now_ms - rules.error_minutes * MINUTE_MS
    if not any(one.reachable and one.ends_at > from_ms for one in own):
        told = f"no instance has answered with this version within {rules.error_minutes} minutes"
        return _lacking("errors", action, told, "fraction", 0, rate)
    stretch = asked_enough(own, from_ms, rules.min_requests)
    requests, failed = sum(one.requests for one in stretch), sum(one.errors for one in stretch)
    if any(not 0 <= one.errors <= one.requests for one in stretch):
        return _lacking("errors", action, "errors and predictions do not add up", "fraction", requests, rate)
    if requests < rules.min_requests:
        told = f"{requests} predictions within a day, {rules.min_requests} are needed"
        return _lacking("errors", action, told, "fraction", requests, rate)
    share = failed / requests
    if not share > rules.error_rate:
        told = f"{failed} of {requests} predictions failed"
        return Finding("errors", action, "quiet", share, rules.error_rate, "fraction", requests, None, told, rate)
    since, not_begun = errors_began(found, stretch, rules, version)
    asked, (action, told) = action, _attributed(action, f"{failed} of {requests} predictions failed", not_begun)
    evidence = {
        "failed": failed,
        "requests": requests,
        "instances": sorted({one.instance for one in stretch if one.errors}),
    }
    return Finding(
        "errors", action, "fired", share, rules.error_rate, "fraction", requests, since, told, rate, evidence, asked
    )


def crashes(minutes: Sequence[Minute], now_ms: int, rules: Rollback, *, version: int | None) -> Finding:
    """One instance was started `crashes` times or more within `crash_minutes` while the version was in production there.

    A start after a process that had signed off is no crash. One whose process does not know that yet counts half a minute after it.

    Args:
        minutes: of all instances, in any order.
        now_ms: UTC ms.
        rules: bounds and action.
        version: the version to judge; None where none is in production.
    """
    judged = [
        _crashes_of(instance, found, version, now_ms, rules)
        for instance, found in _looked_at(
            by_instance(minutes, now_ms), now_ms - rules.crash_minutes * MINUTE_MS
        ).items()
        if version is not None and any(one.version == version for one in found)
    ]
    rate = (
        f"no test of chance: a sound process is not started {rules.crashes} times within {rules.crash_minutes} minutes"
    )
    return _worst("crashes", rules.crash_action, judged, float(rules.crashes), "starts", rate)


def bots(
    words: Sequence[BotWord], now_ms: int, rules: Rollback, *, version: int | None, minutes: Sequence[Minute] = ()
) -> Finding:
    """A bot has called the service unreachable for `bot_minutes`, from its first word of it to its last one.

    A word older than five minutes, or than twice `bot_minutes`, says nothing any more. One that was said before the version's newest start is about the
    version before, and what a bot went on saying since counts from that start.

    Args:
        words: the last word of each bot of the strategy.
        now_ms: UTC ms.
        rules: bound and action.
        version: the version to judge; None where none is in production.
        minutes: of all instances, to tell whether it began with the version.
    """
    action, rate = (
        rules.bot_action,
        f"no test of chance: a bot in good order reaches the service within {rules.bot_minutes} minutes",
    )
    fresh = [word for word in words if now_ms - word.said_at <= max(_WORD_AGE_MS, 2 * rules.bot_minutes * MINUTE_MS)]
    if version is None or not fresh:
        told = "nothing is in production" if version is None else f"none of {len(words)} bots has said anything lately"
        return _lacking("bots", action, told, "bots", len(fresh), rate)
    found = by_instance(minutes, now_ms)
    if not any(one.version == version for each in found.values() for one in each):
        return _lacking("bots", action, "no instance has answered with this version within a day", "bots", 0, rate)
    start = newest_start(found, version)
    fresh = [word for word in fresh if start is None or word.said_at > start]
    if not fresh:
        told = "no bot has said anything since the version's start"
        return _lacking("bots", action, told, "bots", 0, rate)
    away = [word for word in fresh if word.unreachable and _away_ms(word, start) >= rules.bot_minutes * MINUTE_MS]
    if not away:
        told = f"none of {len(fresh)} bots has called the service unreachable for {rules.bot_minutes} minutes"
        return Finding("bots", action, "quiet", 0.0, 1.0, "bots", len(fresh), None, told, rate)
    since = min(word.since for word in away)
    not_begun = bots_began(found, since, rules, version)
    names = sorted(word.bot for word in away)
    asked, (action, told) = action, _attributed(action, f"unreachable for {', '.join(names)}", not_begun)
    return Finding(
        "bots", action, "fired", float(len(away)), 1.0, "bots", len(fresh), since, told, rate, {"bots": names}, asked
    )


def _away_ms(word: BotWord, start: int | None) -> int:
    return word.said_at - (word.since if start is None else max(word.since, start))


def _looked_at(found: dict[str, list[Minute]], since_ms: int) -> dict[str, list[Minute]]:
    """Instances that are still looked at: one that signed off says nothing of now."""
    return {instance: each for instance, each in found.items() if each[-1].ends_at > since_ms}


def _latency_of(instance: str, found: list[Minute], version: int | None, rules: Rollback, since_ms: int) -> _Judged:
    if not any(one.reachable and one.ends_at > since_ms for one in found):
        told = f"it has not answered within {rules.latency_minutes} minutes"
        return _Judged(instance, "not_enough_evidence", None, 0, None, told)
    own = [one for one in reversed(own_minutes(found, version)) if one.requests > 0]
    stretch, spans_ms, requests = [], 0, 0
    for one in own:
        if one.latency_p95_ms is None or not math.isfinite(one.latency_p95_ms):
            return _Judged(instance, "not_enough_evidence", None, requests, None, "a minute's p95 is not known")
        stretch.append(one.latency_p95_ms)
        spans_ms, requests = spans_ms + one.ends_at - one.starts_at, requests + one.requests
        if spans_ms >= rules.latency_minutes * MINUTE_MS and requests >= rules.min_requests:
            break
    else:
        told = f"{requests} predictions in {len(stretch)} minutes, {rules.min_requests} in {rules.latency_minutes} are needed"
        return _Judged(instance, "not_enough_evidence", None, requests, None, told)
    least, told = min(stretch), f"p95 {min(stretch):.1f} to {max(stretch):.1f} ms in {len(stretch)} minutes"
    if not least > rules.latency_p95_ms:
        return _Judged(instance, "quiet", least, requests, None, told)
    since, not_begun = latency_began(found, version, rules)
    return _Judged(instance, "fired", least, requests, since, told, not_begun)


def _crashes_of(instance: str, found: list[Minute], version: int | None, now_ms: int, rules: Rollback) -> _Judged:
    window_at = now_ms - rules.crash_minutes * MINUTE_MS
    own = [one for one in found if one.version in {version, None} and one.ends_at > window_at]
    # Starts are compared with other starts only: they come from the instance, whose clock may differ from the watch's, and are exact to
    # a second at best. The process that was there when the version began is no restart.
    start = starts(found, version)
    earlier = [] if start is None else [one.started_at for one in before_start(found, start)]
    before = max((at for at in earlier if at is not None), default=None)
    seen = {one.started_at for one in own if one.started_at is not None} - no_crashes(found, now_ms)
    counted = sorted(at for at in seen if at > window_at and (before is None or at > before))
    if len(counted) >= rules.crashes:
        told = f"{len(counted)} starts within {rules.crash_minutes} minutes"
        seen_at = min(one.starts_at for one in own if one.started_at == counted[0])
        not_begun = crashes_began(found, seen_at, rules, version, now_ms)
        return _Judged(instance, "fired", float(len(counted)), len(counted), seen_at, told, not_begun)
    if not any(one.reachable and one.started_at is not None for one in own):
        told = f"it has not told its start within {rules.crash_minutes} minutes"
        return _Judged(instance, "not_enough_evidence", None, len(counted), None, told)
    told = f"{len(counted)} starts within {rules.crash_minutes} minutes"
    return _Judged(instance, "quiet", float(len(counted)), len(counted), None, told)


def _worst(rule: str, action: Action, judged: Iterable[_Judged], threshold: float, unit: _Unit, rate: str) -> Finding:
    """One finding of all instances: fired where one fired, begun with the version first; quiet only where all are."""
    found = list(judged)
    fired = sorted(
        (one for one in found if one.verdict == "fired"), key=lambda one: (one.not_begun != "", -(one.observed or 0.0))
    )
    lacking = [one for one in found if one.verdict == "not_enough_evidence"]
    if fired:
        worst = fired[0]
        asked, (action, told) = action, _attributed(action, f"{worst.instance}: {worst.reason}", worst.not_begun)
        evidence = {"instances": {one.instance: one.observed for one in fired}}
        return Finding(
            rule, action, "fired", worst.observed, threshold, unit, worst.n, worst.since, told, rate, evidence, asked
        )
    if lacking or not found:
        told = (
            "; ".join(f"{one.instance}: {one.reason}" for one in lacking)
            or "no instance has answered with this version within a day"
        )
        return _lacking(rule, action, told, unit, sum(one.n for one in lacking), rate)
    worst = max(found, key=lambda one: one.observed or 0.0)
    told = f"{worst.instance}: {worst.reason}"
    return Finding(rule, action, "quiet", worst.observed, threshold, unit, worst.n, None, told, rate)


def _attributed(action: Action, reason: str, not_begun: str) -> tuple[Action, str]:
    if action != "roll_back":
        return action, reason
    if not_begun:
        return "alert", f"{reason}; it did not begin with the version: {not_begun}"
    return action, f"{reason}; it began with the version"


def _lacking(rule: str, action: Action, reason: str, unit: _Unit, n: int, rate: str) -> Finding:
    return Finding(rule, action, "not_enough_evidence", None, None, unit, n, None, reason, rate)
