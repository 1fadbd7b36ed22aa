"""Latency, errors, crashes and bots, one row a case.

A timeline is a line of minutes of one instance, oldest first, the last one ends now. `v1` or `v2` before a colon is the version; after it stand
requests/p95 for latency, requests/errors for errors, and the minute of the process's start for crashes, with `o` where the process before had signed off and `?`
where that is not known yet. `x` is a minute in which it did not answer. v2 started with
its first minute, and the watch saw that unless the version is written `?2`; `v0` is none.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from tidegate.rollback.finding import BotWord, Finding, Minute
from tidegate.rollback.rules import bots, crashes, errors, latency
from tidegate.strategy.strategy import Rollback

MINUTE = 60_000
NOW = 10_000 * MINUTE
RULES = Rollback(latency_minutes=3, error_minutes=3, min_requests=30, crashes=3, crash_minutes=10, bot_minutes=2)


def timeline(text: str, instance: str = "one", ends_at: int = NOW) -> list[Minute]:
    words = text.split()
    minutes = []
    since: dict[int, int] = {}
    for at, word in enumerate(words):
        name, _, told = word.partition(":")
        starts_at = ends_at - (len(words) - at) * MINUTE
        version = int(name[1:])
        if name[0] == "v" and version == 2:
            since.setdefault(version, starts_at)
        minutes.append(minute(instance, starts_at, version, since.get(version), told))
    return minutes


def minute(instance: str, starts_at: int, version: int, since: int | None, told: str) -> Minute:
    made = Minute(instance, starts_at, starts_at + MINUTE, True, version or None, since, 0, 0, 0, None)
    if told == "x":
        return replace(made, reachable=False)
    if told.startswith("s"):
        orderly = {"o": True, "?": None}.get(told[-1], False)
        return replace(made, started_at=NOW - round(float(told[1:].rstrip("o?")) * MINUTE), orderly=orderly)
    requests, _, figure = told.partition("/")
    if figure.endswith("e"):
        return replace(made, requests=int(requests), errors=int(figure[:-1]))
    return replace(made, requests=int(requests), latency_p95_ms=None if figure == "-" else float(figure))


LATENCY = [
    # what it shows, timeline, verdict, action, in the reason
    ("slow from the start", "v1:20/5 v1:20/5 v1:20/5 v2:20/25 v2:20/25 v2:20/25", "fired", "roll_back", "began with the version"),
    ("at the bound", "v1:20/5 v1:20/5 v1:20/5 v2:20/20 v2:20/20 v2:20/20", "quiet", "roll_back", "p95 20.0"),
    ("just above it", "v1:20/5 v1:20/5 v1:20/5 v2:20/20.01 v2:20/20.01 v2:20/20.01", "fired", "roll_back", "began"),
    ("one minute of three is good", "v1:20/5 v1:20/5 v1:20/5 v2:20/25 v2:20/19 v2:20/25", "quiet", "roll_back", ""),
    ("two minutes are not three", "v1:20/5 v1:20/5 v2:20/25 v2:20/25", "not_enough_evidence", "roll_back", "are needed"),
    ("few requests, more minutes", "v1:20/5 v1:20/5 v1:20/5 v2:6/25 v2:6/25 v2:6/25 v2:6/25 v2:6/25", "fired", "roll_back", "began"),
    ("few requests, too few minutes", "v1:20/5 v1:20/5 v1:20/5 v2:6/25 v2:6/25 v2:6/25 v2:6/25", "not_enough_evidence", "roll_back", "24 predictions"),
    ("few requests, an early minute is good", "v1:20/5 v1:20/5 v1:20/5 v2:6/15 v2:6/25 v2:6/25 v2:6/25 v2:6/25", "quiet", "roll_back", ""),
    ("minutes without requests are passed over", "v1:20/5 v1:20/5 v1:20/5 v2:20/25 v2:0/- v2:20/25 v2:x v2:20/25", "fired", "roll_back", "began"),
    ("it does not answer any more", "v1:20/5 v1:20/5 v1:20/5 v2:20/5 v2:20/5 v2:20/5 v2:x v2:x v2:x", "not_enough_evidence", "roll_back", "not answered"),
    ("nothing was asked", "v1:20/5 v2:0/- v2:0/- v2:0/-", "not_enough_evidence", "roll_back", "0 predictions"),
    ("p95 is missing", "v1:20/5 v2:20/25 v2:20/- v2:20/25", "not_enough_evidence", "roll_back", "not known"),
    ("p95 is NaN", "v1:20/5 v2:20/25 v2:20/nan v2:20/25", "not_enough_evidence", "roll_back", "not known"),
    ("another version was slow", "v2:20/5 v2:20/5 v1:20/25 v1:20/25 v1:20/25", "not_enough_evidence", "roll_back", ""),
    ("slow before as well", "v1:20/5 v1:20/25 v1:20/5 v2:20/25 v2:20/25 v2:20/25", "fired", "alert", "as slow before"),
    ("good before, too short to tell", "v1:20/5 v2:20/25 v2:20/25 v2:20/25", "fired", "alert", "too little was measured"),
    ("nothing before", "v2:20/25 v2:20/25 v2:20/25", "fired", "alert", "too little was measured"),
    ("unknown before", "v1:20/5 v1:20/5 v1:20/nan v2:20/25 v2:20/25 v2:20/25", "fired", "alert", "is not known"),
    ("the start was not seen", "v1:20/5 v1:20/5 v1:20/5 ?2:20/25 ?2:20/25 ?2:20/25", "fired", "alert", "start was not seen"),
    ("within the time of attribution", "v1:20/5 v1:20/5 v1:20/5 " + "v2:20/5 " * 30 + "v2:20/25 v2:20/25 v2:20/25", "fired", "roll_back", "began"),
    ("a minute too late", "v1:20/5 v1:20/5 v1:20/5 " + "v2:20/5 " * 31 + "v2:20/25 v2:20/25 v2:20/25", "fired", "alert", "31 minutes after"),
    ("an early blip is not where it began", "v1:20/5 v1:20/5 v1:20/5 v2:20/25 " + "v2:20/5 " * 40 + "v2:20/25 v2:20/25 v2:20/25", "fired", "alert", "41 minutes after"),
]  # fmt: skip

ERRORS = [
    ("from the start", "v1:20/0e v1:20/0e v2:20/10e v2:20/10e v2:20/10e", "fired", "roll_back", "30 of 60"),
    ("at the bound", "v1:20/0e v1:20/0e v2:20/1e v2:20/1e v2:20/1e", "quiet", "roll_back", "3 of 60"),
    ("just above it", "v1:20/0e v1:20/0e v2:20/1e v2:20/1e v2:20/2e", "fired", "roll_back", "4 of 60"),
    ("few requests, further back", "v1:40/0e v2:5/1e v2:5/1e v2:5/1e v2:5/1e v2:5/1e v2:5/1e", "fired", "roll_back", "6 of 30"),
    ("too few", "v1:40/0e v2:5/1e v2:5/1e v2:5/1e v2:5/1e v2:5/1e", "not_enough_evidence", "roll_back", "25 predictions"),
    ("nothing was asked", "v1:40/0e v2:0/0e v2:0/0e", "not_enough_evidence", "roll_back", "0 predictions"),
    ("more errors than predictions", "v1:40/0e v2:20/0e v2:20/21e v2:20/0e", "not_enough_evidence", "roll_back", "add up"),
    ("an older stretch does not count", "v1:40/0e v2:20/20e v2:20/0e v2:20/0e v2:20/0e", "quiet", "roll_back", "0 of 60"),
    ("as much failed before", "v1:20/1e v1:20/3e v2:20/10e v2:20/10e v2:20/10e", "fired", "alert", "as much failed before"),
    ("at the bound before", "v1:20/1e v1:20/1e v2:20/10e v2:20/10e v2:20/10e", "fired", "roll_back", "began"),
    ("too little before", "v1:20/0e v2:20/10e v2:20/10e v2:20/10e", "fired", "alert", "too little was measured"),
    ("the start was not seen", "v1:40/0e ?2:20/10e ?2:20/10e ?2:20/10e", "fired", "alert", "start was not seen"),
    ("a minute too late", "v1:40/0e " + "v2:20/0e " * 31 + "v2:20/10e v2:20/10e v2:20/10e", "fired", "alert", "31 minutes after"),
    ("nothing answers any more", "v1:40/0e v2:20/0e v2:20/0e v2:x v2:x v2:x", "not_enough_evidence", "roll_back", "within 3 minutes"),
    ("and did not answer well before", "v1:40/0e v2:20/20e v2:20/20e v2:x v2:x v2:x", "not_enough_evidence", "roll_back", "within 3 minutes"),
    ("nobody asks and it answers", "v1:40/0e v2:40/0e v2:0/0e v2:0/0e v2:0/0e v2:0/0e", "quiet", "roll_back", "0 of 40"),
    ("restarted, it cannot load the version", "v1:40/0e v2:20/0e v0:20/20e v0:20/20e v0:20/20e", "fired", "roll_back", "60 of 60"),
    ("without a version before", "v0:40/40e v2:20/0e v2:20/0e v2:20/0e", "quiet", "roll_back", "0 of 60"),
    ("it never had the version", "v0:20/20e v0:20/20e v0:20/20e", "fired", "alert", "start was not seen"),
    ("without one for the version before", "v1:40/0e v0:40/40e v1:40/0e v2:20/0e v2:20/0e v2:20/0e", "quiet", "roll_back", "0 of 60"),
    ("just in time", "v1:40/0e " + "v2:20/0e " * 30 + "v2:20/10e v2:20/10e v2:20/10e", "fired", "roll_back", "began"),
]  # fmt: skip

CRASHES = [
    ("three starts", "v1:s99 v1:s99 v2:s3 v2:s2 v2:s1", "fired", "roll_back", "3 starts"),
    ("orderly restarts", "v1:s99 v1:s99 v2:s3o v2:s2o v2:s1o", "quiet", "roll_back", "0 starts"),
    ("one of three is orderly", "v1:s99 v1:s99 v2:s3 v2:s2o v2:s1", "quiet", "roll_back", "2 starts"),
    ("one more is", "v1:s99 v1:s99 v2:s4 v2:s3 v2:s2o v2:s1", "fired", "roll_back", "3 starts"),
    ("orderly ones before are deployments", "v1:s6o v1:s5o v1:s4o v2:s3 v2:s2 v2:s1", "fired", "roll_back", "began"),
    ("a young one that does not know yet", "v1:s99 v1:s99 v2:s3 v2:s2 v2:s0.4?", "quiet", "roll_back", "2 starts"),
    ("one that has not learned it", "v1:s99 v1:s99 v2:s3 v2:s2 v2:s0.5?", "fired", "roll_back", "3 starts"),
    ("two starts", "v1:s99 v1:s99 v2:s2 v2:s2 v2:s1", "quiet", "roll_back", "2 starts"),
    ("one process all the time", "v1:s99 v1:s99 v2:s99 v2:s99", "quiet", "roll_back", "0 starts"),
    ("with minutes out of reach between", "v1:s99 v2:s5 v2:x v2:s3 v2:x v2:s1", "fired", "roll_back", "3 starts"),
    ("older than the window", "v1:s99 v2:s20 v2:s19 v2:s18 " + "v2:s18 " * 17, "quiet", "roll_back", "0 starts"),
    ("it never answers", "v1:s99 " + "v2:x " * 11, "not_enough_evidence", "roll_back", "not told its start"),
    ("the instance's clock is behind the watch's", "v1:s99 v1:s99 v2:s7 v2:s6 v2:s5", "fired", "roll_back", "3 starts"),
    ("the process that brought the version", "v1:s8 v1:s8 v2:s8 v2:s3 v2:s2", "quiet", "roll_back", "2 starts"),
    ("it crashed before as well", "v1:s6 v1:s5 v1:s4 v2:s3 v2:s2 v2:s1", "fired", "alert", "restarted before"),
    ("one restart before is a deployment", "v1:s5 v1:s5 v2:s3 v2:s2 v2:s1", "fired", "roll_back", "began"),
    ("out of reach before", "v1:s99 v1:x v2:s3 v2:s2 v2:s1", "fired", "alert", "not always reachable"),
    ("nothing before", "v2:s3 v2:s2 v2:s1", "fired", "alert", "nothing was seen"),
    ("the start was not seen", "v1:s99 ?2:s3 ?2:s2 ?2:s1", "fired", "alert", "start was not seen"),
]  # fmt: skip


def require(found: Finding, rule: str, verdict: str, action: str, told: str) -> None:
    assert (found.rule, found.verdict, found.action) == (rule, verdict, action), found.reason
    assert told in found.reason
    assert found.error_rate
    assert (found.observed is None) == (verdict == "not_enough_evidence")
    assert (found.since is not None) == (verdict == "fired")


@pytest.mark.parametrize(("text", "verdict", "action", "told"), [row[1:] for row in LATENCY], ids=[row[0] for row in LATENCY])  # fmt: skip
def test_latency(text: str, verdict: str, action: str, told: str) -> None:
    require(latency(timeline(text), NOW, RULES, version=2), "latency", verdict, action, told)


@pytest.mark.parametrize(("text", "verdict", "action", "told"), [row[1:] for row in ERRORS], ids=[row[0] for row in ERRORS])  # fmt: skip
def test_errors(text: str, verdict: str, action: str, told: str) -> None:
    require(errors(timeline(text), NOW, RULES, version=2), "errors", verdict, action, told)


@pytest.mark.parametrize(("text", "verdict", "action", "told"), [row[1:] for row in CRASHES], ids=[row[0] for row in CRASHES])  # fmt: skip
def test_crashes(text: str, verdict: str, action: str, told: str) -> None:
    require(crashes(timeline(text), NOW, RULES, version=2), "crashes", verdict, action, told)


GOOD = "v1:s99 v1:s99 v1:s99 v1:s99 v1:s99"
BOTS = [
    # what it shows, minutes ago: (unreachable, since, said), minutes, verdict, action, in the reason
    ("for two minutes", [(True, 2, 0)], "v1:s99 v1:s99 v2:s99 v2:s99 v2:s99", "fired", "roll_back", "bot-0"),
    ("not that long yet", [(True, 1.9, 0)], "v1:s99 v1:s99 v2:s99 v2:s99 v2:s99", "quiet", "roll_back", ""),
    ("one of two", [(False, 9, 0), (True, 2.5, 0)], "v1:s99 v1:s99 v2:s99 v2:s99 v2:s99", "fired", "roll_back", "bot-1"),
    ("reachable", [(False, 9, 0)], "v1:s99 v2:s99", "quiet", "roll_back", ""),
    ("no bot", [], "v1:s99 v2:s99", "not_enough_evidence", "roll_back", ""),
    ("said long ago", [(True, 9, 5.1)], "v1:s99 v2:s99", "not_enough_evidence", "roll_back", "lately"),
    ("since before the version", [(True, 4, 0)], "v1:s99 v1:s99 v2:s99 v2:s99 v2:s99", "fired", "alert", "before the version's start"),
    ("long after the version", [(True, 2, 0)], "v1:s99 v1:s99 " + "v2:s99 " * 33, "fired", "alert", "31 minutes after"),
    ("just in time", [(True, 2, 0)], "v1:s99 v1:s99 " + "v2:s99 " * 32, "fired", "roll_back", "began"),
    ("out of reach before", [(True, 2, 0)], "v1:s99 v1:x v2:s99 v2:s99 v2:s99", "fired", "alert", "not seen to be reachable"),
    ("the start was not seen", [(True, 2, 0)], "v1:s99 v1:s99 ?2:s99 ?2:s99 ?2:s99", "fired", "alert", "not seen"),
    ("no instance", [(True, 2, 0)], "", "not_enough_evidence", "roll_back", "no instance"),
    ("no instance has the version yet", [(True, 9, 0)], "v1:s99 v1:s99 v1:s99", "not_enough_evidence", "roll_back", "no instance"),
    ("said before the version", [(True, 9, 3.1)], "v1:s99 v1:s99 v2:s99 v2:s99 v2:s99", "not_enough_evidence", "roll_back", "since the version's start"),
    ("since before the version, not long after", [(True, 9, 1.1)], "v1:s99 v1:s99 v2:s99 v2:s99 v2:s99", "quiet", "roll_back", ""),
    ("one word before, one after", [(True, 9, 4), (False, 9, 0)], "v1:s99 v1:s99 v2:s99 v2:s99 v2:s99", "quiet", "roll_back", "none of 1"),
]  # fmt: skip


@pytest.mark.parametrize(("said", "text", "verdict", "action", "told"), [row[1:] for row in BOTS], ids=[row[0] for row in BOTS])  # fmt: skip
def test_bots(said: list[tuple[bool, float, float]], text: str, verdict: str, action: str, told: str) -> None:
    words = [
        BotWord(f"bot-{at}", "key", away, NOW - int(ago * MINUTE), NOW - int(since * MINUTE))
        for at, (away, since, ago) in enumerate(said)
    ]
    require(bots(words, NOW, RULES, version=2, minutes=timeline(text)), "bots", verdict, action, told)


def test_latency_is_judged_for_each_instance_and_one_that_says_nothing_is_not_quiet() -> None:
    slow, fast = timeline("v1:20/5 v1:20/5 v1:20/5 v2:20/25 v2:20/25 v2:20/25"), timeline("v2:99/5 " * 6, "two")
    assert latency([*fast, *slow], NOW, RULES, version=2).evidence == {"instances": {"one": 25.0}}
    idle = timeline("v2:0/- v2:0/- v2:0/-", "two")
    assert latency([*timeline("v2:20/5 " * 3), *idle], NOW, RULES, version=2).verdict == "not_enough_evidence"


def test_errors_are_pooled_over_instances() -> None:
    bad, good = (
        timeline("v1:40/0e v2:20/5e v2:20/5e v2:20/5e"),
        timeline("v1:200/0e v2:400/0e v2:400/0e v2:400/0e", "two"),
    )
    assert errors(bad, NOW, RULES, version=2).verdict == "fired"
    assert errors([*bad, *good], NOW, RULES, version=2).verdict == "quiet"


def test_an_earlier_time_in_production_does_not_count() -> None:
    before, now = timeline("v1:20/25 v1:20/25 v1:20/25 v2:20/5", ends_at=NOW - MINUTE), timeline("v1:20/25")
    again = [replace(one, version_since=one.starts_at) for one in now]
    assert latency([*before, *again], NOW, RULES, version=1).verdict == "not_enough_evidence"


def test_an_instance_that_is_looked_at_no_more_says_nothing_of_now() -> None:
    gone, here = timeline("v2:20/25 " * 6, "gone", ends_at=NOW - 20 * MINUTE), timeline("v2:20/5 " * 3)
    assert latency([*gone, *here], NOW, RULES, version=2).verdict == "quiet"
    assert latency(gone, NOW, RULES, version=2).verdict == "not_enough_evidence"
    starts = timeline("v2:s99 v2:s99"), timeline("v2:s99 v2:s99", "gone", ends_at=NOW - 20 * MINUTE)
    assert crashes([*starts[0], *starts[1]], NOW, RULES, version=2).verdict == "quiet"
    assert crashes(starts[1], NOW, RULES, version=2).verdict == "not_enough_evidence"


RULE_CALLS: list[Callable[[Sequence[Minute], int | None, Rollback], Finding]] = [
    lambda found, version, rules: latency(found, NOW, rules, version=version),
    lambda found, version, rules: errors(found, NOW, rules, version=version),
    lambda found, version, rules: crashes(found, NOW, rules, version=version),
    lambda _found, version, rules: bots([], NOW, rules, version=version),
]


@pytest.mark.parametrize("call", RULE_CALLS, ids=["latency", "errors", "crashes", "bots"])
@pytest.mark.parametrize(("minutes", "version"), [([], 2), (timeline("v2:99/1 " * 9), None), (timeline("v2:99/1", ends_at=NOW - 90_000_000), 2)], ids=["no minutes", "no version", "too old"])  # fmt: skip
def test_nothing_to_judge_is_not_enough(
    call: Callable[[Sequence[Minute], int | None, Rollback], Finding], minutes: list[Minute], version: int | None
) -> None:
    assert call(minutes, version, RULES).verdict == "not_enough_evidence"


@pytest.mark.parametrize("action", ["observe", "alert"])
def test_an_action_that_does_not_act_stays_what_it_is(action: str) -> None:
    rules = RULES.model_copy(update={"latency_action": action})
    found = latency(timeline("v1:20/5 v1:20/5 v1:20/5 v2:20/25 v2:20/25 v2:20/25"), NOW, rules, version=2)
    assert (found.verdict, found.action) == ("fired", action)
    assert not math.isnan(found.observed or math.nan)
