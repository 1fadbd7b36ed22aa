"""Statistics of one run for the gates that allow for chance, and bootstrap intervals for those that do not."""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from tidegate.backtest.baselines import RandomBaseline
from tidegate.backtest.costs import stressed_returns
from tidegate.backtest.result import Backtest, Floats
from tidegate.bars.bars import Bars
from tidegate.bars.interval import DAY_MS
from tidegate.gates.evaluation import Evidence, Measurement
from tidegate.gates.result import Verdict
from tidegate.pipeline.fold import Fold
from tidegate.statistics.bootstrap import Interval, block_length, interval_of, metric_intervals, resamples, times_drawn
from tidegate.statistics.costs import capacity
from tidegate.statistics.overfitting import probability_of_overfitting
from tidegate.statistics.paired import sharpe_difference
from tidegate.statistics.proportions import break_even_win_rate, wilson_interval
from tidegate.statistics.sharpe import deflated_sharpe, minimum_track_record, power, skill_p_value
from tidegate.statistics.spending import Allowance
from tidegate.statistics.superior import superior_ability
from tidegate.strategy.gates import Gates
from tidegate.strategy.strategy import Strategy

STRESS = 1.5
"""Multiple of the costs at which the gate cost_stress looks."""
DRAWS_ASIDE = 400
"""Resamples of intervals that nothing is decided by."""
_DRAWS = 1000
_LEVEL = 0.95
_POWER_AT = 2.0


def measure_chance(
    strategy: Strategy,
    folds: tuple[Fold, ...],
    whole: Backtest,
    metrics: Mapping[str, float],
    stress: Mapping[float, Mapping[str, float]],
    intervals: Mapping[str, Interval],
) -> dict[str, Measurement]:
    """Measurements by gate name, of all statistical gates that need neither a ledger, a champion nor another training.

    Args:
        strategy: costs, capital and periods.
        folds: oldest first.
        whole: all folds' out-of-sample series.
        metrics: of `whole`.
        stress: metrics of `whole` at multiples of its costs.
        intervals: of the metrics of `whole`, by the stationary bootstrap.
    """
    n, trades = len(whole), len(whole.trades)
    known = _record(whole, metrics)
    needed = minimum_track_record(whole.net_return, strategy.periods_per_year) if trades else math.nan
    sharpe = intervals["sharpe"]
    return {
        "skill": Measurement(
            skill_p_value(whole.net_return, strategy.periods_per_year) if trades else math.nan,
            n=n,
            standard_error=metrics["sharpe_standard_error"],
            evidence=known,
        ),
        "track_record": Measurement(
            # An endless record would be needed where there is no profit: what there is of it is nothing.
            0.0 if math.isinf(needed) else n / needed,
            n=n,
            evidence=known | {"needed_days": plain(needed * known_days(whole) / n if n else math.nan)},
        ),
        "sharpe_lower": Measurement(
            sharpe.low, n=n, evidence=known | {"sharpe_high": plain(sharpe.high), "block": plain(sharpe.block)}
        ),
        "win_rate_lower": _win_rate_lower(whole, metrics),
        "overfitting": overfitting(folds),
        "cost_stress": Measurement(
            stress[STRESS]["sharpe"],
            n=n,
            interval=ends(_stressed_intervals(strategy, whole)["sharpe"]),
            evidence={"cost_multiple": STRESS, "break_even_multiple": plain(metrics["break_even_cost_multiple"])},
        ),
        "break_even_cost": Measurement(
            metrics["break_even_cost_multiple"],
            n=trades,
            interval=ratio_interval(whole.trades.gross_pnl, whole.trades.cost, strategy.model.seed),
            evidence={"mean_cost_bps": plain(metrics["mean_cost_bps"])},
        ),
        "capacity": _capacity(strategy, folds, whole),
        "superior": _superior(folds[-1], strategy.model.seed),
    }


def beats_random_entries(baseline: RandomBaseline | None) -> Measurement:
    """Share of the random strategies with a lower Sharpe ratio."""
    if baseline is None:
        return Measurement(None, reason="no trades to compare with")
    return Measurement(baseline.sharpe_percentile, n=len(baseline.sharpe))


