"""Positions bar by bar from probabilities: the position policy with its state, at the speed a backtest needs."""

import numpy as np
from numpy.typing import ArrayLike

from tidegate.backtest.result import Floats, Sides
from tidegate.errors import DataError, ModelError
from tidegate.policy.policy import PositionPolicy


def decide(
    probability: ArrayLike,
    close: ArrayLike,
    open: ArrayLike,  # noqa: A002  the bars' own name for it
    policy: PositionPolicy,
) -> Sides:
    """The target position at every bar's close: `policy.target_position` for each bar with the state that the fills before it left.

    A target decided at bar t is filled at the open of bar t+1; that open is the entry price, and at that bar's close one bar was held.
    A take-profit or time exit whose signal still asks for the same side keeps the position, its entry price and its count of bars.

    Args:
        probability: (n,) in [0, 1], or NaN where the features are not there yet: no entry and no flip is signalled then, and the
            exits still apply.
        close: (n,) the bars' closes, > 0.
        open: (n,) the bars' opens, > 0.
        policy: the manifest's parameters.

    Returns:
        (n,) int8: 1 long, 0 flat, -1 short; entry t depends on bars up to t only.

    Raises:
        ModelError: a probability outside [0, 1].
        DataError: lengths differ, or a price is not finite and above zero.
    """
    probabilities, closes, opens = (np.asarray(column, dtype=np.float64) for column in (probability, close, open))
    _check(probabilities, closes, opens)
    long_at, short_at, flip = policy.long_at, policy.short_at, policy.flip
    take_profit, stop_loss, max_held = policy.take_profit, -policy.stop_loss, policy.max_holding_bars
    target = np.zeros(len(probabilities), dtype=np.int8)
    side = filled = held = 0
    entry = 1.0
    # The rules of target_position stand here once more, for speed; a property test holds the two together.
    bars = zip(probabilities.tolist(), closes.tolist(), opens.tolist(), strict=True)
    for row, (chance, last, first) in enumerate(bars):
        if side != filled:
            filled, entry, held = side, first, 0
        # NaN compares false twice, which is: no signal.
        signal = 1 if chance >= long_at else -1 if chance <= short_at else 0
        if filled == 0:
            side = signal
        else:
            held += 1
            if signal == -filled:
                side = signal if flip else 0
            else:
                gain = filled * (last / entry - 1.0)
                if gain <= stop_loss:
                    side = 0
                elif gain >= take_profit or held >= max_held:
                    side = signal
        target[row] = side
    return target


def _check(probability: Floats, close: Floats, opens: Floats) -> None:
    if not probability.shape == close.shape == opens.shape or probability.ndim != 1:
        raise DataError(
            "probabilities do not fit the bars",
            expected=f"shape {close.shape}",
            actual=(probability.shape, opens.shape),
        )
    wrong = (probability < 0.0) | (probability > 1.0)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ModelError(
            f"probability of bar {row} is not usable", expected="a number in [0, 1]", actual=float(probability[row])
        )
    for name, prices in (("close", close), ("open", opens)):
        if not (np.isfinite(prices) & (prices > 0)).all():
            raise DataError(f"{name} holds something else than prices", expected="finite and > 0")
