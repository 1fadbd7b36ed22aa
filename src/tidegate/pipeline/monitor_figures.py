"""All figures of a monitoring run, from the log, the bars and the bundles: same input, same bits."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tidegate.backtest.positions import decide
from tidegate.backtest.result import Floats, Times
from tidegate.backtest.vectorbt_engine import run
from tidegate.bars.bars import Bars
from tidegate.bars.interval import DAY_MS
from tidegate.dataset.dataset import assemble
from tidegate.errors import FiguresRefused, NotEnoughHistory
from tidegate.features.features import from_specs
from tidegate.model.bundle import Bundle
from tidegate.model.onnx_model import OnnxModel
from tidegate.monitoring import sequential
from tidegate.monitoring.calibration import known_labels
from tidegate.monitoring.drift import DriftSample, drift
from tidegate.monitoring.importance import importance_change
from tidegate.monitoring.live import live_figures
from tidegate.monitoring.predictions import NO_VERSION, Predictions
from tidegate.monitoring.reconciliation import recompute
from tidegate.monitoring.result import Drift, ImportanceChange, LiveFigures, Sequential, VersionFigures
from tidegate.pipeline.monitor_job import MonitorJob
from tidegate.pipeline.monitor_sources import Production, fills_of, read_log
from tidegate.strategy.strategy import Strategy

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Figures:
    """What was computed; None stands for what could not be.

    Attributes:
        live: of the window.
        own: of the version in production, within the window.
        since: of the version in production, all its trades since it entered production on bars that it had not seen before.
        sharpe_window: likewise within the last `rollback.sharpe_window_days`.
        sequential: the test on `since`.
        drift: reference against the last days.
        importance: the version against the one before.
    """

    live: LiveFigures
    own: VersionFigures | None
    since: VersionFigures | None
    sharpe_window: VersionFigures | None
    sequential: Sequential | None
    drift: Drift | None
    importance: ImportanceChange | None


def compute(
    job: MonitorJob,
    predictions: Predictions,
    bars: Mapping[str, Bars],
    bundles: Mapping[int, Bundle],
    production: Production,
) -> Figures:
    """Compute them.

    Args:
        job: the run.
        predictions: of the window.
        bars: by symbol, up to the run's time.
        bundles: by version, verified.
        production: what is in production.
    Raises:
        FiguresRefused: the log, the bars and the bundles contradict each other.
    """
    start = predictions.window_start_at
    live = live_figures(
        predictions, bars, bundles, job.strategy, window_start_at=start, as_of=job.as_of, fills=fills_of(job, start)
    )
    version = production.version
    bundle = None if version is None else bundles.get(version)
    if version is None or bundle is None:
        return Figures(live, _of(live, version), None, None, None, None, None)
    entered = _entered(job, version, bundle, production)
    since = _since(job, bars, bundles, version, entered, live)
    ratio_start = max(entered, job.as_of - job.strategy.rollback.sharpe_window_days * DAY_MS)
    return Figures(
        live=live,
        own=_of(live, version),
        since=since,
        sharpe_window=since if ratio_start == entered else _since(job, bars, bundles, version, ratio_start, live),
        sequential=_sequential(job, version, bars, bundle, since),
        drift=_drift(job, predictions, bars, version, bundle),
        importance=_importance(version, production.before, bundles),
    )


def _of(live: LiveFigures | None, version: int | None) -> VersionFigures | None:
    return None if live is None else next((each for each in live.production if each.version == version), None)


def _entered(job: MonitorJob, version: int, bundle: Bundle, production: Production) -> int:
    """From when on the version's trades count: UTC ms of the market's time.

    Bars that took part in its training or judgement prove nothing about it, and a version that was brought back begins anew. Where the
    service's clock is not that of the market, the answers themselves tell by the time of asking which of them came since.
    """
    seen, entered_at = bundle.manifest.last_seen_at, production.entered_at
    if entered_at is None:
        return seen
    if job.by_clock:
        # Brought back after `as_of`: all that it did until then belongs to an earlier stint, for which it was judged already.
        return max(seen, min(entered_at, job.as_of))
    predictions = read_log(job, seen) if seen < job.as_of else None
    if predictions is None:
        return seen
    mine = predictions.of(version) & (predictions.received_at >= entered_at)
    if not mine.any():
        return job.as_of
    return max(seen, int(predictions.closed_at[mine].min()) - job.strategy.bar.milliseconds)


def _since(
    job: MonitorJob,
    bars: Mapping[str, Bars],
    bundles: Mapping[int, Bundle],
    version: int,
    start: int,
    live: LiveFigures,
) -> VersionFigures | None:
    if start == live.window_start_at:
        return _of(live, version)
    if start >= job.as_of:
        return None
    predictions = read_log(job, start)
    if predictions is None:
        return None
    found = live_figures(predictions, bars, bundles, job.strategy, window_start_at=start, as_of=job.as_of)
    return _of(found, version)


def _sequential(
    job: MonitorJob, version: int, bars: Mapping[str, Bars], bundle: Bundle, since: VersionFigures | None
) -> Sequential:
    strategy = job.strategy
    days = strategy.periods_per_year * strategy.bar.milliseconds / DAY_MS
    design = sequential.design(
        bundle.manifest.out_of_sample,
        strategy.monitor.yearly_false_alarms,
        days_per_year=days,
        dispersion=dispersion_of(strategy, bars, bundle),
    )
    return sequential.test(design, version, np.empty(0) if since is None else since.trade_won)


def dispersion_of(strategy: Strategy, bars: Mapping[str, Bars], bundle: Bundle) -> float:
    """How far trades win and lose together, from the model's own test window run again on the stored bars; NaN where that is not to be had.

    One symbol holds one position at a time, and counts as independent.
    """
    window = bundle.manifest.windows[-1].test
    if len(strategy.symbols) == 1:
        return 1.0
    won, exits = [], []
    for symbol in strategy.symbols:
        part = bars[symbol].between(window.start_at, window.end_at)
        if not len(part):
            return float("nan")
        target = decide(recompute(bars[symbol], part, bundle), part.close, part.open, bundle.manifest.policy)
        tested = run(
            part, target, strategy.costs, strategy.capital / len(strategy.symbols), np.zeros(len(part), np.int8)
        )
        closed = tested.trades.take(~tested.trades.forced_exit)
        won.append(closed.net_pnl > 0)
        exits.append(closed.exit_at)
    return sequential.dispersion(np.concatenate(won), np.concatenate(exits))


def _drift(job: MonitorJob, predictions: Predictions, bars: Mapping[str, Bars], version: int, bundle: Bundle) -> Drift:
    """The version's rows of the last days against the rows it was trained and tested on."""
    strategy = job.strategy
    start = job.as_of - strategy.monitor.drift_days * DAY_MS
    if start < predictions.window_start_at:
        predictions = read_log(job, start) or predictions
    current = _current(job, predictions, bars, version, bundle, start)
    if current is None:
        return Drift(version, (), start, job.as_of, "no answer of this version with features in the last days")
    try:
        reference = _reference(job, bars, bundle)
    except NotEnoughHistory as error:
        return Drift(version, (), start, job.as_of, f"the bars of its training are not in the store: {error}")
    return drift(
        version,
        reference,
        current,
        false_discovery_rate=strategy.monitor.drift_false_discovery_rate,
        effect=strategy.monitor.drift_effect,
        seed=bundle.manifest.seed,
    )


