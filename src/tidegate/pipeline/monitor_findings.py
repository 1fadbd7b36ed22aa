"""The performance rules over a run's figures; see `tidegate.rollback.rules`."""

from dataclasses import replace

import numpy as np

from tidegate.backtest.result import Floats
from tidegate.bars.interval import DAY_MS
from tidegate.model.bundle import Bundle
from tidegate.monitoring import drift as drift_words
from tidegate.monitoring import sequential as sequential_words
from tidegate.monitoring.point_rules import error_rate_words, point_rule_rates
from tidegate.pipeline.monitor_figures import Figures
from tidegate.rollback import rules
from tidegate.rollback.finding import Finding
from tidegate.strategy.strategy import Strategy

_NAN = float("nan")


def findings_of(
    figures: Figures, bundle: Bundle, strategy: Strategy, as_of: int, until: int | None = None
) -> tuple[Finding, ...]:
    """What each rule says about the version in production.

    Args:
        figures: of the run.
        bundle: of the version in production.
        strategy: thresholds and actions.
        as_of: UTC ms.
        until: UTC ms up to which there are bars; None: up to `as_of`.
    """
    bounds, since = strategy.rollback, figures.since
    promised = bundle.manifest.out_of_sample
    rates = point_rule_rates(promised.get("trades_per_day"), promised.get("win_rate"), promised.get("sharpe"), bounds)
    won: Floats = np.empty(0) if since is None else since.trade_won.astype(np.float64)
    exits = np.empty(0, np.int64) if since is None else since.trade_exit_at
    test = figures.sequential
    return (
        _with_rate(
            rules.sequential(test, bounds, exit_at=exits),
            None if test is None else sequential_words.error_rate_words(test),
        ),
        rules.win_rate(won, exits, as_of, bounds, error_rate=error_rate_words("win_rate", rates)),
        _sharpe(figures, strategy, as_of, as_of if until is None else until, error_rate_words("sharpe", rates)),
        rules.drift(
            figures.drift,
            bounds,
            error_rate=drift_words.error_rate_words(strategy.monitor.drift_false_discovery_rate),
        ),
    )


def _sharpe(figures: Figures, strategy: Strategy, as_of: int, until: int, rate: str) -> Finding:
    bounds, inside, since = strategy.rollback, figures.sharpe_window, figures.since
    start = as_of - bounds.sharpe_window_days * DAY_MS
    if inside is None:
        return rules.sharpe(_NAN, trades=0, days=0.0, since=start, rules=bounds, error_rate=rate)
    # The window counts as covered once the version has been answering since before it began, however many single bars it missed.
    first = inside.first_bar_at if since is None else min(inside.first_bar_at, since.first_bar_at)
    days = (until - first + strategy.bar.milliseconds) / DAY_MS
    return rules.sharpe(
        inside.metrics.get("sharpe", _NAN),
        trades=len(inside.trade_won),
        days=days,
        since=start,
        rules=bounds,
        error_rate=rate,
    )


def _with_rate(finding: Finding, words: str | None) -> Finding:
    return finding if words is None else replace(finding, error_rate=words)