def skill(measured: Measurement, allowed: Allowance, own: Gates, policy: Gates) -> Measurement:
    """The test for skill at the level that a policy's error budget leaves to this look.

    Another policy than the strategy's own would have had the same share of its own schedule left.

    Args:
        measured: p-value and standard error.
        allowed: what the ledger of looks has granted under `own`.
        own: the strategy's gates.
        policy: the gates to judge by.
    """
    share = min(1.0, allowed.level * own.looks_per_year / own.yearly_error)
    level = allowed.level if policy == own else share * policy.yearly_error / policy.looks_per_year
    error = measured.standard_error if measured.standard_error is not None else math.nan
    evidence: Evidence = {
        **measured.evidence,
        "level": level,
        "yearly_error": policy.yearly_error,
        "spent_by_other_looks": allowed.charged,
        "budget_returns_at": allowed.returns_at,
    }
    empty = level <= 0
    return Measurement(
        measured.value,
        n=measured.n,
        standard_error=measured.standard_error,
        ruling=Verdict.FAIL if empty else None,
        reason="the year's error budget is spent by other looks (gates.yearly_error)" if empty else "",
        evidence=evidence,
        bound=level,
        power=power(_POWER_AT, error, level),
    )


def deflated(
    whole: Backtest, ratios: Mapping[str, float], strategy: Strategy, error: float, trial_bars: float
) -> Measurement:
    """The Sharpe ratio against the luck of every trial that was ever made.

    The theorem behind it takes trials of the record's own length. Those of the ledger were tried on the shorter validation blocks of a
    training window, where luck spreads ratios wider; without skill by the root of the lengths' ratio, and by that they are brought here.

    Args:
        whole: all folds' out-of-sample series.
        ratios: annual Sharpe ratio by the trial's id, of all runs of the strategy; NaN where one has none.
        strategy: for its periods.
        error: standard error of the annual ratio.
        trial_bars: bars that a trial was tried on.
    """
    year = math.sqrt(strategy.periods_per_year)
    shrink = math.sqrt(trial_bars / len(whole)) if len(whole) else math.nan
    tried = np.array([ratios[name] for name in sorted(ratios)], np.float64) * shrink / year
    found = deflated_sharpe(whole.net_return, tried)
    evidence = {
        "trials": found.trials,
        "trial_bars": plain(trial_bars),
        "benchmark_sharpe": plain(found.benchmark * year),
        "spread_of_trials": plain(math.sqrt(found.variance) * year if found.variance >= 0 else math.nan),
        "standard_error": plain(error),
    }
    return Measurement(found.probability if len(whole.trades) else math.nan, n=found.trials, evidence=evidence)


def bars_of_trials(folds: tuple[Fold, ...]) -> float:
    """Median number of bars that a trial was tried on, of those that have any; NaN for none."""
    counts = [len(trial.closed_at) for fold in folds for trial in fold.trials if len(trial.closed_at)]
    return float(np.median(counts)) if counts else math.nan


def overfitting(folds: tuple[Fold, ...]) -> Measurement:
    """Mean over the folds of the probability that the trial which was best in one half of the tuning blocks is a worse one in the other."""
    found = [probability_of_overfitting(_trial_returns(fold)) for fold in folds]
    trials = sum(each.trials for each in found)
    values = np.array([each.probability for each in found])
    return Measurement(float(values.mean()), n=trials, evidence={"highest_of_a_fold": plain(float(values.max()))})


def beats_champion(own: Backtest, theirs: Backtest, strategy: Strategy) -> Measurement:
    """One-sided p-value of the challenger's Sharpe ratio being no higher than the champion's, paired bar by bar.

    A champion that did not trade has a ratio of nothing, and the challenger's is then tested by itself.
    """
    periods = strategy.periods_per_year
    if len(own.trades) and not len(theirs.trades):
        return Measurement(
            skill_p_value(own.net_return, periods), n=len(own), reason="the champion did not trade", evidence={}
        )
    found = sharpe_difference(own.net_return, theirs.net_return, periods, seed=strategy.model.seed, draws=_DRAWS)
    one_sided = found.p_value / 2 if found.difference > 0 else 1 - found.p_value / 2
    evidence = {
        "difference": plain(found.difference),
        "standard_error": plain(found.standard_error),
        "difference_low": plain(found.low),
        "difference_high": plain(found.high),
    }
    return Measurement(one_sided, n=found.n, evidence=evidence)


