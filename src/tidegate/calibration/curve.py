"""Promotion by true Sharpe ratio: how often a look, and a year of twelve looks, lets a first model through."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from tidegate.calibration.draws import draw_alone
from tidegate.calibration.figures import with_sharpe
from tidegate.calibration.pool import Pool
from tidegate.calibration.result import CurvePoint, share_of
from tidegate.calibration.series import ratios
from tidegate.calibration.verdicts import SKILL, bars, judge
from tidegate.calibration.worlds import LOOKS_A_YEAR, Plan, levels, measure_pool

SHARPES: Final = tuple(number / 4 for number in range(17))


def curve_point(plan: Plan, sharpe: float, worlds: int, seed: Sequence[int]) -> CurvePoint:
    """One point of the curve, of worlds that hold a year of looks each.

    Args:
        plan: what is simulated.
        sharpe: the true annual Sharpe ratio.
        worlds: how many.
        seed: of the chance.
    """
    rng = np.random.default_rng(list(seed))
    figures, chosen = with_sharpe(plan.figures, sharpe), next(iter(plan.policies))
    pool = Pool(worlds, plan.pool_months, plan.month_days, plan.fold_months)
    for _ in range(plan.pool_months):
        pool.push(rng, draw_alone(rng, figures, worlds, plan.month_days), figures)
    asked = {name: bars(policy) for name, policy in plan.policies.items()}
    allowed = {name: levels(policy, LOOKS_A_YEAR) for name, policy in plan.policies.items()}
    promoted = {name: np.zeros((LOOKS_A_YEAR, worlds), bool) for name in plan.policies}
    skilled = np.zeros((LOOKS_A_YEAR, worlds), bool)
    for month in range(LOOKS_A_YEAR):
        found = ratios(pool.returns, plan.figures.days_per_year)
        measured = measure_pool(pool, found, plan, month)
        for name in plan.policies:
            # Without a champion the two gates about it pass.
            verdicts = judge(measured, asked[name], allowed[name][month])
            promoted[name][month] = verdicts.promote
            if name == chosen:
                skilled[month] = verdicts.passed[SKILL]
        pool.push(rng, draw_alone(rng, figures, worlds, plan.month_days), figures)
    alike = float(LOOKS_A_YEAR)
    return CurvePoint(
        sharpe,
        {name: share_of(float(each.sum()), each.size, alike) for name, each in promoted.items()},
        {name: share_of(float(each.any(axis=0).sum()), worlds) for name, each in promoted.items()},
        share_of(float(skilled.sum()), skilled.size, alike),
        share_of(float(skilled.any(axis=0).sum()), worlds),
    )
