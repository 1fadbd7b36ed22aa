"""Figures, plans and small worlds for the tests of calibration."""

from pathlib import Path
from typing import Final

import numpy as np

from tidegate.calibration.draws import draw_alone
from tidegate.calibration.figures import Figures, with_sharpe
from tidegate.calibration.pool import Pool
from tidegate.calibration.watching import watch_of
from tidegate.calibration.worlds import Plan, plan_for
from tidegate.strategy.policies import built_in
from tidegate.strategy.strategy import Strategy, find_strategy

STRATEGIES: Final = Path(__file__).parents[1] / "configs" / "strategies"
# Two trades a day that pay at a win rate of 57 %, with small costs: every gate has worlds on either side.
FIGURES: Final = Figures("a test", 2.0, 0.6, 0.0015, 0.0008, 0.002, 0.001, cost=0.0001)


def strategy() -> Strategy:
    """The simulated demo's file."""
    return find_strategy("simulated-demo", STRATEGIES)


def plan(figures: Figures = FIGURES, years: int = 1, months: int = 12) -> Plan:
    """Balanced first, then the checklist and strict."""
    file = strategy()
    windows = file.windows.model_copy(update={"max_folds": months})
    policies = built_in()
    chosen = {name: policies[name] for name in ("balanced", "checklist", "strict")}
    file = file.model_copy(update={"windows": windows})
    return plan_for(file, figures, watch_of(file, figures), chosen, years=years, trials=(0, 12))


def pool_of(sharpe: float, worlds: int, seed: int, figures: Figures = FIGURES, months: int = 12) -> Pool:
    """Worlds with this true Sharpe ratio, at one look."""
    rng = np.random.default_rng(seed)
    skilled = with_sharpe(figures, sharpe)
    pool = Pool(worlds, months, 30)
    for _ in range(months):
        pool.push(rng, draw_alone(rng, skilled, worlds, 30), skilled)
    return pool
