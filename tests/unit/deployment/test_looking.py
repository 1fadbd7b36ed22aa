"""Whether bots are seen with the new version, and what a watch comes to, on looks that were made by hand and a clock that is."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tidegate.deployment.looking import Looks, bots_follow, watch_until
from tidegate.strategy.strategy import find_strategy
from tidegate.watch.lookout import Lookout
from tidegate.watch.scrape import BotSeen, Counts, Look, Target
from tidegate.watch.strategies import Watched

START = 1_780_000_000_000
MINUTE = 60_000
STRATEGIES = Path(__file__).parents[3] / "configs" / "strategies"
WATCHED = Watched("small", find_strategy("simulated-demo", STRATEGIES))


class Clock:
    """Time passes only where somebody waits."""

    def __init__(self, jumps_ms: int = 0) -> None:
        self.now = START
        self.jumps_ms = jumps_ms
        self.waited_s = 0.0

    def sleep(self, seconds: float) -> None:
        """Wait; where the time of day is set, that comes after the first wait."""
        self.waited_s += seconds
        self.now += round(seconds * 1000) + self.jumps_ms
        self.jumps_ms = 0

    def ms(self) -> int:
        return self.now

    def steady(self) -> float:
        return self.waited_s


def looks(clock: Clock, seen: Sequence[Look], poll_s: float = 10.0) -> Looks:
    """The first look, then the second, and so on; the last one again and again."""
    left = list(seen)

    def look(_target: Target) -> Look:
        found = left.pop(0) if len(left) > 1 else left[0]
        return Look(
            found.instance,
            clock.now,
            found.reachable,
            found.ready,
            found.started_at,
            found.versions,
            counts=found.counts,
            bots=found.bots,
        )

    targets = [Target("one", "http://127.0.0.1:1")] if seen else []
    return Looks(Lookout(look, 1.0, clock.ms), lambda: targets, clock.ms, poll_s, clock.sleep, clock.steady)


def with_bots(*bots: tuple[str, int | None, int]) -> Look:
    """Bots by name, version and seconds after the start at which they said so."""
    said = tuple(BotSeen(name, "small", "key", "closed", START + 1000 * at, version) for name, version, at in bots)
    return Look("one", START, reachable=True, ready=True, bots=said)


GONE = Look("one", START, reachable=False)
NOT_SAID = Look("one", START, reachable=True, ready=True, bots=None)


def counted(asked: float, failed: float, version: int = 2) -> Look:
    counts = Counts(asked, failed, ((0.005, asked), (float("inf"), asked)), asked / 1000)
    return Look("one", START, True, True, START - MINUTE, {"small": version}, counts=counts, bots=())


@pytest.mark.parametrize(
    ("seen", "outcome"),
    [
        ([with_bots()], "done"),
        ([with_bots(("a", 2, 1))], "done"),
        ([with_bots(("a", 1, 1)), with_bots(("a", 2, 5))], "done"),
        ([with_bots(("a", 1, 1))], "not_seen"),
        ([with_bots(("a", None, 1))], "not_seen"),
        ([with_bots(("a", 2, -1))], "not_seen"),
        ([with_bots(("a", 2, 1), ("b", 1, 1))], "not_seen"),
        ([NOT_SAID], "not_seen"),
        ([NOT_SAID, with_bots(("a", 2, 5))], "done"),
        ([Look("one", START, reachable=False)], "done"),
    ],
    ids=[
        "no bot", "it follows", "it follows later", "the old one", "none", "said before the switch", "one of two", "bots could not be read",
        "bots are read later", "a process that is gone",
    ],
)  # fmt: skip
def test_every_known_bot_must_name_the_version_after_the_switch(seen: list[Look], outcome: str) -> None:
    clock = Clock()
    found = bots_follow(looks(clock, seen), "small", 2, START, MINUTE)
    assert found.outcome == outcome
    assert clock.now - START <= MINUTE + 10_000


def test_where_no_process_answers_it_is_not_said_that_there_is_no_bot() -> None:
    assert "no serving process says" in bots_follow(looks(Clock(), [GONE]), "small", 2, START, MINUTE).evidence


def test_a_bots_newest_word_counts_whichever_process_has_it() -> None:
    found = bots_follow(looks(Clock(), [with_bots(("a", 1, 1), ("a", 2, 2))]), "small", 2, START, MINUTE)
    assert (found.outcome, found.details) == ("done", {"bots": {"a": 2}})


def test_a_quiet_watch_lasts_until_its_end() -> None:
    clock = Clock()
    seen = [counted(100.0 * number, 0) for number in range(1, 400)]
    found = watch_until(looks(clock, seen), WATCHED, 2, START + 30 * MINUTE, lambda: 2)
    assert (found.outcome, clock.now - START) == ("done", 30 * MINUTE)
    assert found.details["instances"] == ["one"]


@pytest.mark.parametrize("jumps_ms", [40 * 24 * 60 * MINUTE, -2 * 24 * 60 * MINUTE])
def test_a_clock_that_is_set_makes_looks_neither_shorter_nor_longer(jumps_ms: int) -> None:
    clock = Clock(jumps_ms)
    seen = [counted(100.0 * number, 0) for number in range(1, 400)]
    assert watch_until(looks(clock, seen), WATCHED, 2, START + 30 * MINUTE, lambda: 2).outcome == "done"
    assert clock.waited_s == 30 * 60
    clock = Clock(jumps_ms)
    assert bots_follow(looks(clock, [with_bots(("a", 1, 1))]), "small", 2, START, MINUTE).outcome == "not_seen"
    assert clock.waited_s == 60


def test_errors_end_it_at_once_and_name_their_rule() -> None:
    clock = Clock()
    seen = [counted(100.0 * number, 50.0 * number) for number in range(1, 400)]
    found = watch_until(looks(clock, seen), WATCHED, 2, START + 30 * MINUTE, lambda: 2)
    assert found.outcome == "fired"
    assert "errors" in found.evidence
    assert clock.now - START < 30 * MINUTE


def test_another_version_in_production_ends_it() -> None:
    found = watch_until(looks(Clock(), [counted(1, 0)]), WATCHED, 2, START + 30 * MINUTE, lambda: 1)
    assert (found.outcome, found.evidence) == ("left", "production is v1 by now")


@pytest.mark.parametrize("before", [1, 5, 170])
def test_one_that_answered_and_does_not_any_more_is_not_good(before: int) -> None:
    clock = Clock()
    seen = [counted(100.0 * number, 0) for number in range(1, before + 1)] + [GONE]
    found = watch_until(looks(clock, seen), WATCHED, 2, START + 30 * MINUTE, lambda: 2)
    assert (found.outcome, found.evidence) == ("silent", "answered, and does not any more: one")
    assert clock.now - START == 31 * MINUTE


def test_one_that_is_silent_for_a_moment_only_is_good() -> None:
    seen = [*[counted(100.0 * number, 0) for number in range(1, 181)], GONE, GONE, counted(18_100, 0)]
    assert watch_until(looks(Clock(), seen), WATCHED, 2, START + 30 * MINUTE, lambda: 2).outcome == "done"


def test_one_that_never_answered_is_not_missed() -> None:
    assert watch_until(looks(Clock(), [GONE]), WATCHED, 2, START + 30 * MINUTE, lambda: 2).outcome == "not_watched"


def test_where_production_is_halted_the_watch_ends() -> None:
    found = watch_until(looks(Clock(), [counted(1, 0)]), WATCHED, 2, START + 30 * MINUTE, lambda: None)
    assert (found.outcome, found.evidence) == ("left", "production is none by now, or halted")


def test_without_any_process_nothing_was_watched() -> None:
    found = watch_until(looks(Clock(), []), WATCHED, 2, START + 30 * MINUTE, lambda: 2)
    assert found.outcome == "not_watched"
