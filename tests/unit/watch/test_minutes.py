import dataclasses
from collections.abc import Iterable
from typing import Any

import pytest
from tests.unit.watch.looks import START, bot, counts, gone, look

from tidegate.rollback.finding import BotWord, Minute
from tidegate.watch.minutes import DAY_MS, Kept, Minutes, quantile
from tidegate.watch.scrape import Look

NOW = START + 3_600_000
Row = tuple[object, ...]


def rows(looks: Iterable[Look]) -> list[Row]:
    """Seconds of start and end, reachable, version, its start, the process's start, requests, errors; all in seconds after START."""
    minutes = Minutes()
    for one in looks:
        minutes.take(one)
    return [row(minute) for minute in minutes.of("s", NOW)]


def row(minute: Minute) -> Row:
    return (
        _s(minute.starts_at),
        _s(minute.ends_at),
        minute.reachable,
        minute.version,
        _s(minute.version_since),
        _s(minute.started_at),
        minute.requests,
        minute.errors,
    )


def _s(at: int | None) -> float | None:
    return None if at is None else (at - START) / 1000


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        pytest.param([look(5, 70)], [(5, 5, True, 1, None, 0, 0, 0)], id="the first look counts nothing"),
        pytest.param(
            [look(5, 70), look(10, 75), look(65, 80, failed=2), look(70, 90, failed=2)],
            [(5, 65, True, 1, None, 0, 10, 2), (65, 70, True, 1, None, 0, 10, 0)],
            id="a span ends with the first look after a minute",
        ),
        pytest.param(
            [look(0, 70), look(5, 75), look(10, 4, started_at=START + 7000)],
            [(0, 5, True, 1, None, 0, 5, 0), (5, 10, True, 1, None, 7, 4, 0)],
            id="a new process counts from zero",
        ),
        pytest.param(
            [look(0, 70), look(5, 75), look(10, 80, started_at=START + 7000)],
            [(0, 5, True, 1, None, 0, 5, 0), (5, 10, True, 1, None, 7, 80, 0)],
            id="also where it has overtaken the old one's counters",
        ),
        pytest.param(
            [look(0, 70, started_at=None), look(5, 4, started_at=None)],
            [(0, 0, True, 1, None, None, 0, 0), (0, 5, True, 1, None, 5, 4, 0)],
            id="fallen counters are a restart where nobody tells the start",
        ),
        pytest.param(
            [look(0, 70), look(5, 4), look(10, 6, started_at=START + 3000)],
            [(0, 0, True, 1, None, 0, 0, 0), (0, 5, True, 1, None, 0, 4, 0), (5, 10, True, 1, None, 3, 2, 0)],
            id="a start that is told late counts nothing twice",
        ),
        pytest.param(
            [look(0, 70), gone(5), gone(10), look(15, 90, failed=1)],
            [(0, 0, True, 1, None, 0, 0, 0), (0, 10, False, 1, None, 0, 0, 0), (10, 15, True, 1, None, 0, 20, 1)],
            id="missed looks lose nothing",
        ),
        pytest.param(
            [look(0, 70), look(5, None), look(10, 80)],
            [(0, 10, True, 1, None, 0, 10, 0)],
            id="metrics that cannot be read once",
        ),
        pytest.param(
            [look(0, 0), look(30, 5), look(35, 8, version=2), look(40, 9, version=2)],
            [(0, 30, True, 1, None, 0, 8, 0), (30, 40, True, 2, 30, 0, 1, 0)],
            id="a version swapped inside a minute ends the span",
        ),
        pytest.param(
            [
                look(0, 0, version=2),
                look(5, 9, version=2, failed=9),
                look(10, 19, version=1, failed=19),
                look(15, 29, version=1, failed=19),
            ],
            [(0, 5, True, 2, None, 0, 19, 19), (5, 15, True, 1, 5, 0, 10, 0)],
            id="errors between two looks are those of the version that was left",
        ),
        pytest.param(
            [look(0, 0, version=2), gone(5), look(10, 9, version=1, failed=9), look(15, 10, version=1, failed=9)],
            [(0, 0, True, 2, None, 0, 0, 0), (0, 5, False, 2, None, 0, 9, 9), (5, 15, True, 1, 5, 0, 1, 0)],
            id="also where looks in between failed",
        ),
        pytest.param(
            [
                look(0, 9, version=2),
                gone(5),
                look(10, 0, version=None, started_at=START + 8000),
                look(15, 1, version=2, started_at=START + 8000),
            ],
            [
                (0, 0, True, 2, None, 0, 0, 0),
                (0, 5, False, 2, None, 0, 0, 0),
                (5, 10, True, None, None, 8, 1, 0),
                (10, 15, True, 2, None, 8, 0, 0),
            ],
            id="a restart is no change of version",
        ),
        pytest.param(
            [look(0, 0, version=None), look(5, 0, version=1)],
            [(0, 0, True, None, None, 0, 0, 0), (0, 5, True, 1, 0, 0, 0, 0)],
            id="a first version that the watch saw come",
        ),
        pytest.param([gone(5), gone(10)], [], id="never reached: nobody knows what it serves"),
        pytest.param(
            [look(0, 0), look(400, 3, version=2)],
            [(0, 0, True, 1, None, 0, 3, 0), (0, 400, True, 2, None, 0, 0, 0)],
            id="a swap while the watch did not look is of unknown time",
        ),
        pytest.param(
            [look(0, 0), look(0, 0, instance="two", version=2), look(5, 3), look(5, 4, instance="two", version=2)],
            [(0, 5, True, 1, None, 0, 3, 0), (0, 5, True, 2, None, 0, 4, 0)],
            id="two instances keep their own counters",
        ),
    ],
)
def test_looks_become_minutes(looks: list[Look], expected: list[Row]) -> None:
    assert rows(looks) == expected


