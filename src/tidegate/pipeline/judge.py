"""From tested folds to a bundle, its measurements and the gates' decision."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tidegate.backtest.baselines import RandomBaseline, random_entries
from tidegate.backtest.costs import STRESS_MULTIPLIERS
from tidegate.backtest.metrics import summarise
from tidegate.backtest.regimes import by_regime
from tidegate.backtest.result import Backtest
from tidegate.bars.bars import Bars
from tidegate.dataset.dataset import Dataset
from tidegate.durable import write_whole
from tidegate.gates.evaluation import Measurement
from tidegate.gates.result import Decision
from tidegate.gates.verdicts import decide_by
from tidegate.model.bundle import DECISION, Bundle
from tidegate.pipeline.checks import CheckSettings, check
from tidegate.pipeline.contest import Champion, Contest, hold_contest
from tidegate.pipeline.data import Gathered, Prepared
from tidegate.pipeline.evidence import (
    bars_of_trials,
    beats_random_entries,
    deflated,
    measure_chance,
    skill,
    tested_bars,
)
from tidegate.pipeline.fold import Fold, pooled
from tidegate.pipeline.job import Job
from tidegate.pipeline.looking import look_key, reserve_look
from tidegate.pipeline.packing import pack
from tidegate.pipeline.permuted import permuted_labels
from tidegate.pipeline.points import measure_points
from tidegate.pipeline.trials import trial_id
from tidegate.registry.database import Database
from tidegate.registry.looks import LookLedger
from tidegate.registry.trials import TrialLedger
from tidegate.report.record import CalibrationCurve
from tidegate.statistics.bootstrap import metric_intervals
from tidegate.statistics.costs import cost_stress
from tidegate.strategy.gates import Gates
from tidegate.strategy.strategy import Strategy

_CURVE_BINS = 10
_BASELINE_DRAWS = 200


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """Everything that is known of a run before anybody asks what else was promoted, tried or looked at.

    It depends on the run's own bars, configuration and folds alone, so that months can be measured side by side.

    Attributes:
        bundle: the newest fold's model, as written to the run's folder.
        bars: one series a symbol, up to the newest test window's end: what the contest is held on.
        pooled: all folds' out-of-sample series.
        metrics: of `pooled`.
        regimes: metrics by regime.
        stress: Sharpe and total return at multiples of the costs.
        baseline: random entries; None without trades.
        curve: out-of-sample calibration.
        trials: annual Sharpe ratio by the trial's id, of all trials of this run; NaN where one has none.
        measurements: by gate name, of every gate that needs neither a champion nor a ledger; the one of `skill` is still without the
            level that it is tested at, that of `deflated_sharpe` without the trials of other runs.
        look: what the look at these results is called in the ledger of looks.
    """

    bundle: Bundle
    bars: tuple[Bars, ...]
    pooled: Backtest
    metrics: Mapping[str, float]
    regimes: Mapping[str, Mapping[str, float]]
    stress: Mapping[float, Mapping[str, float]]
    baseline: RandomBaseline | None
    curve: CalibrationCurve
    trials: Mapping[str, float]
    measurements: Mapping[str, Measurement]
    look: str


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """Everything that is known before the model registry is touched.

    Attributes:
        measured: the run by itself.
        contest: against the champion.
        decision: of the gates.
    """

    measured: Measured
    contest: Contest
    decision: Decision

    @property
    def bundle(self) -> Bundle:
        """The newest fold's model."""
        return self.measured.bundle

    @property
    def pooled(self) -> Backtest:
        """All folds' out-of-sample series."""
        return self.measured.pooled

    @property
    def metrics(self) -> Mapping[str, float]:
        """Of `pooled`."""
        return self.measured.metrics

    @property
    def regimes(self) -> Mapping[str, Mapping[str, float]]:
        """Metrics by regime."""
        return self.measured.regimes


def judge(
    job: Job, gathered: Gathered, prepared: Prepared, folds: tuple[Fold, ...], champion: Champion | None
) -> Judged:
    """Measure the run and decide about it, with the installation's ledgers.

    Args:
        job: what was asked.
        gathered: bars, with what validation found.
        prepared: features and labels.
        folds: trained and tested, oldest first.
        champion: the model in production, None for the first.
    Raises:
        LedgerError: the ledger cannot be reached.
    """
    measured = measure_run(job, gathered, prepared, folds)
    database = Database.from_settings(job.settings)
    tried = TrialLedger(database).scores(job.strategy.name)
    return decide_run(job, measured, champion, LookLedger(database), tried)


