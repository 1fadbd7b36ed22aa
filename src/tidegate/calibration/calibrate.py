"""The whole calibration: worlds in chunks, side by side on a few threads, and what they come to."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from tidegate.calibration.checking import Checked, agreements, check_worlds
from tidegate.calibration.closed_forms import closed_forms
from tidegate.calibration.curve import SHARPES, curve_point
from tidegate.calibration.draws import common_share
from tidegate.calibration.endurance import endurance, endure
from tidegate.calibration.figures import Figures, true_sharpe, with_sharpe
from tidegate.calibration.measuring import MODELLED
from tidegate.calibration.outcome import edges_for, outcome
from tidegate.calibration.result import Calibration, CurvePoint, Endurance, WorldResult
from tidegate.calibration.tally import Tally, added
from tidegate.calibration.watching import watch_of
from tidegate.calibration.words import assumptions
from tidegate.calibration.worlds import Plan, World, levels, plan_for, simulate, worlds_of
from tidegate.errors import ConfigurationError
from tidegate.gates.specifications import SPECIFICATIONS
from tidegate.strategy.gates import Gates
from tidegate.strategy.strategy import Strategy

CHUNK: Final = 500
_CURVE_SHARE: Final = 5
_LEAST_CURVE: Final = 50
_MOST_WORLDS: Final = 1_000_000
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked for.

    Attributes:
        worlds: of each of the four kinds, >= 1.
        years: of each, >= 1.
        seed: of all chance.
        equal: true Sharpe ratio in the world that equals the champion.
        champion, challenger: true Sharpe ratios in the world with a better challenger.
        no_skill: true Sharpe ratio without skill, net of costs.
        checked: worlds by the full statistics; 0 for none.
        trials: in the ledger before the first look.
        trial_spread: standard deviation of their annual Sharpe ratios; None: that of training windows without skill.
        workers: threads.
    """

    worlds: int = 10_000
    years: int = 3
    seed: int = 7
    equal: float = 2.0
    champion: float = 1.0
    challenger: float = 2.0
    no_skill: float = 0.0
    checked: int = 200
    trials: int = 0
    trial_spread: float | None = None
    workers: int = 2


def calibrate(strategy: Strategy, figures: Figures, policies: Mapping[str, Gates], options: Options) -> Calibration:
    """How often these gates err for such trades.

    Args:
        strategy: windows, monitoring and rollback.
        figures: of its trades.
        policies: by name, the chosen one first.
        options: how much is simulated, and what is true in the worlds.
    Returns:
        the same for the same arguments, whatever the number of threads.
    Raises:
        ConfigurationError: worlds or years out of range.
        FiguresRefused: no win rate gives such trades one of the true Sharpe ratios.
    """
    _require_sane(options)
    watch = watch_of(strategy, figures)
    trials = (options.trials, strategy.windows.max_folds * max(1, strategy.model.search.trials))
    variance = None if options.trial_spread is None else options.trial_spread**2 / figures.days_per_year
    plan = plan_for(strategy, figures, watch, policies, years=options.years, trials=trials, trial_variance=variance)
    worlds = worlds_of(options.no_skill, options.equal, options.champion, options.challenger)
    with ThreadPoolExecutor(options.workers) as pool:
        tallies = _worlds(pool, worlds, plan, options)
        curve = _curve(pool, plan, options)
        endured = _endurance(pool, plan, options)
        checked = _checked(pool, plan, options)
    results = tuple(_result(world, tallies[world.name], plan) for world in worlds)
    return _told(strategy, plan, options, worlds, results, curve, endured, checked)


def _require_sane(options: Options) -> None:
    for name, value, low, high in (
        ("worlds", options.worlds, 1, _MOST_WORLDS),
        ("years", options.years, 1, 50),
        ("worlds by the full statistics", options.checked, 0, 10_000),
        ("threads", options.workers, 1, 256),
        ("trials", options.trials, 0, 10**9),
        ("seed", options.seed, 0, 2**63),
    ):
        if not low <= value <= high:
            raise ConfigurationError(f"{name} of a calibration", expected=f"{low} to {high}", actual=value)


def _map(pool: ThreadPoolExecutor, tasks: Sequence[Callable[[], T]]) -> list[T]:
    """Results in the order of the tasks."""
    return [future.result() for future in [pool.submit(task) for task in tasks]]


