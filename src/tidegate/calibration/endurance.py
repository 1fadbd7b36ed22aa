"""The sequential test by itself: one version trades on without expiry or successor, with its skill or without, until the alarm."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from tidegate.calibration.draws import draw_alone, draw_together
from tidegate.calibration.figures import with_sharpe
from tidegate.calibration.pool import Pool
from tidegate.calibration.production import FIRST, Production
from tidegate.calibration.result import Endurance
from tidegate.calibration.series import Row
from tidegate.calibration.worlds import Plan

_NEVER: Final = 10**9
_WITHIN: Final = (30, 90, 365)


def endure(plan: Plan, promise: float, truth: float, count: int, seed: Sequence[int]) -> Row:
    """(w,) market days until the alarm, infinite where there was none in the plan's years.

    Args:
        plan: what is simulated.
        promise: true Sharpe ratio while the version was tested; its test is designed from that pool.
        truth: true Sharpe ratio in production.
        count: worlds.
        seed: of the chance.
    """
    rng = np.random.default_rng(list(seed))
    tested, figures = with_sharpe(plan.figures, promise), with_sharpe(plan.figures, truth)
    pool = Pool(count, plan.pool_months, plan.month_days)
    for _ in range(plan.pool_months):
        pool.push(rng, draw_alone(rng, tested, count, plan.month_days), tested)
    # The test is what is looked at, so that it acts here whatever the strategy lets it do.
    production = Production.empty(count, replace(plan.watch, age_days=_NEVER, acts=True))
    production.promote(np.ones(count, bool), pool.sums.sum(axis=1), FIRST)
    found = np.full(count, np.inf)
    for _ in range(plan.months):
        _, days = draw_together(rng, (figures, figures), count, plan.month_days)
        before = production.days.copy()
        month = production.trade((days, days))
        gone = month.rolled_back
        found[gone] = before[gone] + month.traded[gone].sum(axis=1)
    return found


def endurance(plan: Plan, promise: float, truth: float, until: Row) -> Endurance:
    """What the alarms of many worlds come to; a version that has left is not watched any longer."""
    calendar = 30.0 / plan.month_days
    most = plan.months * plan.month_days
    watched = float(np.minimum(until, most).sum()) * calendar
    days = until * calendar
    return Endurance(
        promise=promise,
        truth=truth,
        alarms_a_year=float(np.isfinite(until).sum()) / watched * 365.0,
        median_days=float(np.median(days)),
        within={number: float(np.mean(days <= number)) for number in _WITHIN},
        allowed=plan.watch.yearly_false_alarms,
    )
