"""Looks over some time: whether bots name the new version, and whether a rollback rule fires."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from tidegate.bars.bars import iso
from tidegate.deployment.ports import Seen
from tidegate.registry.rules import named
from tidegate.rollback.finding import Finding
from tidegate.watch.judging import judge
from tidegate.watch.lookout import Lookout
from tidegate.watch.minutes import Minutes
from tidegate.watch.scrape import BotSeen, Look, Target
from tidegate.watch.strategies import Watched

_MINUTE_MS: Final = 60_000
_BACK_S: Final = 60.0
"""How long after a watch's end one that has fallen silent may take to answer again."""


@dataclass(frozen=True, slots=True)
class Looks:
    """What looks need.

    Attributes:
        lookout: looks at all processes at once.
        targets: the processes to look at, asked anew each time.
        now_ms: UTC ms.
        poll_s: between two looks.
        sleep: waits.
        steady: seconds of a clock that nobody sets: how long a look lasts must not depend on the time of day being put right meanwhile.
    """

    lookout: Lookout
    targets: Callable[[], Sequence[Target]]
    now_ms: Callable[[], int]
    poll_s: float
    sleep: Callable[[float], object] = time.sleep
    steady: Callable[[], float] = time.monotonic

    def once(self) -> list[Look]:
        """Look once at every process."""
        return self.lookout.look(self.targets())

    def ends(self, at_ms: int) -> float:
        """A time of day, UTC ms, on the steady clock."""
        return self.steady() + (at_ms - self.now_ms()) / 1000


def bots_follow(looks: Looks, strategy: str, version: int, since_ms: int, limit_ms: int) -> Seen:
    """Wait until every known bot has named a version in a heartbeat since a time. A process that answers and does not say its bots may know one that has not.

    Args:
        looks: how to look.
        strategy: the model's name.
        version: that bots must name.
        since_ms: UTC ms; heartbeats before it say nothing.
        limit_ms: how long after that time they may take.
    """
    ends = min(looks.ends(since_ms + limit_ms), looks.steady() + limit_ms / 1000)
    while True:
        seen = looks.once()
        known = _bots(seen, strategy)
        unread = sorted(look.instance for look in seen if look.reachable and look.bots is None)
        behind = sorted(name for name, bot in known.items() if bot.received_at < since_ms or bot.version != version)
        details = {name: bot.version for name, bot in known.items()}
        if not unread and not known:
            answering = any(look.reachable for look in seen)
            told = (
                "no bot is known to the serving processes"
                if answering
                else "no serving process says which bots it knows"
            )
            return Seen("done", told, {"bots": details})
        if not unread and not behind:
            return Seen("done", f"all {len(known)} bots name {named(version)}", {"bots": details})
        if looks.steady() >= ends:
            told = f"bots that do not name {named(version)}: {', '.join(behind)}"
            if unread:
                told = f"/v1/bots could not be read at {', '.join(unread)}" + (f"; {told}" if behind else "")
            return Seen("not_seen", f"{told} within {limit_ms / _MINUTE_MS:g} minutes", {"bots": details})
        looks.sleep(looks.poll_s)


def watch_until(looks: Looks, watched: Watched, version: int, until_ms: int, current: Callable[[], int | None]) -> Seen:
    """Watch a version by the rules of the service until a time; a rule that asks for a rollback ends it at once.

    A fault counts wherever it began: a deployment that cannot be told from its surroundings is taken back. So does a process that answered during the watch and
    does not at its end: of one that has died no rule has enough evidence.

    Args:
        looks: how to look.
        watched: the model and its rules.
        version: that is watched.
        until_ms: UTC ms.
        current: the version in production now, None where it is halted; another one ends the watch.
    """
    minutes, seen, found = Minutes(), set[str](), list[Finding]()
    ends = looks.ends(until_ms)
    while True:
        last = looks.once()
        for look in last:
            minutes.take(look)
            seen |= {look.instance} if look.reachable else set()
        silent = sorted(look.instance for look in last if not look.reachable and look.instance in seen)
        now_ms = looks.now_ms()
        of = minutes.of(watched.model, now_ms)
        found = judge(watched, version, of, minutes.words(watched.model, now_ms), now_ms)
        fired = [one for one in found if one.verdict == "fired" and one.wants("roll_back", waived=True)]
        details = {"rules": {one.rule: one.verdict for one in found}, "instances": sorted(seen)}
        if fired:
            return Seen("fired", "; ".join(f"{one.rule}: {one.reason}" for one in fired), details)
        there = current()
        if there != version:
            return Seen(
                "left", f"production is {named(there)} by now" + (", or halted" if there is None else ""), details
            )
        left_s = ends - looks.steady()
        if left_s <= 0 and not silent:
            break
        if left_s <= -_BACK_S:
            return Seen("silent", f"answered, and does not any more: {', '.join(silent)}", details)
        looks.sleep(min(looks.poll_s, left_s) if left_s > 0 else looks.poll_s)
    if not seen:
        return Seen("not_watched", "no serving process was there to be watched", details)
    measured = ", ".join(one.rule for one in found if one.verdict == "quiet") or "none"
    return Seen("done", f"no rule fired until {iso(until_ms)}; with enough evidence: {measured}", details)


def _bots(looks: Sequence[Look], strategy: str) -> dict[str, BotSeen]:
    """The newest word of each bot, whichever process it reached."""
    found: dict[str, BotSeen] = {}
    for look in looks:
        for bot in look.bots or ():
            before = found.get(bot.bot)
            if bot.strategy == strategy and (before is None or before.received_at < bot.received_at):
                found[bot.bot] = bot
    return found