def _worlds(
    pool: ThreadPoolExecutor, worlds: Sequence[World], plan: Plan, options: Options
) -> dict[str, dict[str, Tally]]:
    sizes = _chunks(options.worlds)
    tasks = [
        partial(simulate, world, plan, size, (options.seed, 1, number, chunk))
        for number, world in enumerate(worlds)
        for chunk, size in enumerate(sizes)
    ]
    done = _map(pool, tasks)
    found = {}
    for number, world in enumerate(worlds):
        mine = done[number * len(sizes) : (number + 1) * len(sizes)]
        found[world.name] = {name: added(chunk[name] for chunk in mine) for name in plan.policies}
    return found


def _chunks(worlds: int) -> list[int]:
    whole, rest = divmod(worlds, CHUNK)
    return [CHUNK] * whole + ([rest] if rest else [])


def _curve(pool: ThreadPoolExecutor, plan: Plan, options: Options) -> tuple[CurvePoint, ...]:
    count = max(_LEAST_CURVE, options.worlds // _CURVE_SHARE)
    tasks = [
        partial(curve_point, plan, sharpe, count, (options.seed, 2, number)) for number, sharpe in enumerate(SHARPES)
    ]
    return tuple(_map(pool, tasks))


def _endurance(pool: ThreadPoolExecutor, plan: Plan, options: Options) -> tuple[Endurance, ...]:
    count = max(_LEAST_CURVE, options.worlds // _CURVE_SHARE)
    truths = (options.equal, options.no_skill)
    tasks = [
        partial(endure, plan, options.equal, truth, count, (options.seed, 4, number))
        for number, truth in enumerate(truths)
    ]
    found = _map(pool, tasks)
    return tuple(endurance(plan, options.equal, truth, until) for truth, until in zip(truths, found, strict=True))


def _checked(pool: ThreadPoolExecutor, plan: Plan, options: Options) -> list[Checked]:
    """Half of the worlds without skill, half with the skill of an equal: so that verdicts of both kinds occur."""
    half = options.checked // 2
    parts = [(options.no_skill, options.checked - half), (options.equal, half)]
    tasks = [
        partial(check_worlds, plan, sharpe, count, (options.seed, 3, number))
        for number, (sharpe, count) in enumerate(parts)
        if count
    ]
    return [one for part in _map(pool, tasks) for one in part]


def _result(world: World, tallies: Mapping[str, Tally], plan: Plan) -> WorldResult:
    edges = edges_for(list(tallies.values()))
    lost = world.promise is not None and world.champion != world.promise
    outcomes = tuple(outcome(name, tally, plan, edges, is_lost=lost) for name, tally in tallies.items())
    truth = next(iter(tallies.values())).truth
    return WorldResult(
        world.name,
        world.title,
        world.procedure,
        world.champion,
        with_sharpe(plan.figures, world.procedure).win_rate,
        truth.best * plan.figures.days_per_year,
        outcomes,
    )


def _told(
    strategy: Strategy,
    plan: Plan,
    options: Options,
    worlds: Sequence[World],
    results: tuple[WorldResult, ...],
    curve: tuple[CurvePoint, ...],
    endured: tuple[Endurance, ...],
    checked: Sequence[Checked],
) -> Calibration:
    name, policy = next(iter(plan.policies.items()))
    level = {each: levels(gates, plan.months)[-1] for each, gates in plan.policies.items()}
    steady = {world.procedure: result.outcomes[0] for world, result in zip(worlds, results, strict=True) if world.procedure == world.before}  # fmt: skip
    challenger = [with_sharpe(plan.figures, options.equal)] * 2
    return Calibration(
        strategy=strategy.name,
        kind=strategy.kind,
        policy=name,
        policies=tuple(plan.policies),
        worlds=options.worlds,
        years=options.years,
        seed=options.seed,
        figures=plan.figures,
        own_sharpe=true_sharpe(plan.figures),
        yearly_error=policy.yearly_error,
        level=level,
        pool_days=plan.pool_months * plan.month_days,
        month_days=plan.month_days,
        trials=plan.trials,
        shared=common_share(challenger),
        results=results,
        curve=curve,
        endurance=endured,
        closed=closed_forms(
            plan, policy, level[name], steady, {point.sharpe: point for point in curve}, options.worlds * plan.months
        ),
        agreements=agreements(checked, policy, level[name]) if checked else (),
        modelled=MODELLED,
        left_out=tuple(one.name for one in SPECIFICATIONS if one.name not in MODELLED),
        assumptions=assumptions(plan),
    )
