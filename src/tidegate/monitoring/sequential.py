"""The sequential test that may roll back: a CUSUM on the wins and losses of one version's closed trades.

Each trade moves the statistic by the log likelihood ratio of `gone` against `healthy` (Page 1954, Lorden 1971): a loss adds, a win takes
off, below zero it starts anew. Steps are whole multiples of one unit, so that the statistic is a Markov chain on few states and its run
length is computed, not simulated (Brook and Evans 1972; Reynolds and Stoumbos 1999 for wins and losses).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tidegate.backtest.ratios import wilson_interval
from tidegate.backtest.result import Times
from tidegate.bars.interval import DAY_MS
from tidegate.errors import FiguresRefused
from tidegate.monitoring.result import Sequential
from tidegate.monitoring.run_length import Chain, average_run_length, run_length_quantile

NAN: Final = math.nan
LEAST_DISTANCE: Final = 0.03  # of the win rates that are told apart; a nearer pair takes thousands of trades
_UNIT: Final = 0.05  # most log likelihood of a unit: a coarser threshold would give speed away
_OFF: Final = 0.02  # of healthy - gone: how far rounding may move the win rate at which the statistic stands still
_MOST_STEPS: Final = 60  # units of the smaller step
_LEAST_DAYS: Final = 20
MOST_STATES: Final = 10_000
MOST_TRADES: Final = 50_000  # a test that needs more to see that the edge is gone is none


@dataclass(frozen=True, slots=True)
class Design:
    """What is tested, and how often it errs; fixed when a version enters production.

    Attributes:
        healthy: win rate at which a false alarm is counted. A better model raises fewer.
        gone: win rate that is to be noticed.
        unit: log likelihood of one step of the lattice.
        loss_steps, win_steps: what a loss adds and a win takes off, in units.
        threshold_steps: alarm at or above it, in units.
        trades_per_day: of market time, from the backtest.
        trades_per_year: closed trades a calendar year.
        average_run_length: trades until an alarm on a healthy model, on average; with dispersion at least that, by approximation.
        false_alarms_per_year: trades_per_year / average_run_length.
        median_trades_to_detection, late_trades_to_detection: by when half and nine tenths of the alarms have come once the win rate is
            `gone`, from a statistic of zero, which is the slowest start.
        median_days_to_detection, late_days_to_detection: the same in calendar days.
        testable: whether there is a test; `reason` says why not.
    """

    healthy: float = NAN
    gone: float = NAN
    unit: float = NAN
    loss_steps: int = 0
    win_steps: int = 0
    threshold_steps: int = 0
    trades_per_day: float = NAN
    trades_per_year: float = NAN
    average_run_length: float = NAN
    false_alarms_per_year: float = NAN
    median_trades_to_detection: float = NAN
    late_trades_to_detection: float = NAN
    median_days_to_detection: float = NAN
    late_days_to_detection: float = NAN
    testable: bool = False
    reason: str = ""

    def chain(self, win_rate: float) -> Chain:
        """The statistic's Markov chain when trades win at `win_rate`."""
        return Chain(win_rate, self.loss_steps, self.win_steps, self.threshold_steps)


