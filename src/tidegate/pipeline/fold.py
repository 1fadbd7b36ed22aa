"""One walk-forward fold: train inside its window, choose the entry threshold there, and test on bars that nobody has seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tidegate.backtest.metrics import summarise
from tidegate.backtest.portfolio import combine, join
from tidegate.backtest.positions import decide
from tidegate.backtest.regimes import RegimeDefinition, classify, fit_regimes
from tidegate.backtest.result import Backtest, Sides
from tidegate.backtest.vectorbt_engine import run, run_each
from tidegate.bars.bars import Bars, Floats, Times
from tidegate.bars.interval import DAY_MS
from tidegate.dataset.dataset import Dataset, TrainingRows
from tidegate.dataset.windows import FoldWindows
from tidegate.errors import NotEnoughHistory
from tidegate.model.export import to_onnx
from tidegate.model.onnx_model import OnnxModel
from tidegate.model.training import Fitted, OutOfFold, SearchTrial, apply_calibration, calibrate, fit
from tidegate.policy.policy import PositionPolicy
from tidegate.strategy.strategy import Strategy

# Fixed-horizon labels have no barriers; these fractions are never reached.
_NO_TAKE_PROFIT, _NO_STOP = 1000.0, 0.999
# Exactly one half is what a model without skill answers; it must not be an entry, even without a margin.
_ABOVE_HALF = float(np.nextafter(0.5, 1.0))


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """One combination of parameters and entry margin that was tried inside a training window.

    Attributes:
        parameters: booster parameters and the margin.
        score: annual Sharpe ratio net of costs over the inner validation blocks; NaN without trades.
        trades: round trips in those blocks.
        closed_at: (k,) int64 UTC ms of the bars in those blocks; none for parameters that a search passed over.
        net_return: (k,) per-bar net returns there, over the capital.
        rounds: boosting rounds of the inner models.
    """

    parameters: Mapping[str, object]
    score: float
    trades: int
    closed_at: Times
    net_return: Floats
    rounds: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Tested:
    """One symbol's out-of-sample window.

    Attributes:
        bars: k bars of the window.
        probability: (k,) calibrated probabilities, NaN where a feature was not finite.
        target: (k,) int8, target decided at each close.
        regime: (k,) int8.
        backtest: net of costs.
    """

    bars: Bars
    probability: Floats
    target: Sides
    regime: Sides
    backtest: Backtest


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """A trained and tested fold.

    Attributes:
        windows: train and test.
        rows: the training rows of all symbols.
        fitted: the model, its calibration and its predictions inside the training window.
        onnx: the exported model, which is what was tested.
        margin: the entry margin that was chosen.
        policy: when a position is entered and left.
        regimes: by symbol, as bounds fitted on its own training bars.
        trials: all that was tried.
        tested: by symbol, the test window.
        portfolio: all symbols together, over the capital.
    """

    windows: FoldWindows
    rows: TrainingRows
    fitted: Fitted
    onnx: bytes
    margin: float
    policy: PositionPolicy
    regimes: Mapping[str, RegimeDefinition]
    trials: tuple[Trial, ...]
    tested: Mapping[str, Tested]
    portfolio: Backtest


def run_fold(dataset: Dataset, windows: FoldWindows, strategy: Strategy, threads: int, workers: int = 1) -> Fold:
    """Train and test one fold.

    Args:
        dataset: all symbols' features and labels.
        windows: the fold's windows.
        strategy: parameters, costs and policy candidates.
        threads: threads of one fit.
        workers: inner folds fitted at a time; changes no byte of the outcome.
    Raises:
        NotEnoughHistory: too few rows, or a symbol without rows where it needs some.
        ModelError: labels of one class only.
    """
    rows = dataset.training_rows(windows.train)
    embargo_ms = strategy.windows.embargo_bars * strategy.bar.milliseconds
    searched: list[SearchTrial] = []
    fitted = fit(rows, dataset.features.names, strategy.model, embargo_ms, threads, searched.append, workers)
    margin, trials = choose_margin(dataset, rows, fitted, strategy)
    policy = _policy(margin, rows, strategy)
    regimes = _fit_regimes(dataset, windows)
    onnx = to_onnx(fitted.ubj, fitted.calibration, len(dataset.features.names))
    model = OnnxModel(onnx, len(dataset.features.names))
    tested = {
        table.bars.symbol: _test(dataset, at, windows, strategy, model, policy, regimes[table.bars.symbol])
        for at, table in enumerate(dataset.tables)
    }
    portfolio = combine({symbol: test.backtest for symbol, test in tested.items()})
    passed_over = [trial for trial in searched if trial.out_of_fold is not fitted.out_of_fold]
    extra = tuple(_search_trial(trial, dataset, rows, policy, strategy) for trial in passed_over)
    return Fold(windows, rows, fitted, onnx, margin, policy, regimes, trials + extra, tested, portfolio)


def choose_margin(
    dataset: Dataset, rows: TrainingRows, fitted: Fitted, strategy: Strategy
) -> tuple[float, tuple[Trial, ...]]:
    """Choose the entry margin by its net Sharpe ratio over the inner validation blocks.

    Candidates with too few trades a day are passed over; if all are, the smallest margin is taken, since the gates, not this choice,
    decide whether a model is worth anything.

    Returns:
        the margin and one trial a candidate.
    """
    trials = []
    policies = [_policy(margin, rows, strategy) for margin in strategy.policy.margins]
    series = {
        table.bars.symbol: _inner_backtests(
            dataset, at, rows, fitted.out_of_fold, fitted.probability, policies, strategy
        )
        for at, table in enumerate(dataset.tables)
    }
    for number, margin in enumerate(strategy.policy.margins):
        whole = combine({symbol: parts[number] for symbol, parts in series.items()})
        summary = summarise(whole, strategy.periods_per_year)
        parameters = dict(fitted.parameters) | {"margin": margin, "rounds": fitted.rounds}
        trials.append(
            Trial(
                parameters,
                summary["sharpe"],
                len(whole.trades),
                whole.closed_at,
                whole.net_return,
                fitted.out_of_fold.rounds,
            )
        )
    days = (int(rows.known_at.max()) - int(rows.known_at[fitted.out_of_fold.rows].min())) / DAY_MS
    enough = strategy.policy.min_trades_per_day * days
    scores = [trial.score if trial.trades >= enough and np.isfinite(trial.score) else -np.inf for trial in trials]
    best = int(np.argmax(scores))
    return strategy.policy.margins[best], tuple(trials)


def _policy(margin: float, rows: TrainingRows, strategy: Strategy) -> PositionPolicy:
    sides = strategy.policy.sides
    barriers = strategy.labels.method == "triple_barrier"
    width = float(np.median(rows.width)) if barriers else 0.0
    return PositionPolicy(
        long_at=max(0.5 + margin, _ABOVE_HALF) if sides != "short" else 1.01,
        short_at=0.5 - margin - 1e-12 if sides != "long" else -0.01,
        take_profit=width * strategy.policy.take_profit_barriers if barriers else _NO_TAKE_PROFIT,
        stop_loss=min(width * strategy.policy.stop_barriers, _NO_STOP) if barriers else _NO_STOP,
        max_holding_bars=strategy.labels.horizon_bars,
        flip=strategy.policy.flip,
    )


def _inner_backtests(
    dataset: Dataset,
    at: int,
    rows: TrainingRows,
    out_of_fold: OutOfFold,
    probability: Floats,
    policies: Sequence[PositionPolicy],
    strategy: Strategy,
) -> tuple[Backtest, ...]:
    """One symbol's inner validation blocks, by each of some policies."""
    mine = rows.symbol[out_of_fold.rows] == at
    table_rows = rows.row[out_of_fold.rows[mine]]
    if not len(table_rows):
        raise _too_little(dataset.tables[at].bars, "in the inner validation blocks", "labelled rows", "none")
    first, last = int(table_rows.min()), int(table_rows.max()) + 1
    forecast = np.full(last - first, np.nan)
    forecast[table_rows - first] = probability[mine]
    bars = dataset.tables[at].bars.take(slice(first, last))
    targets = [decide(forecast, bars.close, bars.open, policy) for policy in policies]
    share = strategy.capital / len(dataset.tables)
    return run_each(bars, targets, strategy.costs, share, np.zeros(len(bars), np.int8))


