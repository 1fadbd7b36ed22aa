"""What is held without a signal."""
# ruff: noqa: ANN401  a closure may say anything

import math
from typing import Any

import pytest

from tidegate.client.config import FallbackSettings
from tidegate.client.fallback import Situation, fall_back
from tidegate.policy.policy import PositionPolicy, PositionState, Side

POLICY = PositionPolicy(long_at=0.6, short_at=0.4, take_profit=0.1, stop_loss=0.05, max_holding_bars=9)
HOLD = FallbackSettings(strategy="hold", hold_bars=3)


def situation(
    side: Side = 1,
    *,
    entry: float = 100.0,
    held: int = 2,
    n: int = 1,
    close: float | None = 100.0,
    policy: PositionPolicy | None = POLICY,
) -> Situation:
    position = PositionState.model_construct(side=side, entry_price=entry, bars_held=held)
    return Situation("sim", "SIM/USD", "timeout", n, close, position, policy)


def test_flat_holds_nothing() -> None:
    assert fall_back(FallbackSettings(), None, situation()) == (0, "flat")


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (situation(), (1, "hold")),
        (situation(-1), (-1, "hold")),
        (situation(0), (0, "flat")),
        (situation(n=3), (1, "hold")),
        (situation(n=4), (0, "flat")),
        (situation(close=95.0), (0, "exit")),
        (situation(close=95.01), (1, "hold")),
        (situation(close=110.1), (0, "exit")),
        (situation(close=109.9), (1, "hold")),
        (situation(-1, close=105.1), (0, "exit")),
        (situation(-1, close=89.9), (0, "exit")),
        (situation(held=9), (0, "exit")),
        (situation(held=8), (1, "hold")),
        (situation(close=None), (1, "hold")),
        (situation(close=50.0, policy=None), (1, "hold")),
        (situation(entry=math.nan), (0, "exit")),
        (situation(entry=0.0), (0, "exit")),
        (situation(entry=math.inf), (0, "exit")),
        (situation(held=0), (1, "hold")),
        (situation(entry=math.nan, policy=None), (1, "hold")),
        (situation(n=4, close=95.0), (0, "flat")),
    ],
)
def test_hold(now: Situation, expected: tuple[int, str]) -> None:
    assert fall_back(HOLD, None, now) == expected


def test_hold_without_exits_waits_for_its_bars_alone() -> None:
    settings = FallbackSettings(strategy="hold", hold_bars=3, exits=False)
    assert fall_back(settings, None, situation(close=1.0, held=99)) == (1, "hold")
    assert fall_back(settings, None, situation(n=4)) == (0, "flat")


@pytest.mark.parametrize("said", [-1, 0, 1])
def test_a_closure_says_the_target_whatever_the_settings_name(said: int) -> None:
    told: list[Situation] = []

    def closure(now: Situation) -> int:
        told.append(now)
        return said

    now = situation(n=5)
    assert fall_back(HOLD, closure, now) == (said, "closure")
    assert told == [now]


@pytest.mark.parametrize("said", [2, None, "1", 1.5, True, math.nan, []])
def test_a_closure_that_says_something_else_means_nothing_held(said: Any) -> None:
    assert fall_back(HOLD, lambda _: said, situation()) == (0, "closure")


def test_a_closure_that_fails_means_nothing_held() -> None:
    def closure(_: Situation) -> int:
        raise ZeroDivisionError

    assert fall_back(HOLD, closure, situation()) == (0, "closure")
