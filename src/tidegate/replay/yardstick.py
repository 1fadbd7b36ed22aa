"""The returns by which paths' risk is compared: those of one and the same rule, whatever a path does with its profits.

Every path that trades uses the same capital for each trade, so a bar's profit over that capital is its return. Buy and hold keeps the units it
bought: its profits, and its risk, grow with the price. What it earned on what it was worth before does not, and is what its Sharpe ratio and
every comparison with other paths are made of. What it earned in all is what a buyer had, and stays as it is.
"""

import numpy as np

from tidegate.backtest.result import Floats
from tidegate.replay.result import Name


def ratio_returns(name: Name, net_return: Floats) -> Floats:
    """What a path's Sharpe ratio is computed from.

    Args:
        name: of the path.
        net_return: (n,) net profit over the capital at the start, by bars or by days.
    Returns:
        (n,): for buy and hold what was earned on its equity before, NaN from where nothing is left of that; for others the same values.
    """
    if name != "hold":
        return net_return
    equity = 1.0 + np.concatenate(([0.0], np.cumsum(net_return)))[:-1]
    # Whoever has lost everything earns no return any more, whatever the price does.
    alive = np.logical_and.accumulate(equity > 0)
    found: Floats = np.full(len(net_return), np.nan)
    found[alive] = net_return[alive] / equity[alive]
    return found