def _fit_regimes(dataset: Dataset, windows: FoldWindows) -> dict[str, RegimeDefinition]:
    """Each symbol by its own training bars: what is volatile for one market is calm for another.

    Raises:
        NotEnoughHistory: a symbol has too few bars in the training window; the message names it.
    """
    found = {}
    for table in dataset.tables:
        try:
            found[table.bars.symbol] = fit_regimes(table.bars.between(windows.train.start_at, windows.train.end_at))
        except NotEnoughHistory as error:
            raise _too_little(table.bars, "in the training window", error.expected, error.actual) from error
    return found


def _too_little(bars: Bars, where: str, expected: object, actual: object) -> NotEnoughHistory:
    return NotEnoughHistory(
        f"{bars.symbol} has too little {where} to be part of the model",
        expected=expected,
        actual=actual,
        setting="symbols",
        next_step="ingest more of its bars, or take the symbol out of the strategy",
    )


def _test(
    dataset: Dataset,
    at: int,
    windows: FoldWindows,
    strategy: Strategy,
    model: OnnxModel,
    policy: PositionPolicy,
    regimes: RegimeDefinition,
) -> Tested:
    """Test with the exported model, not the booster, so that what was tested is to the last bit what will be served."""
    table = dataset.tables[at]
    chosen = dataset.rows_within(at, windows.test)
    if chosen.start == chosen.stop:
        raise _too_little(table.bars, "in the test window", "bars", "none")
    usable = table.usable[chosen]
    probability = np.full(len(usable), np.nan)
    if usable.any():
        probability[usable] = model.probability(table.features[chosen][usable])
    regime = classify(table.bars.take(slice(0, chosen.stop)), regimes)[chosen.start :]
    return backtest_window(table.bars.take(chosen), probability, policy, regime, strategy, len(dataset.tables))