def test_three_restarts_within_a_minute_are_three_minutes() -> None:
    found = rows([look(at, 0, started_at=START + at * 1000 - 500) for at in (1, 11, 21, 31)])
    assert [one[5] for one in found] == [0.5, 10.5, 20.5, 30.5]


def test_whether_a_start_was_orderly_is_known_when_the_process_says_it() -> None:
    minutes = Minutes()
    for at, started, orderly in ((0, 0, False), (5, 4, None), (10, 4, True), (15, 4, True)):
        minutes.take(look(at, 0, started_at=START + started * 1000, orderly=orderly))
    minutes.take(gone(20))
    assert [(one.reachable, one.orderly) for one in minutes.of("s", NOW)] == [
        (True, False),
        (True, True),
        (False, True),
    ]


def test_an_instance_that_comes_back_is_known_by_what_it_served() -> None:
    minutes = Minutes()
    for one in (look(0, 0), look(5, 1, version=2), look(10, 2, version=2)):
        minutes.take(one)
    minutes.forget("one")
    for one in (
        look(30, 0, version=None, started_at=START + 25_000),
        look(35, 3, version=2, started_at=START + 25_000),
    ):
        minutes.take(one)
    assert row(minutes.of("s", NOW)[-1]) == (30, 35, True, 2, 0, 25, 0, 0)


def test_p95_is_of_the_spans_own_requests() -> None:
    minutes = Minutes()
    for one in (look(0, 1000), look(5, 1100, slow=10)):
        minutes.take(one)
    found = minutes.of("s", NOW)[-1]
    # 95 of 100 lie 5/10 of the way into the bucket from 10 to 100 ms.
    assert found.latency_p95_ms == pytest.approx(55.0)


def test_without_requests_there_is_no_p95() -> None:
    minutes = Minutes()
    for one in (look(0, 7), look(5, 7)):
        minutes.take(one)
    assert minutes.of("s", NOW)[-1].latency_p95_ms is None


@pytest.mark.parametrize(
    ("buckets", "expected"),
    [
        ((), None),
        (((0.01, 0.0), (float("inf"), 0.0)), None),
        (((0.01, 100.0), (float("inf"), 100.0)), 0.0095),
        (((0.01, 0.0), (0.02, 0.0), (0.04, 100.0), (float("inf"), 100.0)), 0.039),
        (((0.01, 10.0), (2.5, 20.0), (float("inf"), 100.0)), 2.5),
    ],
)
def test_quantile(buckets: tuple[tuple[float, float], ...], expected: float | None) -> None:
    assert quantile(buckets, 0.95) == (None if expected is None else pytest.approx(expected))


def test_ended_minutes_are_handed_out_once_with_their_mean_latency() -> None:
    minutes = Minutes()
    ended = [kept for at in (0, 30, 61, 90) for kept in minutes.take(look(at, at))]
    assert [row(kept.minute)[:2] for kept in ended] == [(0, 61)]
    assert ended[0].latency_mean_ms == pytest.approx(5.0)


def test_a_new_watch_goes_on_where_the_last_one_ended() -> None:
    first = Minutes()
    kept = [one for at, version in ((0, 1), (30, 2), (95, 2)) for one in first.take(look(at, at, version=version))]
    kept += first.end()
    second = Minutes(kept)
    second.take(look(100, 300, version=2))
    second.take(look(105, 302, version=2))
    last = second.of("s", NOW)[-1]
    assert row(last) == (100, 105, True, 2, 0, 0, 2, 0)
    assert [row(one) for one in second.of("s", NOW)[:-1]] == [row(one.minute) for one in kept]


def test_a_restart_while_no_watch_looked_is_seen() -> None:
    second = Minutes([Kept("s", dataclasses.replace(minute(0, 60), started_at=START), None)])
    second.take(look(100, 3, started_at=START + 90_000))
    assert [one.started_at for one in second.of("s", NOW)] == [START, START + 90_000]


