"""Checks of the newest fold's model: is it what it claims to be, and does it look into the future?"""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tidegate.backtest.comparison import difference
from tidegate.backtest.positions import decide
from tidegate.backtest.reference import run as run_reference
from tidegate.backtest.regimes import classify
from tidegate.bars.bars import Bars, Floats
from tidegate.dataset.dataset import Dataset, SymbolTable
from tidegate.gates.evaluation import Measurement
from tidegate.gates.result import Verdict
from tidegate.labels.labels import label, minimum_bars
from tidegate.labels.own import gain_again
from tidegate.labels.reference import gain_of_row
from tidegate.model.bundle import Bundle
from tidegate.model.export import to_onnx
from tidegate.model.training import apply_calibration, fit, margins
from tidegate.pipeline.fold import Fold
from tidegate.serving.predictor import Predictor
from tidegate.strategy.strategy import Strategy

_PARITY_WINDOWS = 100
_CUTS = 3
_ROWS_BEFORE_CUT = 64
_LABEL_ROWS = 200
_LATENCY_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class CheckSettings:
    """How much is checked."""

    seed: int
    threads: int
    workers: int
    latency_samples: int


def check(
    dataset: Dataset, folds: tuple[Fold, ...], bundle: Bundle, strategy: Strategy, how: CheckSettings
) -> dict[str, Measurement]:
    """All checks, by gate name.

    A check that cannot be carried out does not pass: the exception is the error of the run.
    """
    newest = folds[-1]
    predictor = Predictor(bundle)
    return {
        "onnx_parity": onnx_parity(bundle, newest, how.threads),
        "serving_parity": serving_parity(predictor, dataset, newest, how.seed),
        "reproducible": reproducible(dataset, newest, strategy, how.threads, how.workers),
        "no_look_ahead": no_look_ahead(dataset, newest, strategy, how.seed),
        "engines_agree": engines_agree(folds, strategy),
        "latency_p95_ms": latency(predictor, dataset, newest, how.latency_samples),
    }


def onnx_parity(bundle: Bundle, fold: Fold, threads: int) -> Measurement:
    """Largest difference between the bundle's ONNX graph and the bundle's booster with its calibration, over the training rows."""
    from tidegate.model.onnx_model import OnnxModel

    exported = OnnxModel(bundle.onnx, fold.rows.x.shape[1]).probability(fold.rows.x.astype(np.float64))
    native = apply_calibration(margins(bundle.ubj, fold.rows.x, threads), bundle.manifest.calibration)
    return Measurement(float(np.abs(exported - native).max()), n=len(native))


def serving_parity(predictor: Predictor, dataset: Dataset, fold: Fold, seed: int) -> Measurement:
    """Largest difference between what the serving path answers for a window and what the backtest used for that bar.

    A feature that differs fails whatever the probability, since a model that does not look at it today may do so next month.
    """
    rng = np.random.default_rng(seed)
    worst, count = 0.0, 0
    differing: set[str] = set()
    lookback = predictor.bundle.manifest.lookback
    for at, table in enumerate(dataset.tables):
        rows = dataset.rows_within(at, fold.windows.test)
        tested = fold.tested[table.bars.symbol]
        known = np.flatnonzero(np.isfinite(tested.probability) & (np.arange(rows.start, rows.stop) >= lookback - 1))
        for offset in rng.permutation(known)[:_PARITY_WINDOWS]:
            row = rows.start + int(offset)
            window = table.bars.take(slice(row - lookback + 1, row + 1))
            answer = predictor.predict(window, int(window.closed_at[-1]))
            worst = max(worst, abs(answer.probability - float(tested.probability[offset])))
            differing |= {
                dataset.features.names[column] for column in np.flatnonzero(answer.features != table.features[row])
            }
            count += 1
    if differing:
        named = ", ".join(sorted(differing))
        reason = (
            f"features differ between a window of {lookback} bars and the whole series: {named} (features.lookback)"
        )
        return Measurement(worst, n=count, ruling=Verdict.FAIL, reason=reason)
    return Measurement(worst if count else None, n=count, reason="no window of the test could be replayed")


def reproducible(dataset: Dataset, fold: Fold, strategy: Strategy, threads: int, workers: int) -> Measurement:
    """Train the newest fold once more, from its rows on, and count the files that differ."""
    embargo_ms = strategy.windows.embargo_bars * strategy.bar.milliseconds
    rows = dataset.training_rows(fold.windows.train)
    again = fit(rows, dataset.features.names, strategy.model, embargo_ms, threads, workers=workers)
    onnx = to_onnx(again.ubj, again.calibration, len(dataset.features.names))
    differing = [
        name
        for name, same in (("model.ubj", again.ubj == fold.fitted.ubj), ("model.onnx", onnx == fold.onnx))
        if not same
    ]
    return Measurement(float(len(differing)), n=2, evidence={"differing": ", ".join(differing) or None})


def engines_agree(folds: tuple[Fold, ...], strategy: Strategy) -> Measurement:
    """Largest relative difference between vectorbt and the reference ledger over all folds and symbols."""
    worst, count = 0.0, 0
    for fold in folds:
        for tested in fold.tested.values():
            reference = run_reference(
                tested.bars, tested.target, strategy.costs, strategy.capital / len(fold.tested), tested.regime
            )
            worst = max(worst, difference(tested.backtest, reference))
            count += len(tested.bars)
    return Measurement(worst, n=count)