def design(
    out_of_sample: Mapping[str, float | None],
    yearly_false_alarms: float,
    *,
    days_per_year: float = 365.0,
    dispersion: float = 1.0,
) -> Design:
    """The test for a version, from what its backtest found.

    `healthy` is the lower end of the win rate's 95 % Wilson interval: the backtest is an estimate, and it was chosen by gates because it
    was high. `gone` is the win rate at which nothing is earned net of costs, 1 / (1 + payoff ratio), or `healthy` less
    `LEAST_DISTANCE` where that is lower.

    Args:
        out_of_sample: the manifest's pooled metrics: win_rate, win_rate_low (computed from win_rate and trades where it is missing),
            payoff_ratio, trades, trades_per_day.
        yearly_false_alarms: highest number a year on a healthy model.
        days_per_year: market days of 24 hours in a year: 365, or 260 on the fx calendar.
        dispersion: how many times more wins a day vary than independent trades would, from `dispersion`; the threshold is multiplied by
            it. With 1 the rate holds for independent trades only. NaN gives no test.
    Returns:
        a design that is not testable, with the reason, where a figure is missing or no test of use can be had.
    Raises:
        FiguresRefused: yearly_false_alarms or days_per_year is not a number above 0, or dispersion is below 1.
    """
    for name, value in (("yearly_false_alarms", yearly_false_alarms), ("days_per_year", days_per_year)):
        if not (math.isfinite(value) and value > 0):
            raise FiguresRefused(f"{name} of the sequential test", expected="a number above 0", actual=value)
    if dispersion < 1:
        raise FiguresRefused("dispersion of the sequential test", expected="at least 1, or NaN", actual=dispersion)
    if not math.isfinite(dispersion):
        return Design(
            reason="how far the backtest's trades win and lose together is not known: too few days with trades"
        )
    figures = {name: _finite(out_of_sample.get(name)) for name in ("win_rate", "payoff_ratio", "trades_per_day")}
    figures["win_rate_low"] = _lower_end(out_of_sample)
    missing = sorted(name for name, value in figures.items() if math.isnan(value))
    if missing:
        return Design(reason=f"the backtest gives no {', '.join(missing)}")
    if not (0 < figures["win_rate_low"] < 1 and figures["payoff_ratio"] > 0 and figures["trades_per_day"] > 0):
        return Design(reason=f"the backtest's figures allow no test: {figures}")
    healthy = figures["win_rate_low"]
    gone = min(1.0 / (1.0 + figures["payoff_ratio"]), healthy - LEAST_DISTANCE)
    if gone <= LEAST_DISTANCE:
        return Design(reason=f"a win rate of {healthy:.3f} leaves no room below it")
    return between(
        healthy,
        gone,
        figures["trades_per_day"],
        yearly_false_alarms,
        days_per_year=days_per_year,
        dispersion=dispersion,
    )


def between(
    healthy: float,
    gone: float,
    trades_per_day: float,
    yearly_false_alarms: float,
    *,
    days_per_year: float = 365.0,
    dispersion: float = 1.0,
) -> Design:
    """The test that tells two win rates apart, with the lowest threshold that keeps the stated rate.

    Args:
        healthy: win rate at which a false alarm counts, < 1.
        gone: win rate that is to be noticed, 0 < gone < healthy.
        trades_per_day: of market time, > 0.
        yearly_false_alarms: highest number a year at `healthy`, > 0.
        days_per_year: market days in a year.
        dispersion: of the wins, >= 1. A walk whose steps vary that many times more reaches a threshold that many times higher no sooner
            (scaling of Brownian motion; quasi-likelihood of Wedderburn 1974), so the rate is kept, by approximation.
    """
    unit, loss_steps, win_steps = lattice(healthy, gone)
    a_year = trades_per_day * days_per_year
    least = a_year / yearly_false_alarms
    threshold, run_length = _threshold(Chain(healthy, loss_steps, win_steps, 1), least)
    known = Design(healthy, gone, trades_per_day=trades_per_day, trades_per_year=a_year)
    if threshold is None:
        reason = (
            f"{healthy:.3f} and {gone:.3f} are too near to be told apart at {yearly_false_alarms:g} false alarms a year"
        )
        return replace(known, reason=reason)
    threshold = math.ceil(threshold * dispersion)
    chain = Chain(gone, loss_steps, win_steps, threshold)
    median, late = (run_length_quantile(chain, share, MOST_TRADES) for share in (0.5, 0.9))
    days = 365.0 / a_year
    seen = math.isfinite(median)
    return replace(
        known,
        unit=unit,
        loss_steps=loss_steps,
        win_steps=win_steps,
        threshold_steps=threshold,
        average_run_length=run_length,
        false_alarms_per_year=a_year / run_length,
        median_trades_to_detection=median,
        late_trades_to_detection=late,
        median_days_to_detection=median * days,
        late_days_to_detection=late * days,
        testable=seen,
        reason="" if seen else f"half of all models without edge would still be unnoticed after {MOST_TRADES} trades",
    )


def lattice(healthy: float, gone: float) -> tuple[float, int, int]:
    """Unit, loss steps and win steps whose ratio is nearest to the log likelihood ratios'.

    The statistic that is watched is this one, so nothing is approximated in its error rates; the rounding only costs a little speed.
    """
    loss, win = math.log((1 - gone) / (1 - healthy)), math.log(healthy / gone)
    small, large = min(loss, win), max(loss, win)

    def off(steps: int) -> float:
        return abs(small / (small + large) - steps / (steps + round(steps * large / small))) / (healthy - gone)

    fine = range(min(_MOST_STEPS, math.ceil(small / _UNIT)), _MOST_STEPS + 1)
    few = next((steps for steps in fine if off(steps) <= _OFF), min(fine, key=off))
    many = round(few * large / small)
    return small / few, *((few, many) if loss <= win else (many, few))


