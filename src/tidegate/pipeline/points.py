"""Measurements of one run for the gates that compare a figure with a threshold as it is."""

import math
from collections.abc import Mapping

import numpy as np

from tidegate.backtest.metrics import summarise
from tidegate.backtest.regimes import REGIMES
from tidegate.backtest.result import Backtest
from tidegate.bars.interval import DAY_MS
from tidegate.dataset.dataset import Dataset
from tidegate.dataset.windows import Window
from tidegate.gates.evaluation import Measurement
from tidegate.pipeline.data import Gathered
from tidegate.pipeline.evidence import DRAWS_ASIDE, ends, plain, ratio_interval
from tidegate.pipeline.fold import Fold, pooled
from tidegate.statistics.bootstrap import Interval, metric_intervals
from tidegate.strategy.strategy import Strategy
from tidegate.validation.calendar import expected_opens

_WHOLE_SHARE = 0.95


def training_days(dataset: Dataset, fold: Fold, strategy: Strategy) -> float:
    """Days of training that the fold really had: the window's length times the share of its bars that could be trained on.

    A share of 95 % or more counts whole: outages and holidays are normal, and a bar or two at the ends always is missing. A hole of
    weeks is not, wherever it lies.
    """
    window = fold.windows.train
    return (window.end_at - window.start_at) / DAY_MS * present(dataset, window, strategy)


def present(dataset: Dataset, window: Window, strategy: Strategy) -> float:
    """Share of the calendar's bars of a window that are there with all their features, of the symbol that has the fewest."""
    expected = len(expected_opens(strategy.calendar, strategy.bar, window.start_at, window.end_at))
    counts = []
    for at, table in enumerate(dataset.tables):
        rows = dataset.rows_within(at, window)
        counts.append(int(table.usable[rows].sum()))
    share = min(counts) / expected if expected else 0.0
    return 1.0 if share >= _WHOLE_SHARE else share


def measure_points(
    strategy: Strategy,
    gathered: Gathered,
    dataset: Dataset,
    folds: tuple[Fold, ...],
    metrics: Mapping[str, float],
    regimes: Mapping[str, Mapping[str, float]],
    intervals: Mapping[str, Interval],
) -> dict[str, Measurement]:
    """Point measurements of the pooled test and of the run's data, by gate name.

    Args:
        strategy: windows, costs and seed.
        gathered: bars, with what validation found.
        dataset: features and labels.
        folds: oldest first.
        metrics: of all folds together.
        regimes: metrics by regime.
        intervals: of the metrics, by the stationary bootstrap.
    """
    trades = int(metrics["trades"])
    win_rate, error = metrics["win_rate"], metrics["sharpe_standard_error"]
    win_error = math.sqrt(win_rate * (1 - win_rate) / trades) if trades and 0 <= win_rate <= 1 else None
    win = Measurement(
        win_rate,
        n=trades,
        standard_error=win_error,
        interval=ends(intervals["win_rate"]),
        evidence={"payoff_ratio": plain(metrics["payoff_ratio"])},
    )
    ratio = Measurement(
        metrics["sharpe"],
        n=sum(len(fold.portfolio) for fold in folds),
        standard_error=error,
        interval=ends(intervals["sharpe"]),
        evidence={"periods_per_year": strategy.periods_per_year},
    )
    days = training_days(dataset, folds[-1], strategy)
    whole, seed = pooled(folds), strategy.model.seed
    newest_intervals = metric_intervals(folds[-1].portfolio, strategy.periods_per_year, seed=seed, draws=DRAWS_ASIDE)
    alone = [summarise(fold.portfolio, strategy.periods_per_year) for fold in folds]
    newest = alone[-1]
    tested = sum(present(dataset, fold.windows.test, strategy) == 1.0 for fold in folds)
    return {
        "min_train_days": Measurement(days, n=len(folds[-1].rows)),
        "recommended_train_days": Measurement(days, n=len(folds[-1].rows)),
        "validation_passed": _validation(strategy, gathered),
        "out_of_sample_folds": Measurement(float(tested), n=len(folds)),
        "costs_above_zero": Measurement(metrics["min_cost_bps"], n=trades),
        "win_rate": win,
        "too_good_win_rate": win,
        "sharpe": ratio,
        "too_good_sharpe": ratio,
        "max_drawdown": _drawdown(
            metrics["max_drawdown"],
            [fold["max_drawdown"] for fold in alone if fold["trades"]],
            ratio.n,
            ends(intervals["max_drawdown"]),
        ),
        "newest_fold_sharpe": Measurement(
            newest["sharpe"],
            n=len(folds[-1].portfolio),
            standard_error=newest["sharpe_standard_error"],
            interval=ends(newest_intervals["sharpe"]),
            evidence={"total_return": plain(newest["total_return"]), "win_rate": plain(newest["win_rate"])},
        ),
        "newest_fold_trades": Measurement(
            newest["trades"], n=int(newest["trades"]), evidence={"trades_per_day": plain(newest["trades_per_day"])}
        ),
        "trades": Measurement(float(trades), n=trades, evidence={"trades_per_day": plain(metrics["trades_per_day"])}),
        **{f"regime_{name}": _regime(regimes[name], whole, at, seed) for at, name in enumerate(REGIMES)},
    }


def _validation(strategy: Strategy, gathered: Gathered) -> Measurement:
    """Fatal findings of all symbols; no value where a symbol has no record of a validation, or one over no bars."""
    found = {record.symbol: record.validation for record in gathered.symbols}
    missing = [symbol for symbol in strategy.symbols if not found.get(symbol, {}).get("rows_clean")]
    if missing:
        return Measurement(None, reason=f"not validated: {', '.join(missing)}")
    fatal = sum(finding["severity"] == "fatal" for summary in found.values() for finding in summary["findings"])
    return Measurement(float(fatal), n=sum(int(summary["rows_clean"]) for summary in found.values()))


def _drawdown(pooled: float, folds: list[float], n: int | None, interval: tuple[float, float]) -> Measurement:
    """The worse of the pooled drawdown and that of any fold alone: profit made before must not dilute a loss made later.

    Every trade risks the same capital, so a fall is a smaller share of a peak that earlier folds have raised.
    """
    worst = max(folds, default=math.nan)
    value = max(pooled, worst) if math.isfinite(pooled) and math.isfinite(worst) else math.nan
    evidence = {"pooled": plain(pooled), "worst_fold": plain(worst)}
    return Measurement(value, n=n, interval=interval, evidence=evidence)


def _regime(metrics: Mapping[str, float], whole: Backtest, at: int, seed: int) -> Measurement:
    evidence = {name: plain(metrics[name]) for name in ("win_rate", "net_return", "share_of_bars")}
    net = whole.trades.net_pnl[whole.trades.regime == at]
    interval = ratio_interval(np.maximum(net, 0.0), np.maximum(-net, 0.0), seed)
    return Measurement(metrics["profit_factor"], n=int(metrics["trades"]), interval=interval, evidence=evidence)
