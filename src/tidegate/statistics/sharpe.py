"""What a Sharpe ratio of a finite, skewed and autocorrelated record tells about the true one, and what is left after many trials.

Ratios here are annual where a function takes `periods_per_year`, else per period. Nothing is estimated from fewer than two returns,
from a return that is not finite, or without variation: the answer is NaN, which every gate refuses.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import ndtr, ndtri

from tidegate.backtest.ratios import NAN, sharpe, sharpe_standard_error
from tidegate.backtest.result import Floats

EULER: Final = 0.5772156649015329


@dataclass(frozen=True, slots=True)
class Moments:
    """What the Sharpe ratio's distribution depends on, for independent returns.

    Attributes:
        n: number of returns.
        ratio: mean over standard deviation (n - 1), per period.
        skewness: third central moment over the cube of the root of the second, both over n.
        kurtosis: fourth over the square of the second; 3 for a normal distribution.
    """

    n: int
    ratio: float
    skewness: float
    kurtosis: float

    def spread(self) -> float:
        """Standard deviation of the ratio's estimate times sqrt(n - 1): sqrt(1 - g3 SR + (g4 - 1) / 4 SR^2); NaN at zero."""
        squared = 1.0 - self.skewness * self.ratio + (self.kurtosis - 1.0) / 4.0 * self.ratio**2
        return math.sqrt(squared) if squared > 0 else NAN

    def probability_above(self, benchmark: float) -> float:
        """Probability that the true ratio exceeds `benchmark`, both per period."""
        return float(ndtr((self.ratio - benchmark) * math.sqrt(self.n - 1) / self.spread())) if self.n > 1 else NAN

    def track_record(self, benchmark: float, confidence: float) -> float:
        """Periods after which `probability_above` reaches `confidence` if the moments stay as they are; inf where it never does."""
        if not (math.isfinite(self.spread()) and math.isfinite(benchmark) and 0.0 < confidence < 1.0):
            return NAN
        if self.ratio <= benchmark:
            return math.inf
        return 1.0 + (self.spread() * max(float(ndtri(confidence)), 0.0) / (self.ratio - benchmark)) ** 2


def moments(returns: Floats) -> Moments:
    """The moments of (n,) returns; all but n are NaN without at least two finite returns that differ."""
    ratio = sharpe(returns, 1.0)
    if math.isnan(ratio):
        return Moments(len(returns), NAN, NAN, NAN)
    z = (returns - np.mean(returns)) / np.std(returns)
    return Moments(len(returns), ratio, float(np.mean(z**3)), float(np.mean(z**4)))


def probabilistic_sharpe(returns: Floats, periods_per_year: float, benchmark: float = 0.0) -> float:
    """Probability that the true Sharpe ratio exceeds the benchmark, for independent returns with any skew and kurtosis.

    Args:
        returns: (n,) net, per period.
        periods_per_year: to bring the benchmark to one period.
        benchmark: annual.
    Returns:
        in [0, 1]; NaN where the ratio is.
    Source: Bailey, Lopez de Prado 2012, "The Sharpe ratio efficient frontier".
    """
    return moments(returns).probability_above(benchmark / math.sqrt(periods_per_year))


def skill_p_value(returns: Floats, periods_per_year: float, benchmark: float = 0.0) -> float:
    """One-sided p-value of "the true annual Sharpe ratio is at most the benchmark".

    1 - Phi((SR - benchmark) / SE) with a standard error that allows for skew, kurtosis and autocorrelation.

    Args:
        returns: (n,) net, per period, in time order.
        periods_per_year: periods a year.
        benchmark: annual.
    Returns:
        in [0, 1]; NaN where the ratio is, or where its standard error is zero.
    Source: Lo 2002, "The statistics of Sharpe ratios"; Mertens 2002.
    """
    error = sharpe_standard_error(returns, periods_per_year)
    if not error > 0:
        return NAN
    return float(ndtr((benchmark - sharpe(returns, periods_per_year)) / error))