def backtest_window(
    bars: Bars, probability: Floats, policy: PositionPolicy, regime: Sides, strategy: Strategy, symbols: int
) -> Tested:
    """Turn probabilities into positions and run them through vectorbt, starting flat."""
    target = decide(probability, bars.close, bars.open, policy)
    backtest = run(bars, target, strategy.costs, strategy.capital / symbols, regime)
    return Tested(bars, probability, target, regime, backtest)


def _search_trial(
    trial: SearchTrial, dataset: Dataset, rows: TrainingRows, policy: PositionPolicy, strategy: Strategy
) -> Trial:
    """What parameters that a search passed over would have earned, at the margin that was chosen: every look at the data counts."""
    found = trial.out_of_fold
    calibration = calibrate(found.margin, rows.y[found.rows], rows.weight[found.rows])
    probability = apply_calibration(found.margin, calibration)
    series = {
        table.bars.symbol: _inner_backtests(dataset, at, rows, found, probability, (policy,), strategy)[0]
        for at, table in enumerate(dataset.tables)
    }
    whole = combine(series)
    score = summarise(whole, strategy.periods_per_year)["sharpe"]
    return Trial(trial.parameters, score, len(whole.trades), whole.closed_at, whole.net_return, found.rounds)


def pooled(folds: Sequence[Fold]) -> Backtest:
    """All folds' portfolios as one series: what judges the procedure."""
    return join([fold.portfolio for fold in folds])
