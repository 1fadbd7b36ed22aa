"""Run lengths of a CUSUM of wins and losses, as a Markov chain on whole steps (Brook and Evans 1972). Exact, up to rounding."""

import math
from dataclasses import dataclass, replace

import numpy as np

from tidegate.backtest.result import Floats


@dataclass(frozen=True, slots=True)
class Chain:
    """States 0 to threshold - 1; at or above the threshold it alarms and stops.

    Attributes:
        win_rate: probability that a trade wins.
        loss_steps: a loss goes up by them.
        win_steps: a win goes down by them, not below 0.
        threshold: in steps, >= 1.
    """

    win_rate: float
    loss_steps: int
    win_steps: int
    threshold: int

    def up_to(self, threshold: int) -> "Chain":
        """The same chain with another threshold."""
        return replace(self, threshold=threshold)


def average_run_length(chain: Chain) -> float:
    """Mean number of trades until the alarm, from 0.

    Solves (I - Q) x = 1, Q the moves among the states below the threshold; x of state 0 is the answer. No move is longer than m =
    max(loss_steps, win_steps), so in blocks of m states the system is tridiagonal, and is eliminated from the last block down. Infinite
    when trades never lose.
    """
    if chain.win_rate >= 1:
        return math.inf
    m = max(chain.loss_steps, chain.win_steps)
    last = (chain.threshold - 1) // m
    # Of the block above: x there = slope @ (x one below it) + level.
    slope: Floats = np.zeros((m, m))
    level: Floats = np.zeros(m)
    for block in range(last, -1, -1):
        down, stay, up, alive = _moves(chain, block * m, m)
        system = np.eye(m) - stay - up @ slope
        solved: Floats = np.asarray(np.linalg.solve(system, np.column_stack((down, alive + up @ level))), np.float64)
        slope, level = solved[:, :m], solved[:, m]
    return float(level[0])


def _moves(chain: Chain, first: int, m: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Probabilities from the m states at `first` to the m below, to themselves and to the m above; and 1 for states that exist."""
    state = np.arange(first, first + m)
    alive = state < chain.threshold
    moves = np.zeros((m, 3 * m))
    offset = first - m
    rows = np.flatnonzero(alive)
    moves[rows, np.maximum(state[rows] - chain.win_steps, 0) - offset] += chain.win_rate
    rows = rows[state[rows] + chain.loss_steps < chain.threshold]
    moves[rows, state[rows] + chain.loss_steps - offset] += 1.0 - chain.win_rate
    return moves[:, :m], moves[:, m : 2 * m], moves[:, 2 * m :], alive.astype(np.float64)


def run_length_quantile(chain: Chain, share: float, most: int) -> float:
    """Trades by which `share` of all runs from 0 have alarmed; infinite when that takes more than `most`."""
    n, win, loss = chain.threshold, chain.win_steps, chain.loss_steps
    here = np.zeros(n)
    here[0] = 1.0
    for trades in range(1, most + 1):
        after = np.zeros(n)
        after[: max(n - win, 0)] = chain.win_rate * here[win:]
        after[0] += chain.win_rate * here[: min(win, n)].sum()
        after[loss:] += (1.0 - chain.win_rate) * here[: max(n - loss, 0)]
        here = after
        if here.sum() <= 1.0 - share:
            return float(trades)
    return math.inf
