"""The error that a year of looks may make together, and what is left of it for the next look.

A year may promote without skill with probability `yearly_error` at most. Each scheduled look gets an equal part (Bonferroni), which
holds however strongly the looks' windows overlap. A look is charged for 365 days, whatever came of it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import ndtri
from scipy.stats import multivariate_normal

from tidegate.backtest.ratios import NAN
from tidegate.bars.interval import DAY_MS
from tidegate.errors import DataError

CHARGED_DAYS: Final = 365
_ROUNDING: Final = 1e-12
_SEED: Final = 20_140
_POINTS: Final = 50_000


@dataclass(frozen=True, slots=True)
class Look:
    """One test of a procedure for skill.

    Attributes:
        at_ms: UTC ms.
        key: names strategy configuration, data snapshot and window; the same key is the same look.
        level: what it was charged.
        share: its part of the year as it was laid out then, at least `level`; None where that is not known, and then `level` counts.
    """

    at_ms: int
    key: str
    level: float
    share: float | None = None


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a look may err.

    Attributes:
        level: of this look's test; 0 where the budget is empty, and then nothing passes.
        budget: of a year.
        charged: by other looks of the last 365 days.
        returns_at: UTC ms at which a look would get its whole share again; None where this one does.
    """

    level: float
    budget: float
    charged: float
    returns_at: int | None


def allowance(looks: Sequence[Look], key: str, at_ms: int, *, yearly_error: float, looks_per_year: int) -> Allowance:
    """The level of a look: its share of the year's error, as far as other looks have left it.

    Days are UTC days, so that a look at 00:05 and the next year's at 00:00 are 365 days apart.

    Args:
        looks: all that were made; of several with one key the first counts. One dated after `at_ms` is charged as well: a clock that
            runs wrong does not create budget.
        key: this look's. One that was made before gets its own level back, but no more than today's share, and costs nothing.
        at_ms: UTC ms.
        yearly_error: the year's budget, in (0, 1).
        looks_per_year: scheduled, >= 1.
    Raises:
        DataError: a budget, number of looks or recorded level out of range.
    """
    if not (0.0 < yearly_error < 1.0 and looks_per_year >= 1):
        raise DataError(
            "budget of error", expected="0 < error < 1 and at least one look", actual=(yearly_error, looks_per_year)
        )
    first: dict[str, Look] = {}
    for look in looks:
        if not 0.0 <= look.level <= 1.0:
            raise DataError(f"level of look {look.key}", expected="within [0, 1]", actual=look.level)
        first.setdefault(look.key, look)
    own = first.pop(key, None)
    today = at_ms // DAY_MS
    open_looks = [look for look in first.values() if look.at_ms // DAY_MS + CHARGED_DAYS > today]
    charges = sorted((look.at_ms // DAY_MS + CHARGED_DAYS, look.level) for look in open_looks)
    charged = math.fsum(level for _, level in charges)
    # A share that is raised after looks were made at a smaller one would be chosen by what they showed: it holds once they have expired.
    open_shares = [look.share for look in open_looks if look.share is not None]
    share = min([yearly_error / looks_per_year, *open_shares])
    level = min(own.level, share) if own else _left(share, yearly_error - charged)
    returns_at = None if level >= share else _returns(charges, share, yearly_error)
    return Allowance(level, yearly_error, charged, returns_at)


def _left(share: float, rest: float) -> float:
    if rest >= share - _ROUNDING:
        return share
    return rest if rest > _ROUNDING else 0.0


def _returns(charges: list[tuple[int, float]], share: float, budget: float) -> int | None:
    """When so many charges have ended that a whole share is free; None where it already is."""
    rest = [level for _, level in charges]
    for ends, _ in charges:
        if _left(share, budget - math.fsum(rest)) >= share:
            return None
        rest.pop(0)
        if _left(share, budget - math.fsum(rest)) >= share:
            return ends * DAY_MS
    return None


def yearly_false_rate(level: float, overlap: float, looks: int) -> float:
    """Probability that any of the looks passes without skill, when each alone passes with probability `level`.

    How far it lies below looks x level is how careful Bonferroni's share is.

    Args:
        level: of one look, in (0, 1).
        overlap: share of the window that consecutive looks have in common, in [0, 1): 11/12 for a year's window that moves by months.
        looks: >= 1.
    Returns:
        between level and looks x level; NaN for inputs out of range.
    """
    return yearly_pass_rate(level, overlap, looks, 0.0)


def yearly_pass_rate(level: float, overlap: float, looks: int, distance: float) -> float:
    """Probability that any of the looks passes, for a strategy `distance` standard errors of one look above the null hypothesis.

    Looks at moving windows share data: two that are d looks apart have a correlation of max(0, 1 - d (1 - overlap)), as the means of
    independent returns over such windows have. The probability is that of a multivariate normal, by quasi-Monte Carlo with a fixed
    seed; its error is below 1e-3.

    Args:
        level: of one look, in (0, 1).
        overlap: share of the window that consecutive looks have in common, in [0, 1).
        looks: >= 1.
        distance: true Sharpe ratio over the standard error of one look's estimate: 2 for a ratio of 2 and a window of a year.
    Returns:
        in [0, 1]; NaN for inputs out of range.
    """
    if not (0.0 < level < 1.0 and 0.0 <= overlap < 1.0 and looks >= 1 and math.isfinite(distance)):
        return NAN
    apart = np.abs(np.subtract.outer(np.arange(looks), np.arange(looks)))
    correlation = np.maximum(0.0, 1.0 - apart * (1.0 - overlap))
    bound = np.full(looks, -ndtri(level) - distance)
    none = multivariate_normal(
        np.zeros(looks), correlation, seed=_SEED, allow_singular=True, maxpts=_POINTS, abseps=1e-4, releps=1e-4
    ).cdf(bound)
    return min(max(float(1.0 - none), 0.0), 1.0)