def test_minutes_older_than_a_day_are_forgotten() -> None:
    minutes = Minutes([Kept("s", minute(0, 60), None), Kept("s", minute(60, 120), None)])
    assert [row(one)[0] for one in minutes.of("s", START + DAY_MS + 90_000)] == [60]


def test_a_forgotten_instance_ends_its_minute() -> None:
    minutes = Minutes()
    minutes.take(look(0, 1))
    minutes.take(look(5, 2))
    assert [row(kept.minute)[:2] for kept in minutes.forget("one")] == [(0, 5)]
    assert [row(one)[:2] for one in minutes.of("s", NOW)] == [(0, 5)]
    assert minutes.forget("one") == []


def minute(start_s: int, end_s: int) -> Minute:
    return Minute("one", START + start_s * 1000, START + end_s * 1000, True, 1, None, None, 0, 0, None)


@pytest.mark.parametrize(
    ("heard", "expected"),
    [
        pytest.param([("closed", 10)], (False, 10, 10), id="well"),
        pytest.param([("open", 10), ("open", 20), ("open", 30)], (True, 30, 10), id="since it began to say so"),
        pytest.param([("open", 10), ("half_open", 20), ("open", 30)], (True, 30, 10), id="half open is still away"),
        pytest.param([("open", 10), ("closed", 20), ("open", 30)], (True, 30, 30), id="back in between"),
        pytest.param([("open", 30), ("closed", 20)], (True, 30, 30), id="an older word from another instance"),
    ],
)
def test_what_bots_say(heard: list[tuple[str, int]], expected: tuple[bool, int, int]) -> None:
    minutes = Minutes()
    for number, (breaker, at) in enumerate(heard):
        minutes.take(look(number, bots=(bot(breaker, START + at),)))
    unreachable, said_at, since = expected
    assert minutes.words("s", NOW) == [BotWord("b", "k", unreachable, START + said_at, START + since)]
    assert minutes.words("other", NOW) == []


def test_a_bot_that_is_silent_for_an_hour_says_nothing() -> None:
    minutes = Minutes()
    minutes.take(look(0, bots=(bot("open", START),)))
    assert minutes.words("s", START + 3_599_999)
    assert minutes.words("s", START + 3_600_000) == []


def test_bots_of_two_keys_are_two() -> None:
    minutes = Minutes()
    minutes.take(look(0, bots=(bot("open", START, key="a"), bot("closed", START, key="b"))))
    assert [(word.key_id, word.unreachable) for word in minutes.words("s", START)] == [("a", True), ("b", False)]


def both(at_s: int, a: tuple[int, int, int], b: tuple[int, int, int], **changes: Any) -> Look:  # noqa: ANN401
    """A process with two strategies: version, predictions and failures of each, all since its start, by the version that is in production now."""
    by_version = {("a", a[0]): (float(a[1]), float(a[2])), ("b", b[0]): (float(b[1]), float(b[2]))} | changes.pop(
        "more", {}
    )
    answered, failed = (round(sum(column)) for column in zip(*by_version.values(), strict=True))
    whole = dataclasses.replace(counts(answered, failed), by_version=by_version)
    return look(at_s, versions={"a": a[0] or None, "b": b[0] or None}, counts=whole, **changes)


def told(looks: Iterable[Look], strategy: str) -> list[tuple[int | None, int, int]]:
    minutes = Minutes()
    for one in looks:
        minutes.take(one)
    return [(minute.version, minute.requests, minute.errors) for minute in minutes.of(strategy, NOW)]


def test_strategies_of_one_process_are_told_apart() -> None:
    looks = [both(0, (1, 100, 0), (1, 7, 0)), both(5, (1, 105, 5), (1, 207, 0))]
    assert told(looks, "a") == [(1, 5, 5)]
    assert told(looks, "b") == [(1, 200, 0)]


def test_each_version_has_its_own_predictions_also_between_two_looks() -> None:
    more = {("a", 1): (110.0, 10.0)}
    looks = [both(0, (1, 100, 0), (1, 7, 0))]
    looks += [both(5, (2, 4, 1), (1, 9, 0), more=more), both(10, (2, 9, 1), (1, 10, 0), more=more)]
    assert told(looks, "a") == [(1, 10, 10), (2, 9, 1)]
    assert told(looks, "b") == [(1, 2, 0), (1, 1, 0)]


def test_what_a_process_without_a_version_fails_is_counted() -> None:
    looks = [both(0, (0, 0, 0), (1, 0, 0)), both(5, (0, 6, 6), (1, 3, 0))]
    assert told(looks, "a") == [(None, 6, 6)]


def test_a_new_process_counts_each_version_from_zero() -> None:
    looks = [both(0, (1, 100, 0), (1, 7, 0)), both(5, (1, 3, 3), (1, 1, 0), started_at=START + 4000)]
    assert told(looks, "a") == [(1, 0, 0), (1, 3, 3)]
