"""What monitoring yields: figures for rules, reports and Prometheus. Fractions are fractions (0.1 is 10 %), times UTC ms, unknown numbers NaN."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tidegate.backtest.result import Backtest, Floats, Times

Role = Literal["production", "shadow"]


@dataclass(frozen=True, slots=True)
class Balance:
    """Where every row of the log went: `rows` is the sum of all the others, or the run is refused.

    Attributes:
        rows: rows of the strategy within the window.
        repeated: rows that another row of the same symbol, bar, version and role stands for (retries, replicas).
        without_bar: rows about no bar: refusals before the bar was known, and what a halted strategy answers.
        refused: canonical rows whose status is a problem.
        abstained: canonical rows that abstained.
        not_yet_known: canonical answers whose next bar has not closed yet at `as_of`.
        unmatched: canonical answers at bars that the store does not hold.
        counted: canonical answers that figures are computed from.
        bars_without_answer: bars, from the first that production answered on, at which it neither answered nor abstained (not rows); all of
            the window where it never did.
        damaged: places of the log that could not be read (not in `rows`): how many rows each held cannot be known.
        superseded: canonical production answers at a bar where another version's answer counts.
    """

    rows: int
    repeated: int
    without_bar: int
    refused: int
    abstained: int
    not_yet_known: int
    unmatched: int
    counted: int
    bars_without_answer: int
    damaged: int
    superseded: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """Probabilities against outcomes: k bins with mean forecast, share of wins, number; and the expected calibration error."""

    forecast: Floats
    observed: Floats
    count: Floats
    error: float


@dataclass(frozen=True, slots=True, eq=False)
class VersionFigures:
    """One version in one role within the window. Trades that are still open are in the returns, and in nothing that counts trades.

    Attributes:
        version: its number.
        bundle_digest: its manifest's digest, empty where rows name several.
        role: production, or shadow (what the position policy would have done with its probabilities).
        first_bar_at, last_bar_at: closes of the first and last bar that it answered.
        predictions: canonical answers counted.
        abstentions: by reason.
        metrics: keys of `backtest.metrics.METRICS`, over the bars that this version answered for.
        regimes: as `backtest.regimes.by_regime` gives them.
        calibration: probabilities against the strategy's own labels that are known at `as_of`.
        estimated_win_rate: see `monitoring.calibration.estimated_win_rate`; needs no outcome.
        trade_won: (m,) bool, its closed trades in order of exit: net profit above zero.
        trade_exit_at: (m,) int64.
        trade_net_return: (m,) float64.
    """

    version: int
    bundle_digest: str
    role: Role
    first_bar_at: int
    last_bar_at: int
    predictions: int
    abstentions: Mapping[str, int]
    metrics: Mapping[str, float]
    regimes: Mapping[str, Mapping[str, float]]
    calibration: Calibration
    estimated_win_rate: float
    trade_won: NDArray[np.bool_]
    trade_exit_at: Times
    trade_net_return: Floats


@dataclass(frozen=True, slots=True)
class Cause:
    """One part of the difference between live and promise: its name, what it did to the return, and why in a sentence."""

    name: str
    effect: float
    reason: str


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """Backtest to live, of the version in production: `promised` + the sum of all effects = `live`, to rounding.

    Attributes:
        version: the version.
        days: days of market time compared.
        promised: return over the capital that the backtest's mean a bar promises for these bars.
        live: return that the answers earned.
        causes: market (the same model on these bars against the promise), skew (answers against the same model on the stored bars), missing (bars
            without answer and abstentions), positions (targets against the position policy on the same probabilities), costs (paid against
            assumed, from the bot's fills where there are any).
        largest_probability_difference: between logged and recomputed probabilities, NaN where nothing could be recomputed.
        cost_bps_paid, cost_bps_assumed: a side; paid is NaN without fills.
    """

    version: int
    days: float
    promised: float
    live: float
    causes: tuple[Cause, ...]
    largest_probability_difference: float
    cost_bps_paid: float
    cost_bps_assumed: float


@dataclass(frozen=True, slots=True, eq=False)
class LiveFigures:
    """All of it.

    Attributes:
        strategy: the strategy's name.
        as_of: bars that closed later are not looked at.
        window_start_at, window_end_at: the window.
        balance: where every row went.
        production: figures a version, oldest first; the last one is in production at the end of the window.
        shadow: figures of challengers, oldest first.
        series: what all production answers earned together, as a backtest; None without any counted answer.
        reconciliation: of the newest production version, None where its bundle or figures are missing.
        snapshot: content hash of the bars by symbol.
    """

    strategy: str
    as_of: int
    window_start_at: int
    window_end_at: int
    balance: Balance
    production: tuple[VersionFigures, ...]
    shadow: tuple[VersionFigures, ...]
    series: Backtest | None
    reconciliation: Reconciliation | None
    snapshot: Mapping[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Sequential:
    """The sequential test on one version's closed trades (CUSUM on wins).

    Attributes:
        version: the version.
        healthy, gone: win rates that the test tells apart.
        threshold: alarm at or above it.
        statistic: (m,) float64, after each closed trade.
        alarm_trade: index of the first trade at which it alarmed, None without an alarm.
        trades_per_day: from the backtest, for rates a year.
        false_alarms_per_year: of a healthy model, computed for this threshold; at most what the strategy allows.
        median_days_to_detection: once the win rate is `gone`.
        testable: whether the backtest's figures allow a test at all; `reason` says why not.
    """

    version: int
    healthy: float
    gone: float
    threshold: float
    statistic: Floats
    alarm_trade: int | None
    trades_per_day: float
    false_alarms_per_year: float
    median_days_to_detection: float
    testable: bool
    reason: str


@dataclass(frozen=True, slots=True)
class DriftItem:
    """One comparison of reference and current window.

    Attributes:
        name: the feature, `probability`, or `label_rate`.
        kind: what it is.
        effect: population stability index; for the label rate the difference of rates.
        p_value: under "nothing changed", allowing for autocorrelation.
        q_value: Benjamini-Hochberg over all items of the run.
        drifted: q at or under the false discovery rate and effect at or above `monitor.drift_effect`.
        n: rows of the current window.
        reference_mean, current_mean: for people.
    """

    name: str
    kind: Literal["feature", "prediction", "label"]
    effect: float
    p_value: float
    q_value: float
    drifted: bool
    n: int
    reference_mean: float
    current_mean: float


@dataclass(frozen=True, slots=True)
class Drift:
    """All comparisons of one version; `reason` says why there are none."""

    version: int
    items: tuple[DriftItem, ...]
    current_start_at: int
    current_end_at: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ImportanceChange:
    """Importance of the features, a version against the one before.

    Attributes:
        version, before: the versions.
        moved: half the sum of absolute differences: the share of importance that moved.
        rank_correlation: Spearman's, over features of both; NaN with fewer than three.
        largest: features with the largest change, name to difference.
    """

    version: int
    before: int
    moved: float
    rank_correlation: float
    largest: Mapping[str, float]
