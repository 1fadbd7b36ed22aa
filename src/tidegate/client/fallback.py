"""What decides where there is no signal."""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tidegate.client.config import FallbackSettings
from tidegate.client.decision import FallbackUsed, Reason
from tidegate.policy.policy import PositionPolicy, PositionState, Side, gain_since_entry

log = logging.getLogger(__name__)
_SIDES: Final[dict[int, Side]] = {-1: -1, 0: 0, 1: 1}


@dataclass(frozen=True, slots=True)
class Situation:
    """What a fallback knows.

    Attributes:
        strategy, symbol: whose signal is missing.
        reason: why.
        bars_without_signal: in a row, with this one.
        close: last price of the newest bar, None where the bars are not usable.
        position: what is held at that bar's close.
        policy: of the model that the service described last, None before the first description.
    """

    strategy: str
    symbol: str
    reason: Reason
    bars_without_signal: int
    close: float | None
    position: PositionState
    policy: PositionPolicy | None


Closure = Callable[[Situation], int]
"""A rule of the bot's own; it runs on the thread that decides, and should not wait for anything."""


def fall_back(settings: FallbackSettings, closure: Closure | None, situation: Situation) -> tuple[Side, FallbackUsed]:
    """The target without a signal, and which fallback spoke."""
    if closure is not None:
        return _closure(closure, situation), "closure"
    if settings.strategy == "hold":
        return _hold(situation, settings)
    return 0, "flat"


def _closure(closure: Closure, situation: Situation) -> Side:
    try:
        said = closure(situation)
        # True equals 1, and is no side that anybody meant.
        if not isinstance(said, bool) and said in _SIDES:
            return _SIDES[said]
    except Exception:
        log.exception("the bot's own fallback failed; nothing is held")
        return 0
    log.error("the bot's own fallback said %r, -1, 0 or 1 is expected; nothing is held", said)
    return 0


def _hold(situation: Situation, settings: FallbackSettings) -> tuple[Side, FallbackUsed]:
    held = situation.position
    if held.side == 0 or situation.bars_without_signal > settings.hold_bars:
        return 0, "flat"
    if (
        settings.exits
        and situation.policy is not None
        and situation.close is not None
        and _exits(held, situation.close, situation.policy)
    ):
        return 0, "exit"
    return held.side, "hold"


def _exits(held: PositionState, close: float, policy: PositionPolicy) -> bool:
    """Whether the policy leaves a held position at a bar without probability; one that it cannot judge is left, too."""
    if not (math.isfinite(held.entry_price) and held.entry_price > 0):
        return True
    gain = gain_since_entry(held, close)
    within = -policy.stop_loss < gain < policy.take_profit
    return not within or held.bars_held >= policy.max_holding_bars