def no_look_ahead(dataset: Dataset, fold: Fold, strategy: Strategy, seed: int) -> Measurement:
    """Cut the future off at several bars and count what changes before the cut.

    Features, regimes and positions of the last bars before each cut must be the same bits with and without the future. Labels that are
    known before the cut must be the same, and must equal what a second, slow judgement finds that sees nothing but later bars: a label
    shifted into the past fails there.
    """
    rng = np.random.default_rng(seed)
    counts = {"features": 0, "regimes": 0, "positions": 0, "labels": 0, "shifted_labels": 0}
    checked = 0
    for at, table in enumerate(dataset.tables):
        rows = dataset.rows_within(at, fold.windows.test)
        if rows.stop - rows.start <= _ROWS_BEFORE_CUT:
            continue
        for cut in rng.integers(rows.start + _ROWS_BEFORE_CUT, rows.stop, _CUTS):
            found = _changed_before(dataset, table, fold, strategy, rows.start, int(cut))
            counts = {name: counts[name] + found.get(name, 0) for name in counts}
            checked += 1
        counts["shifted_labels"] += _shifted_labels(table, strategy, rng)
    evidence: Mapping[str, float | int | str | None] = {**counts}
    if not checked:
        return Measurement(None, ruling=Verdict.FAIL, reason="no bar to cut at", evidence=evidence)
    return Measurement(float(sum(counts.values())), n=checked, evidence=evidence)


def _changed_before(
    dataset: Dataset, table: SymbolTable, fold: Fold, strategy: Strategy, start: int, cut: int
) -> dict[str, int]:
    past = table.bars.take(slice(0, cut))
    recent = slice(cut - _ROWS_BEFORE_CUT, cut)
    features = dataset.features.matrix(past)[recent]
    regime = classify(past, fold.regimes[table.bars.symbol])[recent]
    tested = fold.tested[table.bars.symbol]
    before = slice(0, cut - start)
    bars = tested.bars.take(before)
    target = decide(tested.probability[before], bars.close, bars.open, fold.policy)
    return {
        "features": _differing(features, table.features[recent]),
        "regimes": int((regime != tested.regime[cut - start - _ROWS_BEFORE_CUT : cut - start]).sum()),
        "positions": int((target != tested.target[before]).sum()),
        "labels": _changed_labels(past, table, strategy),
    }


def _changed_labels(past: Bars, table: SymbolTable, strategy: Strategy) -> int:
    if len(past) < minimum_bars(strategy.labels):
        return 0
    labels = label(past, strategy.labels, strategy.costs)
    full = table.labels
    ended = full.end_row[: len(past)] < len(past)
    known = labels.known()
    both = ended & known
    return _differing(labels.gain[both], full.gain[: len(past)][both]) + int((ended != known).sum())


def _shifted_labels(table: SymbolTable, strategy: Strategy, rng: np.random.Generator) -> int:
    known = np.flatnonzero(table.labels.known())
    wrong = 0
    for row in rng.permutation(known)[:_LABEL_ROWS]:
        gain = _second_opinion(table, int(row), strategy)
        stored = float(table.labels.gain[row])
        wrong += gain is None or abs(gain - stored) > 1e-12 or (stored > 0) != (table.labels.won[row] == 1.0)
        wrong += int(table.labels.ends_at[row]) <= int(table.bars.closed_at[row])
    return wrong


def _second_opinion(table: SymbolTable, row: int, strategy: Strategy) -> float | None:
    if strategy.labels.is_own:
        return gain_again(table.bars, row, int(table.labels.end_row[row]), strategy.labels, strategy.costs)
    return gain_of_row(table.bars, row, strategy.labels, float(table.labels.width[row]))


def _differing(a: Floats, b: Floats) -> int:
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    return int((~same).sum())


def latency(predictor: Predictor, dataset: Dataset, fold: Fold, samples: int) -> Measurement:
    """p95 of one answer: window, constraints, features, model, signal, one thread, after a warm-up.

    The samples are taken in rounds, and the median of the rounds' p95 counts: what another process does to one round on a shared machine
    says nothing about the model. A machine that is busy throughout still fails.
    """
    table = dataset.tables[0]
    rows = dataset.rows_within(0, fold.windows.test)
    lookback = predictor.bundle.manifest.lookback
    ends = np.linspace(max(rows.start, lookback), rows.stop, samples).astype(int)
    windows = [table.bars.take(slice(end - lookback, end)) for end in ends]
    for window in windows[: max(10, samples // 20)]:
        predictor.predict(window, int(window.closed_at[-1]))
    spent = []
    for window in windows:
        start = time.perf_counter_ns()
        predictor.predict(window, int(window.closed_at[-1]))
        spent.append((time.perf_counter_ns() - start) / 1e6)
    rounds = [float(np.percentile(part, 95)) for part in np.array_split(spent, _LATENCY_ROUNDS)]
    p50, p95, p99 = (float(value) for value in np.percentile(spent, (50, 95, 99)))
    evidence = {"p50_ms": p50, "p99_ms": p99, "p95_of_all_ms": p95, "slowest_round_p95_ms": max(rounds)}
    return Measurement(float(np.median(rounds)), n=samples, evidence=evidence)
