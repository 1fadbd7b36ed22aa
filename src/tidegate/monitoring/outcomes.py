"""Which answer counts at each bar, and the position that the answers asked for.

At a bar that several versions answered in production (a swap, two replicas, a question asked again), the answer that was received first
counts, as among retries: the first is the one that a bot could act on. An answer that names a position goes before an abstention. So a
later version that is asked about old bars changes nothing of what was earned then.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tidegate.backtest.result import Floats, Sides, Times
from tidegate.bars.bars import Bars
from tidegate.errors import ModelError
from tidegate.monitoring.predictions import NO_TARGET, NO_VERSION, Mask, Predictions
from tidegate.policy.policy import PositionPolicy

NO_ROW: Final = -1
_FIRST, _LAST = np.iinfo(np.int64).min, np.iinfo(np.int64).max

Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """What was answered about one symbol, bar by bar.

    Attributes:
        bars: n bars.
        row: (n,) index of the row that counts at each bar's close, `NO_ROW` where nothing was answered.
        answered: (n,) whether a position was named.
        probability: (n,) NaN where no position was named.
        target: (n,) int8, the position asked for at each close.
        version: (n,) int64, of the newest row up to each bar, `NO_VERSION` before the first.
    """

    bars: Bars
    row: Rows
    answered: Mask
    probability: Floats
    target: Sides
    version: Times

    def owner(self) -> Times:
        """(n,) the version that each bar's result belongs to: the one that answered the bar before."""
        return np.concatenate((self.version[:1], self.version[:-1]))

    def from_row(self, first: int) -> "Timeline":
        """The same from a bar on."""
        part = slice(first, None)
        return Timeline(
            self.bars.take(part),
            self.row[part],
            self.answered[part],
            self.probability[part],
            self.target[part],
            self.version[part],
        )


def rows_by_bar(predictions: Predictions, bars: Bars, chosen: Mask) -> Rows:
    """(n,) the row that counts at each bar of a symbol, `NO_ROW` where there is none.

    Args:
        predictions: N rows.
        bars: n bars.
        chosen: (N,) rows to choose from; those that neither name a position nor abstain are refusals, and never count.
    """
    found = np.full(len(bars), NO_ROW, dtype=np.intp)
    if bars.symbol not in predictions.symbols or not len(bars):
        return found
    mine = chosen & (predictions.symbol == predictions.symbols.index(bars.symbol)) & ~refused(predictions)
    rows = np.flatnonzero(mine)
    # The last of these at a bar is written last, and stays.
    best_last = np.lexsort(
        (predictions.version[rows], -predictions.received_at[rows], predictions.target[rows] != NO_TARGET)
    )
    rows = rows[best_last]
    at, there = bar_of(bars, predictions.closed_at[rows])
    found[at[there]] = rows[there]
    return found


def bar_of(bars: Bars, closed_at: Times) -> tuple[Rows, Mask]:
    """(m,) the bar that closes at each time, and (m,) whether there is one."""
    if not len(bars):
        return np.zeros(len(closed_at), dtype=np.intp), np.zeros(len(closed_at), dtype=np.bool_)
    at = np.minimum(np.searchsorted(bars.closed_at, closed_at), len(bars) - 1)
    return at, np.asarray(bars.closed_at[at] == closed_at)


def refused(predictions: Predictions) -> Mask:
    """(N,) rows that name no position and do not say that they abstain."""
    reason = np.array([bool(name) for name in predictions.reasons] or [False])[predictions.reason]
    return np.asarray((predictions.target == NO_TARGET) & ~reason)


def timeline(predictions: Predictions, bars: Bars, *, hold: bool) -> Timeline:
    """What production answered about one symbol.

    Where no position is named the bot goes flat, or, with `hold`, keeps what it has. What a halted strategy answers names no bar: if any
    such answer was received between the answers on both sides of a gap, the bot is flat in all of the gap, `hold` or not.

    Args:
        predictions: of the strategy.
        bars: n bars of one symbol.
        hold: `monitor.without_answer`.
    """
    row = rows_by_bar(predictions, bars, ~predictions.shadow)
    any_row = row != NO_ROW
    version = np.full(len(bars), NO_VERSION, dtype=np.int64)
    version[any_row] = predictions.version[row[any_row]]
    newest = _newest(any_row)
    version = np.where(newest >= 0, version[newest], NO_VERSION)
    target = np.full(len(bars), NO_TARGET, dtype=np.int8)
    target[any_row] = predictions.target[row[any_row]]
    answered = target != NO_TARGET
    probability = np.full(len(bars), np.nan)
    probability[answered] = predictions.probability[row[answered]]
    if hold:
        said = answered | _halted(predictions, bars.symbol, row, any_row)
        target = np.where(answered, target, 0).astype(np.int8)
        newest = _newest(said)
        target = np.where(newest >= 0, target[newest], 0).astype(np.int8)
    else:
        target = np.where(answered, target, 0).astype(np.int8)
    return Timeline(bars, row, answered, probability, target, version)


def _newest(there: Mask) -> Rows:
    """(n,) index of the newest true entry up to each one, -1 before the first."""
    return np.maximum.accumulate(np.where(there, np.arange(len(there)), -1)) if len(there) else np.empty(0, np.intp)


def _halted(predictions: Predictions, symbol: str, row: Rows, any_row: Mask) -> Mask:
    """(n,) bars without a row in gaps during which the strategy answered that it is halted."""
    times = predictions.halted.get(symbol, np.empty(0, dtype=np.int64))
    received = predictions.received_at[row[any_row]]
    before = np.cumsum(any_row)
    earlier = np.concatenate(([_FIRST], received))[before]
    later = np.concatenate((received, [_LAST]))[before]
    count = np.searchsorted(times, later) - np.searchsorted(times, earlier, side="right")
    return ~any_row & (count > 0)


def replay(
    probability: Floats,
    answered: Mask,
    bars: Bars,
    policy: PositionPolicy,
    *,
    hold: bool,
) -> Sides:
    """Positions by the policy for a bot that is answered at some bars only; `backtest.positions.decide` where all are.

    Args:
        probability: (n,) in [0, 1] where answered.
        answered: (n,); elsewhere the bot goes flat, or, with `hold`, keeps what it has.
        bars: n bars.
        policy: the manifest's parameters.
        hold: `monitor.without_answer`.
    Returns:
        (n,) int8 targets.
    Raises:
        ModelError: an answer without a probability in [0, 1].
    """
    given = probability[answered]
    if not ((given >= 0.0) & (given <= 1.0)).all():
        raise ModelError("an answer holds no probability", expected="a number in [0, 1]")
    target = np.zeros(len(bars), dtype=np.int8)
    side = filled = held = 0
    entry = 1.0
    long_at, short_at, flip = policy.long_at, policy.short_at, policy.flip
    take_profit, stop_loss, max_held = policy.take_profit, -policy.stop_loss, policy.max_holding_bars
    # The rules of target_position once more, for speed; a property test holds them together.
    steps = zip(probability.tolist(), answered.tolist(), bars.close.tolist(), bars.open.tolist(), strict=True)
    for row, (chance, known, last, first) in enumerate(steps):
        if side != filled:
            filled, entry, held = side, first, 0
        held += 1
        if not known:
            side = side if hold else 0
        else:
            signal = 1 if chance >= long_at else -1 if chance <= short_at else 0
            if filled == 0:
                side = signal
            elif signal == -filled:
                side = signal if flip else 0
            else:
                gain = filled * (last / entry - 1.0)
                if gain <= stop_loss:
                    side = 0
                elif gain >= take_profit or held >= max_held:
                    side = signal
        target[row] = side
    return target
