"""The circuit breaker, step by step; times are seconds, and chance is 1 unless a case says otherwise."""

import pytest

from tidegate.client.breaker import Breaker
from tidegate.client.config import BreakerSettings

SETTINGS = BreakerSettings(failures=3, open_ms=100, open_max_ms=350)


def opened(at: float = 0.0, spread: float = 1.0) -> Breaker:
    breaker = Breaker(SETTINGS)
    assert [breaker.failed("whole", at, spread) for _ in range(3)] == [False, False, True]
    return breaker


def test_it_opens_with_failures_in_a_row_and_lets_nothing_through() -> None:
    breaker = opened()
    assert breaker.state(0.099) == "open"
    assert breaker.permit(0.099) is None


def test_an_exchange_that_is_understood_starts_the_count_anew() -> None:
    breaker = Breaker(SETTINGS)
    for _ in range(4):
        assert not breaker.failed("whole", 0, 1)
        assert not breaker.failed("whole", 0, 1)
        breaker.understood("whole")
    assert breaker.state(0) == "closed"


def test_looks_are_missed_in_a_row_and_count_with_failed_exchanges() -> None:
    breaker = Breaker(SETTINGS)
    for _ in range(4):
        assert [breaker.missed_look(0, 1), breaker.missed_look(0, 1)] == [False, False]
        breaker.answered_look()
    for _ in range(2):
        assert not breaker.failed("whole", 0, 1)
        breaker.answered_look()  # what answers looks may fail every question
    assert breaker.missed_look(0, 1)
    assert breaker.state(0) == "open"
    assert not breaker.missed_look(0, 1)


def test_one_probe_at_a_time_goes_through_and_closes_it() -> None:
    breaker = opened()
    assert breaker.state(0.1) == "half_open"
    assert breaker.permit(0.1) == "probe"
    assert breaker.permit(0.1) is None
    breaker.understood("probe")
    assert (breaker.state(0.1), breaker.permit(0.1)) == ("closed", "whole")


def test_failed_probes_double_the_time_up_to_its_bound() -> None:
    breaker, now = opened(), 0.1
    for open_s in (0.2, 0.35, 0.35):
        assert breaker.permit(now) == "probe"
        assert breaker.failed("probe", now, 1)
        assert breaker.state(now + open_s - 0.001) == "open"
        now += open_s + 1e-9
        assert breaker.state(now) == "half_open"
    assert breaker.permit(now) == "probe"
    breaker.understood("probe")
    for _ in range(3):
        breaker.failed("whole", now, 1)
    assert breaker.state(now + 0.099) == "open"
    assert breaker.state(now + 0.1001) == "half_open", "after it closed, the first time counts again"


@pytest.mark.parametrize("spread", [0.8, 1.2])
def test_chance_moves_the_time(spread: float) -> None:
    breaker = opened(spread=spread)
    assert breaker.state(0.1 * spread - 0.001) == "open"
    assert breaker.state(0.1 * spread + 0.001) == "half_open"


def test_a_probe_that_tells_nothing_lets_the_next_one_try() -> None:
    breaker = opened()
    assert breaker.permit(0.1) == "probe"
    breaker.abandoned("probe")
    assert breaker.permit(0.1) == "probe"


def test_a_service_that_is_ready_ends_the_wait() -> None:
    breaker = opened()
    breaker.ready()
    assert breaker.permit(0.0) == "probe"
    breaker.ready()
    assert breaker.permit(0.0) is None, "a probe is under way"


def test_what_began_before_it_opened_changes_nothing() -> None:
    breaker = opened()
    assert not breaker.failed("whole", 0.0, 1)
    breaker.understood("whole")
    breaker.abandoned("whole")
    assert breaker.state(0.0) == "open"


def test_a_thousand_failed_probes_are_still_a_number() -> None:
    breaker, now = opened(), 0.1
    for _ in range(1000):
        assert breaker.permit(now) == "probe"
        breaker.failed("probe", now, 1)
        now += 0.36
    assert breaker.state(now) == "half_open"