def _current(
    job: MonitorJob, predictions: Predictions, bars: Mapping[str, Bars], version: int, bundle: Bundle, start: int
) -> DriftSample | None:
    names = tuple(spec.name for spec in bundle.manifest.features)
    chosen = predictions.of(version) & (predictions.closed_at > start) & np.isfinite(predictions.probability)
    if not chosen.any():
        return None
    features = predictions.features_of(chosen)
    if features.shape[1] != len(names):
        raise FiguresRefused(
            f"rows of v{version} hold another number of features than its manifest",
            expected=len(names),
            actual=features.shape[1],
        )
    closed_at = predictions.closed_at[chosen]
    label = np.full(len(closed_at), np.nan)
    for at, symbol in enumerate(predictions.symbols):
        mine = predictions.symbol[chosen] == at
        if symbol in bars and mine.any():
            label[mine] = known_labels(bars[symbol].until(job.as_of), closed_at[mine], job.strategy)
    return DriftSample(names, features, predictions.probability[chosen], label, closed_at)


def _reference(job: MonitorJob, bars: Mapping[str, Bars], bundle: Bundle) -> DriftSample:
    """Rows of all bars that the version knows, training and test window, features recomputed by the manifest's own list."""
    features = from_specs(bundle.manifest.features)
    dataset = assemble([bars[symbol] for symbol in job.strategy.symbols], features, job.strategy)
    model = OnnxModel(bundle.onnx, len(features.names))
    windows = bundle.manifest.windows[-1]
    parts: list[tuple[Floats, Floats, Floats, Times]] = []
    for table in dataset.tables:
        closed_at = table.bars.closed_at
        rows = np.flatnonzero((closed_at > windows.train.start_at) & (closed_at <= windows.test.end_at) & table.usable)
        matrix = table.features[rows]
        probability = model.probability(matrix) if len(rows) else np.empty(0)
        known = table.labels.known()[rows]
        label = np.where(known, table.labels.won[rows].astype(np.float64), np.nan)
        parts.append((matrix, np.asarray(probability, np.float64), label, closed_at[rows]))
    matrices, probabilities, labels, times = zip(*parts, strict=True)
    return DriftSample(
        features.names,
        np.concatenate(matrices),
        np.concatenate(probabilities),
        np.concatenate(labels),
        np.concatenate(times),
    )


def _importance(version: int, before: int | None, bundles: Mapping[int, Bundle]) -> ImportanceChange | None:
    if before is None or before not in bundles:
        return None
    try:
        return importance_change(
            version, before, bundles[version].manifest.importance, bundles[before].manifest.importance
        )
    except FiguresRefused as error:
        log.warning("the importance of v%s and v%s cannot be compared: %s", version, before, error)
        return None


def versions_in(predictions: Predictions) -> set[int]:
    """Versions that answered within the window."""
    return {int(version) for version in np.unique(predictions.version).tolist() if version != NO_VERSION}