def measure_run(
    job: Job, gathered: Gathered, prepared: Prepared, folds: tuple[Fold, ...], *, permutations: int | None = None
) -> Measured:
    """Pack the bundle, check it, and measure all that needs no champion and no ledger.

    Writes the bundle into the run's folder, and nothing else anywhere.

    Args:
        job: what was asked.
        gathered: bars, with what validation found.
        prepared: features and labels.
        folds: trained and tested, oldest first.
        permutations: models to train on permuted labels; by default what the strategy's gates ask for.
    """
    strategy, dataset, compute = job.strategy, prepared.dataset, job.settings.compute
    with job.watch.stage("checks"):
        whole = pooled(folds)
        bundle = pack(job, gathered, dataset, folds, whole, job.folder / "bundle")
        how = CheckSettings(strategy.model.seed, compute.threads, compute.parallel_folds, compute.latency_samples)
        checks = check(dataset, folds, bundle, strategy, how)
    with job.watch.stage("gates"):
        metrics = summarise(whole, strategy.periods_per_year)
        regimes = by_regime(whole, strategy.periods_per_year)
        stress, baseline = _stress(whole, strategy), _baseline(folds, whole, strategy)
        intervals = metric_intervals(whole, strategy.periods_per_year, seed=strategy.model.seed)
        permuted = permuted_labels(
            dataset,
            folds[-1],
            strategy,
            strategy.gates.permutations if permutations is None else permutations,
            threads=compute.threads,
            workers=compute.parallel_folds,
        )
        trials = {trial_id(job, fold.windows, trial): trial.score for fold in folds for trial in fold.trials}
        error, tried_on = metrics["sharpe_standard_error"], bars_of_trials(folds)
        return Measured(
            bundle=bundle,
            bars=tuple(table.bars.until(folds[-1].windows.test.end_at) for table in dataset.tables),
            pooled=whole,
            metrics=metrics,
            regimes=regimes,
            stress=stress,
            baseline=baseline,
            curve=calibration_curve(dataset, folds),
            trials=trials,
            measurements=measure_points(strategy, gathered, dataset, folds, metrics, regimes, intervals)
            | measure_chance(strategy, folds, whole, metrics, stress, intervals)
            | {
                "random_entries": beats_random_entries(baseline),
                "permuted_labels": permuted,
                "deflated_sharpe": deflated(whole, trials, strategy, error, tried_on),
            }
            | checks,
            look=look_key(job, gathered, prepared),
        )


def decide_run(
    job: Job, measured: Measured, champion: Champion | None, looks: LookLedger, tried: Mapping[str, float]
) -> Judged:
    """Hold the contest, take this look's share of the error budget, and let the gates decide.

    Writes the decision beside the bundle. The look is on record before anything is decided: whoever has looked has spent.

    Args:
        job: what was asked.
        measured: the run by itself.
        champion: the model in production, None for the first.
        looks: the ledger of looks, of the installation or of a replay's path.
        tried: annual Sharpe ratio by the trial's id, of the strategy's earlier runs; this run's may be among them.
    Raises:
        LedgerError: the ledger of looks cannot be reached.
    """
    strategy, own = job.strategy, job.strategy.gates
    with job.watch.stage("gates"):
        allowed = reserve_look(job, measured.look, looks)
        contest = hold_contest(measured.bars, measured.bundle, champion, strategy)
        found = {
            **measured.measurements,
            "champion": contest.measurement,
            "champion_difference": contest.difference,
            "deflated_sharpe": _deflated_by_all(measured, tried, strategy),
        }

        def under(policy: Gates) -> Mapping[str, Measurement]:
            return found | {"skill": skill(found["skill"], allowed, own, policy)}

        decision = decide_by(strategy.name, measured.bundle.digest, under, own, job.policies)
        p_value = found["skill"].value
        looks.record_outcome(
            strategy.name, measured.look, p_value=math.nan if p_value is None else p_value, promote=decision.promote
        )
        write_whole(job.folder / "bundle" / DECISION, decision.model_dump_json(indent=1) + "\n")
        return Judged(measured, contest, decision)


def _deflated_by_all(measured: Measured, tried: Mapping[str, float], strategy: Strategy) -> Measurement:
    """The deflated ratio with the trials of all runs; this run's count once."""
    bars = measured.measurements["deflated_sharpe"].evidence["trial_bars"]
    trial_bars = float(bars) if isinstance(bars, int | float) else math.nan
    error = measured.metrics["sharpe_standard_error"]
    return deflated(measured.pooled, {**tried, **measured.trials}, strategy, error, trial_bars)


def calibration_curve(dataset: Dataset, folds: tuple[Fold, ...]) -> CalibrationCurve:
    """Out-of-sample probabilities of all folds against what became of the entries, in bins of equal counts."""
    forecasts, outcomes = [], []
    for fold in folds:
        for at, table in enumerate(dataset.tables):
            rows = dataset.rows_within(at, fold.windows.test)
            forecasts.append(fold.tested[table.bars.symbol].probability)
            outcomes.append(table.labels.won[rows])
    forecast, outcome = np.concatenate(forecasts), np.concatenate(outcomes)
    known = np.isfinite(forecast) & np.isfinite(outcome)
    forecast, outcome = forecast[known], outcome[known]
    order = np.argsort(forecast, kind="stable")
    bins = [part for part in np.array_split(order, _CURVE_BINS) if len(part)]
    return CalibrationCurve(
        forecast=np.array([forecast[part].mean() for part in bins]),
        observed=np.array([outcome[part].mean() for part in bins]),
        count=np.array([float(len(part)) for part in bins]),
    )


def _stress(whole: Backtest, strategy: Strategy) -> dict[float, dict[str, float]]:
    found = cost_stress(whole, STRESS_MULTIPLIERS, strategy.periods_per_year)
    return {each.multiple: {"sharpe": each.sharpe, "total_return": each.total_return} for each in found}


def _baseline(folds: tuple[Fold, ...], whole: Backtest, strategy: Strategy) -> RandomBaseline | None:
    if not len(whole.trades):
        return None
    return random_entries(
        tested_bars(folds),
        whole,
        strategy.costs,
        strategy.periods_per_year,
        seed=strategy.model.seed,
        draws=_BASELINE_DRAWS,
    )
