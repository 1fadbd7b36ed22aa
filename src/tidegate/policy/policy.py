"""What position to hold next, as one pure function that the backtest, the service and the clients all use."""

import math
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tidegate.errors import ModelError

Side = Literal[-1, 0, 1]


class PositionPolicy(BaseModel):
    """Parameters of the position policy; part of the manifest.

    Take-profit and stop are fractions of the entry price, judged at a bar's close; the order goes to the next open.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    long_at: float = Field(gt=0.0, le=1.01, description="Enter long at this probability or above; above 1 never.")
    short_at: float = Field(ge=-0.01, lt=1.0, description="Enter short at this probability or below; under 0 never.")
    take_profit: float = Field(
        gt=0.0, description="Leave when the close is this fraction of the entry price in favour."
    )
    stop_loss: float = Field(gt=0.0, description="Leave when the close is this fraction of the entry price against.")
    max_holding_bars: int = Field(ge=1, description="Leave after this many bars.")
    flip: bool = Field(True, description="Whether an opposite entry signal turns the position around at once.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.short_at < self.long_at:
            raise ValueError("short_at must be below long_at")
        return self


class PositionState(BaseModel):
    """The position held at a bar's close.

    `bars_held` counts the closed bars since entry, the entry bar included: a position entered at a bar's open has held one bar at
    that bar's close.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    side: Side = 0
    entry_price: float = 0.0
    bars_held: int = 0


def entry_side(probability: float, policy: PositionPolicy) -> Side:
    """The side that a probability alone asks for."""
    if probability >= policy.long_at:
        return 1
    if probability <= policy.short_at:
        return -1
    return 0


def gain_since_entry(state: PositionState, close: float) -> float:
    """Return of the held position since entry, a fraction of the entry price, before costs."""
    return state.side * (close / state.entry_price - 1.0)


def target_position(probability: float, close: float, state: PositionState, policy: PositionPolicy) -> Side:
    """The position to hold from the next bar's open on.

    Order of the rules: flat follows the entry signal. An opposite signal turns the position around (`flip`) or clears it. At the
    stop the position is cleared. At the take-profit and at the end of the holding time it is cleared unless the signal still asks
    for the same side: closing and opening again at one price would only pay costs twice.

    Args:
        probability: calibrated probability that a long entry would win, in [0, 1].
        close: the bar's close.
        state: what is held at the close.
        policy: the manifest's parameters.

    Returns:
        1 long, -1 short, 0 flat.

    Raises:
        ModelError: a probability outside [0, 1] or NaN, or a held position without a sane entry price.
    """
    if not 0.0 <= probability <= 1.0:
        raise ModelError("probability is not usable", expected="a number in [0, 1]", actual=probability)
    signal = entry_side(probability, policy)
    if state.side == 0:
        return signal
    if not (math.isfinite(state.entry_price) and state.entry_price > 0 and math.isfinite(close) and close > 0):
        raise ModelError("position state is not usable", expected="entry price and close > 0", actual=(state, close))
    if signal == -state.side:
        return signal if policy.flip else 0
    gain = gain_since_entry(state, close)
    if gain <= -policy.stop_loss:
        return 0
    if gain >= policy.take_profit or state.bars_held >= policy.max_holding_bars:
        return signal
    return state.side
