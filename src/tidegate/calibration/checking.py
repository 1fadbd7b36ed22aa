"""Some worlds by the full statistics: bootstrap, summary of a backtest and `gates.evaluation`, against what all worlds are judged by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from tidegate.backtest.metrics import summarise
from tidegate.calibration.draws import Days, draw_alone
from tidegate.calibration.figures import with_sharpe
from tidegate.calibration.measuring import Measured
from tidegate.calibration.pool import Pool
from tidegate.calibration.result import Agreement
from tidegate.calibration.series import Row, drawdown, ratios
from tidegate.calibration.single import as_backtest
from tidegate.calibration.worlds import Plan, measure_pool
from tidegate.gates.evaluation import compares
from tidegate.gates.specifications import Comparison
from tidegate.statistics.bootstrap import metric_intervals
from tidegate.statistics.proportions import break_even_win_rate
from tidegate.statistics.sharpe import skill_p_value
from tidegate.strategy.gates import Gates

DRAWS: Final = 400
_BY_NORMAL: Final = f"stationary bootstrap, {DRAWS} draws, against the normal approximation"
_BY_WILSON: Final = f"stationary bootstrap of the trades, {DRAWS} draws, against Wilson's interval"


@dataclass(frozen=True, slots=True)
class Checked:
    """One world: by gate, the full statistic and the one that all worlds are judged by."""

    full: dict[str, float]
    fast: dict[str, float]


def check_worlds(plan: Plan, sharpe: float, count: int, seed: Sequence[int]) -> list[Checked]:
    """Worlds of one pool each, measured both ways.

    Args:
        plan: what is simulated.
        sharpe: true annual Sharpe ratio.
        count: worlds.
        seed: of the chance.
    """
    rng = np.random.default_rng(list(seed))
    # Drawdowns inside days are a factor in the plan; days are all there is here.
    plan = replace(plan, figures=replace(plan.figures, drawdown_factor=1.0))
    figures = with_sharpe(plan.figures, sharpe)
    pool = Pool(count, plan.pool_months, plan.month_days, plan.fold_months)
    months = []
    for _ in range(plan.pool_months):
        months.append(draw_alone(rng, figures, count, plan.month_days))
        pool.push(rng, months[-1], figures)
    days = _joined(months)
    measured = measure_pool(pool, ratios(days.returns, figures.days_per_year), plan, 0)
    falls = drawdown(days.returns)
    return [_one(rng, days, world, measured, falls, plan, [*seed, world]) for world in range(count)]


def agreements(checked: Sequence[Checked], policy: Gates, level: float) -> tuple[Agreement, ...]:
    """How many verdicts agree, and how far the figures lie apart.

    Args:
        checked: worlds.
        policy: whose thresholds divide them.
        level: of the test of skill.
    """
    rows: tuple[tuple[str, str, Comparison, float | None, str], ...] = (
        ("skill", "p-value of no skill", "<=", level, "statistics.skill_p_value on the series of days"),
        ("sharpe", "Sharpe ratio", ">=", policy.sharpe.threshold, "summary of the backtest"),
        ("win_rate", "win rate", ">=", policy.win_rate.threshold, "summary of the backtest"),
        ("max_drawdown", "drawdown of the pool", "<", policy.max_drawdown.threshold, "summary of the backtest"),
        ("sharpe_lower", "lower end of the Sharpe ratio", ">", policy.sharpe_lower.threshold, _BY_NORMAL),
        ("win_rate_lower", "lower end of the win rate, less the one that pays", ">", 0.0, _BY_WILSON),
    )
    found = []
    for gate, what, comparison, bound, note in rows:
        if bound is None:
            continue
        pairs = [(one.full[gate], one.fast[gate]) for one in checked]
        agree = sum(compares(full, comparison, bound) == compares(fast, comparison, bound) for full, fast in pairs)
        apart = float(np.max([abs(full - fast) for full, fast in pairs]))
        found.append(Agreement(f"{what} {comparison} {bound:.4g}", agree, len(pairs), apart, note))
    return tuple(found)


def _one(
    rng: np.random.Generator,
    days: Days,
    world: int,
    measured: Mapping[str, Measured],
    falls: Row,
    plan: Plan,
    seed: list[int],
) -> Checked:
    backtest = as_backtest(rng, days, world, plan.figures)
    year = plan.figures.days_per_year
    found = summarise(backtest, year)
    drawn = metric_intervals(backtest, year, seed=int(np.random.default_rng(seed).integers(2**31)), draws=DRAWS)
    full = {
        "skill": skill_p_value(backtest.net_return, year),
        "sharpe": found["sharpe"],
        "win_rate": found["win_rate"],
        "max_drawdown": found["max_drawdown"],
        "sharpe_lower": drawn["sharpe"].low,
        "win_rate_lower": drawn["win_rate"].low - break_even_win_rate(found["payoff_ratio"]),
    }
    fast = {name: float(measured[name].value[world]) for name in full}
    # The gate takes the worst fold as well, the summary knows the pool alone.
    return Checked(full, fast | {"max_drawdown": float(falls[world])})


def _joined(months: Sequence[Days]) -> Days:
    return Days(
        *(
            np.concatenate([getattr(month, name) for month in months], axis=-1)
            for name in ("wins", "losses", "gained", "lost", "slots")
        )
    )
