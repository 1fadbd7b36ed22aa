"""The worlds: what is true in each, and the procedure's life in it, month by month, under several policies side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from tidegate.bars.interval import DAY_MS
from tidegate.calibration import measuring
from tidegate.calibration.draws import Days, draw_alone, draw_together
from tidegate.calibration.figures import Figures, day_moments, with_sharpe
from tidegate.calibration.measuring import Measured, Rival
from tidegate.calibration.pool import Pool
from tidegate.calibration.production import FIRST, LATER, NOTHING, Production
from tidegate.calibration.series import Ratios, ratios
from tidegate.calibration.tally import Tally, Truth
from tidegate.calibration.verdicts import bars, judge
from tidegate.calibration.watching import Watch
from tidegate.statistics.spending import Look, allowance
from tidegate.strategy.gates import Gates
from tidegate.strategy.strategy import Strategy

LOOKS_A_YEAR: Final = 12
MONTH_DAYS: Final = 30
_YEAR_MS: Final = 365 * DAY_MS


@dataclass(frozen=True, slots=True)
class World:
    """What is true, in annual Sharpe ratios net of costs.

    Attributes:
        name, title: for files and for people.
        before: of the procedure until the first look.
        procedure: of the procedure, and of every version it makes, from then on.
        promise: of the champion at the start, until the first look; None where nothing is in production.
        champion: of that champion from then on.
    """

    name: str
    title: str
    before: float
    procedure: float
    promise: float | None = None
    champion: float | None = None


def worlds_of(no_skill: float, equal: float, champion: float, challenger: float) -> tuple[World, ...]:
    """The four worlds that are told apart."""
    return (
        World("no_skill", "No skill", no_skill, no_skill),
        World("equal", "Equal", equal, equal, equal, equal),
        World("better", "Better", challenger, challenger, champion, champion),
        World("lost", "Skill lost", equal, no_skill, equal, no_skill),
    )


@dataclass(frozen=True, slots=True)
class Plan:
    """What is simulated.

    Attributes:
        figures: of the strategy's trades.
        watch: how production is watched.
        policies: gates by name.
        years: of twelve looks.
        pool_months: of the pooled test; fold_months of a fold.
        month_days: market days of a month of thirty days.
        trials: in the ledger before the first look, and added by each; `trial_variance` of their ratios per day.
        stake: traded value of a side over the capital.
        folds: of the pooled test.
    """

    figures: Figures
    watch: Watch
    policies: Mapping[str, Gates]
    years: int
    pool_months: int
    fold_months: int
    month_days: int
    trials: tuple[int, int]
    trial_variance: float
    stake: float
    folds: int

    @property
    def months(self) -> int:
        """Looks, and months between them."""
        return self.years * LOOKS_A_YEAR


def levels(policy: Gates, looks: int) -> tuple[float, ...]:
    """The level that the budget of errors leaves to each look, twelve a year."""
    made: list[Look] = []
    for number in range(looks):
        at_ms = number * _YEAR_MS // LOOKS_A_YEAR
        allowed = allowance(
            made, str(number), at_ms, yearly_error=policy.yearly_error, looks_per_year=policy.looks_per_year
        )
        made.append(Look(at_ms, str(number), allowed.level))
    return tuple(look.level for look in made)


def measure_pool(pool: Pool, found: Ratios, plan: Plan, month: int) -> dict[str, Measured]:
    """Everything that a look measures without a champion."""
    count = len(pool.returns)
    trials = plan.trials[0] + (month + 1) * plan.trials[1]
    return measuring.pooled(pool, plan.figures, found) | {
        "deflated_sharpe": measuring.deflated(found, plan.figures, trials, plan.trial_variance),
        "costs_above_zero": measuring.costs_above_zero(plan.figures, plan.stake, count),
        "out_of_sample_folds": Measured(np.full(count, float(plan.folds))),
    }


def simulate(world: World, plan: Plan, count: int, seed: Sequence[int]) -> dict[str, Tally]:
    """One chunk of worlds, all policies on the same days.

    Args:
        world: what is true.
        plan: what is simulated.
        count: worlds.
        seed: of the chunk; the same seed gives the same worlds.
    Returns:
        what happened, by policy.
    """
    rng = np.random.default_rng(list(seed))
    truth = _truth(world, plan.figures)
    pool, rivals = _history(rng, world, plan, count)
    production = {name: _start(rng, world, plan, count, pool) for name in plan.policies}
    tallies = {name: Tally.empty(count, plan.years, truth) for name in plan.policies}
    asked = {name: bars(policy) for name, policy in plan.policies.items()}
    allowed = {name: levels(policy, plan.months) for name, policy in plan.policies.items()}
    now = with_sharpe(plan.figures, world.procedure)
    first = now if world.champion in {None, world.procedure} else with_sharpe(plan.figures, world.champion or 0.0)
    paths = (now, now) if first is now else (now, now, first)
    for month in range(plan.months):
        found = ratios(pool.returns, plan.figures.days_per_year)
        measured = measure_pool(pool, found, plan, month)
        sums = pool.sums.sum(axis=1)
        for name, policy in plan.policies.items():
            held = measuring.contest(pool, _rival(production[name], rivals, plan), plan.figures, policy)
            verdicts = judge(measured | held, asked[name], allowed[name][month])
            tallies[name].look(month // LOOKS_A_YEAR, verdicts, production[name], plan.month_days)
            production[name].promote(verdicts.promote, sums)
        watched = np.any([each.trading for each in production.values()], axis=0)
        drawn = draw_together(rng, paths, count, plan.month_days, watched)
        rivals = (drawn[-1], drawn[1])
        for name in plan.policies:
            before = production[name].what.copy()
            tallies[name].month(month // LOOKS_A_YEAR, before, production[name].trade(rivals), production[name])
        pool.push(rng, drawn[0], plan.figures)
    for name in plan.policies:
        production[name].finish()
        tallies[name].stints.extend(production[name].stints)
    return tallies


def _truth(world: World, figures: Figures) -> Truth:
    later = day_moments(with_sharpe(figures, world.procedure)).mean
    first = later if world.champion is None else day_moments(with_sharpe(figures, world.champion)).mean
    return Truth(first if abs(first) > 1e-12 else 0.0, later if abs(later) > 1e-12 else 0.0)


def _history(rng: np.random.Generator, world: World, plan: Plan, count: int) -> tuple[Pool, tuple[Days, Days]]:
    """The pool at the first look, and what the champion did in its newest month."""
    before = with_sharpe(plan.figures, world.before)
    pool = Pool(count, plan.pool_months, plan.month_days, plan.fold_months)
    for _ in range(plan.pool_months - 1):
        pool.push(rng, draw_alone(rng, before, count, plan.month_days), plan.figures)
    promised = before if world.promise is None else with_sharpe(plan.figures, world.promise)
    own, champion = draw_together(rng, (before, promised), count, plan.month_days)
    pool.push(rng, own, plan.figures)
    return pool, (champion, champion)


def _start(rng: np.random.Generator, world: World, plan: Plan, count: int, pool: Pool) -> Production:
    """Production at the first look: nothing, or a champion that was promoted a month ago."""
    production = Production.empty(count, plan.watch)
    if world.promise is None:
        return production
    sums = pool.sums.sum(axis=1)
    if world.promise != world.before:
        tested = Pool(count, plan.pool_months, plan.month_days)
        promised = with_sharpe(plan.figures, world.promise)
        for _ in range(plan.pool_months):
            tested.push(rng, draw_alone(rng, promised, count, plan.month_days), plan.figures)
        sums = tested.sums.sum(axis=1)
    production.promote(np.ones(count, bool), sums, FIRST)
    production.age[:] = plan.month_days
    return production


def _rival(production: Production, rivals: tuple[Days, Days], plan: Plan) -> Rival:
    later = production.what == LATER
    first, other = rivals
    if first is other:
        returns, wins, losses = first.returns, first.wins, first.losses
    else:
        rows = later[:, np.newaxis]
        returns = np.where(rows, other.returns, first.returns)
        wins, losses = np.where(rows, other.wins, first.wins), np.where(rows, other.losses, first.losses)
    trades = (wins + losses).sum(axis=1, dtype=np.float64)
    unseen = np.minimum(production.age / plan.month_days, plan.fold_months) * MONTH_DAYS
    return Rival(production.what != NOTHING, returns, trades, unseen)


def plan_for(
    strategy: Strategy,
    figures: Figures,
    watch: Watch,
    policies: Mapping[str, Gates],
    *,
    years: int,
    trials: tuple[int, int],
    trial_variance: float | None = None,
) -> Plan:
    """The plan for a strategy file's windows: whole months of thirty days."""
    windows = strategy.windows
    pool_months = max(1, round(windows.max_folds * windows.test_days / MONTH_DAYS))
    month_days = max(2, round(MONTH_DAYS * figures.days_per_year / 365.0))
    return Plan(
        figures=figures,
        watch=watch,
        policies=policies,
        years=years,
        pool_months=pool_months,
        fold_months=min(pool_months, max(1, round(windows.test_days / MONTH_DAYS))),
        month_days=month_days,
        trials=trials,
        trial_variance=365.0 / (windows.train_days * figures.days_per_year)
        if trial_variance is None
        else trial_variance,
        stake=1.0 / len(strategy.symbols),
        folds=windows.max_folds,
    )