def ratio_interval(above: Floats, below: Floats, seed: int) -> tuple[float, float] | None:
    """95 % stationary-bootstrap interval of the ratio of two sums over the same trades, in time order.

    A draw without a finite ratio counts for the lowest and for the highest.

    Returns:
        None for no trades.
    """
    n = len(above)
    if not n:
        return None
    block = max(block_length(above), block_length(below))
    if not math.isfinite(block):
        return None
    both = np.stack((above, below), axis=1)
    drawn = [times_drawn(rows, n) @ both for rows in resamples(n, block, _DRAWS, np.random.default_rng(seed))]
    upper, lower = np.concatenate(drawn).T
    found = interval_of(np.divide(upper, lower, out=np.full(len(upper), math.nan), where=lower > 0), _LEVEL, block)
    return (found.low, found.high)


def ends(interval: Interval) -> tuple[float, float]:
    """An interval's ends."""
    return (interval.low, interval.high)


def known_days(whole: Backtest) -> float:
    """Days of market time in a series."""
    return float(np.sum(whole.closed_at - whole.opened_at)) / DAY_MS


def tested_bars(folds: tuple[Fold, ...]) -> dict[str, Bars]:
    """Each symbol's bars of all test windows."""
    return {symbol: Bars.concatenate([fold.tested[symbol].bars for fold in folds]) for symbol in folds[0].tested}


def plain(value: float | None) -> float | None:
    """A number for the record: None where it is missing, NaN or infinite."""
    return float(value) if value is not None and math.isfinite(value) else None


def _record(whole: Backtest, metrics: Mapping[str, float]) -> dict[str, float | int | str | None]:
    return {
        "sharpe": plain(metrics["sharpe"]),
        "standard_error": plain(metrics["sharpe_standard_error"]),
        "days": known_days(whole),
    }


def _win_rate_lower(whole: Backtest, metrics: Mapping[str, float]) -> Measurement:
    trades, wins = len(whole.trades), int(np.sum(whole.trades.net_pnl > 0))
    even = break_even_win_rate(metrics["payoff_ratio"])
    low, _ = wilson_interval(wins, trades)
    evidence = {"wins": wins, "break_even": plain(even), "lower_end": plain(low)}
    return Measurement(low - even, n=trades, evidence=evidence)


def _stressed_intervals(strategy: Strategy, whole: Backtest) -> dict[str, Interval]:
    stressed = replace(whole, net_return=stressed_returns(whole, STRESS))
    return metric_intervals(stressed, strategy.periods_per_year, seed=strategy.model.seed, draws=DRAWS_ASIDE)


def _capacity(strategy: Strategy, folds: tuple[Fold, ...], whole: Backtest) -> Measurement:
    coefficient = max(strategy.costs.impact_coefficient, 1.0)
    found = capacity(
        tested_bars(folds), whole, strategy.costs, strategy.periods_per_year, impact_coefficient=coefficient
    )
    evidence = {
        "capacity": plain(found.capital),
        "best_capital": plain(found.best_capital),
        "best_annual_profit": plain(found.best_annual_profit),
        "impact_coefficient": coefficient,
    }
    unknown = "no trades, or no volume to compute market impact from" if math.isnan(found.capital) else ""
    value = None if unknown else found.capital / strategy.capital
    return Measurement(value, n=len(whole.trades), reason=unknown, evidence=evidence)


def _superior(newest: Fold, seed: int) -> Measurement:
    returns = _trial_returns(newest)
    found = superior_ability(np.zeros(len(returns)), returns, seed=seed, draws=_DRAWS)
    evidence = {"lower": plain(found.lower), "upper": plain(found.upper), "trials": found.k}
    return Measurement(found.consistent, n=found.n, evidence=evidence)


def _trial_returns(fold: Fold) -> Floats:
    """(n, k) net returns of the fold's k trials over the same n bars; trials without returns of those bars are left out."""
    times = fold.trials[0].closed_at
    same = [trial.net_return for trial in fold.trials if np.array_equal(trial.closed_at, times)]
    return np.stack(same, axis=1)