def expected_maximum_ratio(variance: float, trials: int) -> float:
    """Highest ratio to expect of `trials` independent strategies without skill, per period.

    Args:
        variance: of the trials' ratios per period, >= 0.
        trials: all that were ever made, >= 1. A single one was not chosen: 0.
    Returns:
        sqrt(variance) ((1 - gamma) z(1 - 1/N) + gamma z(1 - 1/(N e))), gamma being Euler's constant; NaN for inputs out of range.
    Source: the false strategy theorem, Bailey, Lopez de Prado 2014, "The deflated Sharpe ratio".
    """
    if trials == 1:
        return 0.0
    if trials < 1 or not (math.isfinite(variance) and variance >= 0):
        return NAN
    shares = np.array([1.0 / trials, 1.0 / (trials * math.e)])
    highest, higher = -ndtri(shares)
    return math.sqrt(variance) * float((1.0 - EULER) * highest + EULER * higher)


@dataclass(frozen=True, slots=True)
class Deflated:
    """A Sharpe ratio judged against the best that chance would have found.

    Attributes:
        probability: that the true ratio exceeds `benchmark`.
        benchmark: the expected maximum of trials without skill, per period.
        trials: number of trials.
        variance: of the trials' ratios per period (n - 1).
    """

    probability: float
    benchmark: float
    trials: int
    variance: float


def deflated_sharpe(returns: Floats, trial_ratios: Floats, trials: int | None = None) -> Deflated:
    """Probability that the true ratio exceeds what the best of all trials would reach by luck.

    Args:
        returns: (n,) net, per period, of the chosen strategy.
        trial_ratios: (k,) per-period ratios of all trials ever made, the chosen one included; a trial whose ratio is NaN counts as a
            trial and not for the variance.
        trials: their number, where more (or fewer independent ones) were made than have a ratio; k by default.
    Returns:
        NaN probability where the ratio is NaN, there are no trials, or several of which fewer than two have a ratio.
    Source: Bailey, Lopez de Prado 2014.
    """
    made = len(trial_ratios) if trials is None else trials
    known = trial_ratios[np.isfinite(trial_ratios)]
    variance = float(np.var(known, ddof=1)) if len(known) > 1 else NAN
    benchmark = expected_maximum_ratio(variance, made)
    return Deflated(moments(returns).probability_above(benchmark), benchmark, made, variance)


def minimum_track_record(
    returns: Floats, periods_per_year: float, benchmark: float = 0.0, confidence: float = 0.95
) -> float:
    """Number of periods that a record with these moments needs until its ratio exceeds the benchmark with this confidence.

    Args:
        returns: (n,) net, per period.
        periods_per_year: to bring the benchmark to one period.
        benchmark: annual.
        confidence: in (0, 1).
    Returns:
        periods, >= 1; infinite where the ratio is at most the benchmark; NaN where the ratio is.
    Source: Bailey, Lopez de Prado 2012.
    """
    return moments(returns).track_record(benchmark / math.sqrt(periods_per_year), confidence)


def needed_sharpe(standard_error: float, level: float, benchmark: float = 0.0) -> float:
    """The annual Sharpe ratio that has to be observed to pass a one-sided test at `level`.

    Returns:
        infinite at level 0; NaN for a standard error that is not above 0 or a level outside [0, 1).
    """
    if not (math.isfinite(standard_error) and standard_error > 0 and 0.0 <= level < 1.0):
        return NAN
    return benchmark - float(ndtri(level)) * standard_error


def power(true_sharpe: float, standard_error: float, level: float, benchmark: float = 0.0) -> float:
    """Probability that a strategy with this true annual Sharpe ratio passes the one-sided test at `level`.

    The standard error is taken as known and the estimate as normal.

    Returns:
        in [0, 1]; 0 at level 0; NaN where `needed_sharpe` is.
    """
    needed = needed_sharpe(standard_error, level, benchmark)
    return float(ndtr((true_sharpe - needed) / standard_error)) if not math.isnan(needed) else NAN
