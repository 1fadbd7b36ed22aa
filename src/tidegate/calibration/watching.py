"""How a version in production is watched: the sequential test's design for it, and what an alarm leads to."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tidegate.calibration.figures import Figures
from tidegate.calibration.pool import GAINED, LOSSES, LOST, WINS, Sums
from tidegate.calibration.series import divided, wilson
from tidegate.monitoring.sequential import LEAST_DISTANCE, Design, design
from tidegate.rollback.decision import Situation, decide
from tidegate.rollback.finding import Finding
from tidegate.strategy.strategy import Strategy

Steps = NDArray[np.int64]
_FINE, _COARSE, _MANY_TRADES = 200, 100, 1000
_CACHED: Final = 8192


@dataclass(frozen=True, slots=True)
class Watch:
    """The rules.

    Attributes:
        yearly_false_alarms: that the sequential test may raise.
        trades_per_day, days_per_year: of the strategy.
        dispersion: of wins, by which the test's threshold is multiplied.
        age_days: market days after its promotion at which a version expires.
        acts: whether an alarm makes the version leave.
    """

    yearly_false_alarms: float
    trades_per_day: float
    days_per_year: float
    dispersion: float
    age_days: int
    acts: bool


def watch_of(strategy: Strategy, figures: Figures) -> Watch:
    """The strategy's rules; what an alarm leads to is what `rollback.decision` says."""
    finding = Finding(
        "sequential", strategy.rollback.sequential_action, "fired", 1.0, 1.0, "log-likelihood ratio", 1, None, "", ""
    )
    situation = Situation(
        strategy=strategy.name,
        version=1,
        halted=False,
        open_incident=None,
        is_watched=False,
        last_automatic_act_at=None,
        cooldown_ms=0,
        maintenance=False,
        acting_allowed=True,
        now_ms=0,
        has_good_version=False,
        open_intent=False,
    )
    pairs = figures.trades_per_day + figures.count_dispersion - 1.0  # E[N (N - 1)] / E[N]
    return Watch(
        strategy.monitor.yearly_false_alarms,
        figures.trades_per_day,
        figures.days_per_year,
        1.0 + pairs * figures.clustering,
        max(1, round(strategy.windows.max_age_days * figures.days_per_year / 365.0)),
        decide([finding], situation).act in {"roll_back", "halt"},
    )


def designs(sums: Sums, watch: Watch) -> Steps:
    """(w, 3) what a loss adds, what a win takes off, and the threshold, for versions whose pools hold these (w, 4) sums.

    As a manifest's figures would give them, except that win rates are rounded to half a percent (one percent below 1,000 trades): as
    many designs as there are worlds would take longer than the worlds. A threshold of 0 says that there is no test.
    The win rate that is to be noticed is the one that pays nothing, or a least distance below the healthy one, as in `design`.
    """
    trades = sums[:, WINS] + sums[:, LOSSES]
    grid = _FINE if trades.mean() >= _MANY_TRADES else _COARSE
    low = wilson(sums[:, WINS], trades)[0]
    payoff = divided(divided(sums[:, GAINED], sums[:, WINS]), divided(sums[:, LOST], sums[:, LOSSES]))
    pairs = np.stack((low, np.minimum(1.0 / (1.0 + payoff), low - LEAST_DISTANCE)), axis=1)
    keys = np.where(np.isfinite(pairs), np.rint(pairs * grid), -1).astype(np.int64)
    different, where = np.unique(keys, axis=0, return_inverse=True)
    found = np.zeros((len(different), 3), np.int64)
    for at, (healthy, gone) in enumerate(different.tolist()):
        test = designed(healthy / grid, gone / grid, watch)
        if test.testable:
            found[at] = test.loss_steps, test.win_steps, test.threshold_steps
    return np.asarray(found[where.ravel()], np.int64)


@lru_cache(maxsize=_CACHED)
def designed(healthy: float, gone: float, watch: Watch) -> Design:
    """The sequential test for a lower end of the win rate and the win rate that is to be noticed."""
    return design(
        {
            "win_rate": healthy,
            "win_rate_low": healthy,
            "payoff_ratio": 1.0 / gone - 1.0 if 0 < gone < 1 else math.nan,
            "trades_per_day": watch.trades_per_day,
        },
        watch.yearly_false_alarms,
        days_per_year=watch.days_per_year,
        dispersion=watch.dispersion,
    )