def test(design: Design, version: int, won: ArrayLike) -> Sequential:
    """The test over one version's closed trades since it entered production.

    Args:
        design: from `design`.
        version: the version.
        won: (m,) 0 or 1 (or bool), in order of exit: net profit above zero. All trades since the version entered production and none
            before, whatever window other figures look at. The same trades give the same bits.
    Raises:
        FiguresRefused: a value is neither 0 nor 1.
    """
    wins = np.asarray(won, np.float64)
    if wins.ndim != 1 or not np.isin(wins, (0.0, 1.0)).all():
        raise FiguresRefused(f"closed trades of version {version}", expected="wins as 0 or 1, one row", actual=wins[:5])
    steps = cusum(np.where(wins == 1, -design.win_steps, design.loss_steps)) if design.testable else np.array([], int)
    alarms = np.flatnonzero(steps >= design.threshold_steps)
    return Sequential(
        version=version,
        healthy=design.healthy,
        gone=design.gone,
        threshold=design.threshold_steps * design.unit,
        statistic=np.asarray(steps * design.unit, np.float64),
        alarm_trade=int(alarms[0]) if len(alarms) else None,
        trades_per_day=design.trades_per_day,
        false_alarms_per_year=design.false_alarms_per_year,
        median_days_to_detection=design.median_days_to_detection,
        testable=design.testable,
        reason=design.reason,
    )


def cusum(steps: NDArray[np.int_]) -> NDArray[np.int_]:
    """S_i = max(0, S_(i-1) + steps_i) from S = 0; (m,) or (m, k) for k sequences side by side."""
    total = np.cumsum(steps, axis=0)
    return np.asarray(total - np.minimum(np.minimum.accumulate(total, axis=0), 0))


def dispersion(won: ArrayLike, exit_at: Times) -> float:
    """How many times more wins a day vary than those of independent trades would.

    Trades of several symbols, or of one signal, win and lose together, and then the computed rate of false alarms is too low.

    Args:
        won: (m,) 0 or 1, of the backtest's closed trades.
        exit_at: (m,) UTC ms.
    Returns:
        sum over days of (wins - expected wins)^2 over the sum of their variances (Pearson's), at least 1; over d days its standard error
        is sqrt(2 / d). NaN with fewer than 20 days with trades, or where all win or all lose.
    """
    wins = np.asarray(won, np.float64)
    _, day = np.unique(exit_at // DAY_MS, return_inverse=True)
    if not len(wins) or day.max() < _LEAST_DAYS - 1 or np.ptp(wins) == 0:
        return NAN
    share = float(wins.mean())
    off = np.bincount(day, wins - share)
    days = int(day.max()) + 1
    return max(1.0, float(np.sum(off**2)) / (share * (1 - share) * len(wins)) * days / (days - 1))


def error_rate_words(found: Sequential) -> str:
    """How often it errs and how fast it sees, for `Finding.error_rate`."""
    if not found.testable:
        return f"not known: {found.reason}"
    return (
        f"at most {found.false_alarms_per_year:.2g} false alarms a year while {found.healthy:.1%} of trades win (computed for independent trades); "
        f"half of all alarms within {found.median_days_to_detection:.0f} days once only {found.gone:.1%} win"
    )


def _threshold(chain: Chain, least: float) -> tuple[int | None, float]:
    """Lowest threshold in units with an average run length of at least `least` trades, and that length; None when out of reach."""
    low, high = 0, max(chain.loss_steps, chain.win_steps)
    while average_run_length(chain.up_to(high)) < least:
        low, high = high, 2 * high
        if low >= MOST_STATES:
            return None, NAN
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if average_run_length(chain.up_to(middle)) >= least else (middle, high)
    return high, average_run_length(chain.up_to(high))


def _lower_end(out_of_sample: Mapping[str, float | None]) -> float:
    """The lower end of the win rate's interval, computed anew where the manifest has none."""
    low = _finite(out_of_sample.get("win_rate_low"))
    share, trades = _finite(out_of_sample.get("win_rate")), _finite(out_of_sample.get("trades"))
    if math.isnan(low) and 0 <= share <= 1 and trades >= 1:
        return wilson_interval(round(share * trades), round(trades))[0]
    return low


def _finite(value: float | None) -> float:
    return value if value is not None and math.isfinite(value) else NAN
