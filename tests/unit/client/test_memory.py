"""What a client remembers between decisions."""

import random

import msgspec
import pytest
from tests.unit.client.records import POLICY, config, model, served, served_message

from tidegate.client.decision import NoSignal
from tidegate.client.memory import Memory
from tidegate.client.messages import Served
from tidegate.client.metrics import Metrics
from tidegate.policy.policy import PositionPolicy


class Time:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def memory(time: Time) -> Memory:
    settings = config(breaker={"failures": 2, "open_ms": 1000})
    chance = random.Random(1)  # noqa: S311  jitter
    return Memory(settings, Metrics("sim", dry_run=True), chance, time)


def test_bars_without_a_signal_are_counted_in_a_row_and_each_once() -> None:
    kept = memory(Time())
    assert [kept.silent("S", at, "fallback") for at in (1, 1, 2, 2, 3)] == [1, 1, 2, 2, 3]
    assert kept.silent("OTHER", 3, "fallback") == 1
    assert kept.silent("S", 4, "halt") == 4
    kept.signalled("S", 7, "a")
    assert kept.silent("S", 4, "fallback") == 1, "a signal for the bar ended the row"


def test_bars_that_cannot_be_read_count_each_time() -> None:
    kept = memory(Time())
    assert [kept.silent("S", at, "fallback") for at in (None, None, 1, None)] == [1, 2, 3, 4]


def test_a_wait_that_the_service_asked_for_ends() -> None:
    time = Time()
    kept = memory(time)
    kept.wait(2.0)
    assert kept.permit() == NoSignal("rate_limited", "the service asked to wait")
    kept.wait(1.0)
    time.now += 1.5
    assert kept.is_waiting(), "the longest wait counts"
    time.now += 0.5
    assert not kept.is_waiting()
    assert kept.permit() == "whole"


def test_looks_at_the_service_open_the_breaker_and_end_its_wait() -> None:
    kept = memory(Time())
    for _ in range(3):
        kept.healthy("unreachable")
        assert kept.permit() == "whole"
        kept.healthy("not_ready")
    assert kept.state().breaker == "closed", "those in a row count"
    kept.healthy("unreachable")
    kept.healthy("unreachable")
    assert kept.state().breaker == "open"
    assert isinstance(kept.permit(), NoSignal)
    kept.healthy("unreachable")
    kept.healthy("not_ready")
    assert kept.state().breaker == "open", "only `ready` ends the wait"
    kept.healthy("ready")
    assert (kept.state().breaker, kept.state().health) == ("half_open", "ready")
    kept.healthy("unreachable")
    assert kept.permit() == "probe", "a look counts while the breaker is closed, and not else"


def test_the_policy_is_the_last_one_described() -> None:
    kept = memory(Time())
    assert not kept.policy
    kept.describe(served_message())
    policy = kept.policy
    assert policy == PositionPolicy(**POLICY)
    kept.describe(served_message(production=None, before=None, halted="by a person"))
    assert kept.policy == policy
    assert kept.state().halted


def test_a_policy_that_is_none_is_not_kept() -> None:
    kept = memory(Time())
    wrong = model()
    wrong["policy"] = {**wrong["policy"], "long_at": 0.3}
    with pytest.raises(ValueError, match="short_at"):
        kept.describe(msgspec.convert(served(production=wrong), Served))
    assert kept.served is None


def test_a_model_without_a_lookback_is_not_kept() -> None:
    kept = memory(Time())
    with pytest.raises(ValueError, match="lookback"):
        kept.describe(msgspec.convert(served(before=model(6, lookback=0)), Served))
    assert kept.served is None


def test_another_model_is_told_from_the_same() -> None:
    kept = memory(Time())
    assert [kept.signalled("S", *one) for one in ((7, "a"), (7, "a"), (8, "b"), (8, "c"))] == [True, False, True, True]
    state = kept.state()
    assert (state.version, state.bundle_digest, state.decisions) == (8, "c", {"model": 4})
