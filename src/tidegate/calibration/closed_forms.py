"""Probabilities that can be computed, to stand beside the simulated ones."""

import math

from scipy.special import ndtr
from scipy.stats import binom, poisson

from tidegate.calibration.figures import with_sharpe
from tidegate.calibration.result import ClosedForm, CurvePoint, Outcome, Share, share_of
from tidegate.calibration.worlds import LOOKS_A_YEAR, Plan
from tidegate.statistics.sharpe import power
from tidegate.statistics.spending import yearly_false_rate
from tidegate.strategy.gates import Gates


def standard_error(plan: Plan, sharpe: float) -> float:
    """Of the annual Sharpe ratio over the pool, for independent normal days: sqrt((1 + SR^2 / 2) / n), SR per day, times sqrt(days a year)."""
    days = plan.pool_months * plan.month_days
    ratio = sharpe / math.sqrt(plan.figures.days_per_year)
    return math.sqrt((1.0 + ratio**2 / 2.0) / days * plan.figures.days_per_year)


def closed_forms(
    plan: Plan, policy: Gates, level: float, at: dict[float, Outcome], curve: dict[float, CurvePoint], looks: int
) -> tuple[ClosedForm, ...]:
    """What can be computed for the chosen policy.

    Args:
        plan: what was simulated.
        policy: the chosen one.
        level: of a scheduled look.
        at: outcomes of the chosen policy in worlds whose procedure has this true Sharpe ratio throughout.
        curve: points of the curve with these ratios.
        looks: behind each outcome.
    """
    found = []
    for sharpe, outcome in at.items():
        found += [
            ClosedForm(
                f"gate skill passes a look, true Sharpe {sharpe:g}",
                f"normal: Phi(SR / SE - z) at level {level:.4g}, SE {standard_error(plan, sharpe):.3f}",
                power(sharpe, standard_error(plan, sharpe), level),
                _passes(outcome, "skill", looks),
            ),
            *_points(plan, policy, sharpe, outcome, looks),
        ]
    overlap = (plan.pool_months - 1) / plan.pool_months
    if 0.0 in curve:
        found.append(
            ClosedForm(
                f"gate skill passes at least once in {LOOKS_A_YEAR} overlapping looks, true Sharpe 0",
                f"multivariate normal; Bonferroni's bound is {LOOKS_A_YEAR * level:.3g}",
                yearly_false_rate(level, overlap, LOOKS_A_YEAR) if level > 0 else 0.0,
                curve[0.0].skill_year,
            )
        )
    return tuple(found)


def _points(plan: Plan, policy: Gates, sharpe: float, outcome: Outcome, looks: int) -> list[ClosedForm]:
    figures = with_sharpe(plan.figures, sharpe)
    mean = figures.trades_per_day * plan.pool_months * plan.month_days
    found = []
    if (bound := policy.sharpe.threshold) is not None:
        error = standard_error(plan, sharpe)
        found.append(
            ClosedForm(
                f"Sharpe ratio at least {bound:g}, true Sharpe {sharpe:g}",
                f"normal: Phi((SR - {bound:g}) / SE)",
                float(ndtr((sharpe - bound) / error)),
                _passes(outcome, "sharpe", looks),
            )
        )
    # Wins of clustered days vary more than binomial ones; then there is no closed form to compare with.
    if (bound := policy.win_rate.threshold) is not None and figures.clustering == 0:
        number = round(mean)
        found.append(
            ClosedForm(
                f"win rate at least {bound:.0%}, true {figures.win_rate:.1%} (Sharpe {sharpe:g})",
                f"binomial over {number:,} trades",
                float(binom.sf(math.ceil(bound * number) - 1, number, figures.win_rate)),
                _passes(outcome, "win_rate", looks),
            )
        )
    if (bound := policy.trades.threshold) is not None and figures.count_dispersion == 1 and sharpe == 0:
        found.append(
            ClosedForm(
                f"at least {bound:g} trades",
                f"Poisson, mean {mean:,.0f}",
                float(poisson.sf(math.ceil(bound) - 1, mean)),
                _passes(outcome, "trades", looks),
            )
        )
    return found


def _passes(outcome: Outcome, gate: str, looks: int) -> Share:
    return share_of((1.0 - outcome.failed[gate]) * looks, looks, LOOKS_A_YEAR)
