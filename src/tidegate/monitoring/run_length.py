"""Run lengths of a CUSUM of wins and losses, as a Markov chain on whole steps (Brook and Evans 1972). Exact, up to rounding."""

import math
from dataclasses import dataclass, replace

import numpy as np


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

    Solves (I - Q) x = 1, Q the moves among the states below the threshold; x of state 0 is the answer. Infinite when trades never
    lose.
    """
    if chain.win_rate >= 1:
        return math.inf
    n = chain.threshold
    system, state = np.eye(n), np.arange(n)
    system[state, np.maximum(state - chain.win_steps, 0)] -= chain.win_rate
    stays = state[state + chain.loss_steps < n]
    system[stays, stays + chain.loss_steps] -= 1.0 - chain.win_rate
    return float(np.linalg.solve(system, np.ones(n))[0])


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
