"""Counting requests: what passes, when the next one does, and that memory stays bounded."""

import pytest

from tidegate.serving.http.rate_limit import ForwardStorage, RateLimit


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


# requests a second: (requests that pass at once, seconds until all of them pass again)
TABLE = {100: (100, 1), 10: (10, 1), 12.5: (12, 1), 5: (10, 2), 1: (10, 10), 0.1: (10, 100)}


@pytest.mark.parametrize(("rps", "passing", "window_s"), [(rps, *rest) for rps, rest in TABLE.items()])
def test_the_rate(rps: float, passing: int, window_s: int) -> None:
    time = Time()
    limit = RateLimit.of_keys(rps, time)
    assert [limit.hit("a") for _ in range(passing + 1)] == [True] * passing + [False]
    assert limit.hit("b")
    assert limit.retry_after_s("a") == window_s
    time.now += window_s - 0.001
    assert not limit.hit("a")
    time.now += 0.001
    assert limit.hit("a")


def test_the_window_moves_with_each_request() -> None:
    time = Time()
    limit = RateLimit.of_keys(10, time)
    for _ in range(10):
        assert limit.hit("a")
        time.now += 0.0625
    assert not limit.hit("a")
    assert limit.retry_after_s("a") == 1
    time.now += 0.375
    assert limit.hit("a")
    assert not limit.hit("a")


def test_a_refused_request_does_not_count() -> None:
    time = Time()
    limit = RateLimit.of_keys(10, time)
    for _ in range(50):
        limit.hit("a")
    time.now += 1
    assert limit.hit("a")


def test_failures_have_a_minute() -> None:
    time = Time()
    limit = RateLimit.of_failures(time)
    assert [limit.hit("192.0.2.1") for _ in range(31)].count(True) == 30
    assert limit.retry_after_s("192.0.2.1") == 60


def test_a_flood_of_callers_shares_one_place_and_those_who_are_known_keep_theirs() -> None:
    time = Time()
    storage = ForwardStorage(time, most=3)
    for caller in ("a", "b", "c"):
        assert storage.acquire_entry(caller, 2, 60)
    assert [storage.acquire_entry(f"new {at}", 2, 60) for at in range(3)] == [True, True, False]
    assert storage.get_moving_window("new 9", 2, 60) == (1000.0, 2)
    assert storage.acquire_entry("a", 2, 60)
    assert storage.reset() == 4


def test_callers_who_are_long_gone_make_room() -> None:
    time = Time()
    storage = ForwardStorage(time, most=3)
    for caller in ("a", "b", "c"):
        storage.acquire_entry(caller, 2, 60)
    time.now += 61
    assert storage.acquire_entry("d", 2, 60)
    assert [storage.get(caller) for caller in ("a", "b", "c", "d")] == [0, 0, 0, 1]


def test_a_caller_can_be_forgotten() -> None:
    limit = RateLimit.of_keys(10)
    while limit.hit("a"):
        pass
    limit._storage.clear("a")
    assert limit.hit("a")
    assert limit._storage.check()
