"""Whether the trials of past retrains speak for another configuration: in come trials, out comes a proposal or the advice to keep what is.

Nothing is ever applied. The present choice was made on the very bars that alternatives are compared on, which favours it: the comparison
errs towards keeping.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from pydantic import ValidationError

from tidegate.backtest.ratios import sharpe
from tidegate.bars.bars import Floats
from tidegate.bars.interval import DAY_MS
from tidegate.pipeline.tried import Compared, Tried, compare
from tidegate.statistics.overfitting import probability_of_overfitting
from tidegate.statistics.paired import sharpe_difference
from tidegate.statistics.sharpe import deflated_sharpe
from tidegate.strategy.gates import overlay
from tidegate.strategy.strategy import Strategy

LEVEL: Final = 0.05
"""Chance of proposing a change where none is better, over all alternatives of one month; each is tested at its share."""
MOST_OVERFITTING: Final = 0.5
LEAST_COVERAGE: Final = 0.5
"""Share of the present choice's bars that an alternative must have been tried on."""
_LEAST_DRAWS, _MOST_DRAWS, _DRAWS_BEYOND = 1_000, 100_000, 10
_LEAST_UNITS: Final = 60
Kind = Literal["margin", "parameters", "training window"]


@dataclass(frozen=True, slots=True)
class Alternative:
    """One other configuration, compared with the present choice on the bars that both have.

    Attributes:
        kind: what it changes.
        title: the change in words.
        patch: the change as a part of the strategy file.
        sharpe, present_sharpe: annual, net, out of fold.
        difference, low, high: of the two ratios, with a 95 % bootstrap interval; annual.
        p_value: two-sided, of "no difference".
        deflated: probability that its true ratio exceeds what the best of all trials would reach by luck.
        overfitting: probability of backtest overfitting among the alternatives of its kind and the present choice.
        days: of common bars.
        folds: that it was tried on.
        against: what speaks against it; nothing where it passes.
    """

    kind: Kind
    title: str
    patch: Mapping[str, Any]
    sharpe: float
    present_sharpe: float
    difference: float
    low: float
    high: float
    p_value: float
    deflated: float
    overfitting: float
    days: float
    folds: int
    against: tuple[str, ...]

    @property
    def passes(self) -> bool:
        """Whether the evidence is enough to propose it."""
        return not self.against


@dataclass(frozen=True, slots=True)
class Proposal:
    """What one month's trials say.

    Attributes:
        strategy: name.
        month: such as 2026-11.
        trials: all that were ever made for the strategy.
        retrains: retrains that made them.
        alternatives: by out-of-fold Sharpe ratio, best first.
        level: of each alternative's test.
        too_few: alternatives that were tried on too few of the present choice's bars to be compared.
        chosen: the alternative that is proposed, None: keep the present configuration.
    """

    strategy: str
    month: str
    trials: int
    retrains: int
    alternatives: tuple[Alternative, ...]
    level: float
    too_few: int
    chosen: Alternative | None


def propose(strategy: Strategy, tried: Sequence[Tried], month: str) -> Proposal:
    """Compare every alternative that was tried often enough with the present choice.

    A change is proposed where its difference is above zero, its p-value under `LEVEL` over the number of alternatives, and the probability
    of overfitting at most one half; of several the one with the highest ratio. What cannot be computed passes nothing.

    Args:
        strategy: as configured now.
        tried: all trials of the strategy's ledger, oldest first.
        month: names the proposal.
    """
    kept, too_few = [], 0
    for compared in compare(strategy, tried):
        enough = compared.alternative.covers(compared.present) >= LEAST_COVERAGE
        too_few += not enough
        kept += [compared] if enough else []
    level = LEVEL / max(len(kept), 1)
    scores = np.array([trial.score for trial in tried], np.float64)
    overfitting = {
        kind: _overfitting(strategy, [each for each in kept if each.kind == kind])
        for kind in {each.kind for each in kept}
    }
    found = [_judge(strategy, each, scores, level, overfitting[each.kind]) for each in kept]
    found.sort(key=lambda each: (not math.isfinite(each.sharpe), -each.sharpe if math.isfinite(each.sharpe) else 0.0))
    chosen = next((each for each in found if each.passes), None)
    retrains = len({trial.retrain_key for trial in tried})
    return Proposal(strategy.name, month, len(tried), retrains, tuple(found), level, too_few, chosen)


def patched(strategy: Strategy, patch: Mapping[str, Any]) -> Strategy:
    """The strategy with a proposal's change.

    Raises:
        ValidationError: the change is none that a strategy file may hold.
    """
    return Strategy.model_validate(overlay(strategy.model_dump(mode="json"), patch))


def _judge(strategy: Strategy, compared: Compared, scores: Floats, level: float, overfitting: float) -> Alternative:
    both = compared.alternative.beside(compared.present)
    size = _bars_a_unit(strategy, len(both[0]))
    year = strategy.periods_per_year / size
    ours, theirs = (_units(part, size) for part in both)
    draws = min(max(_LEAST_DRAWS, math.ceil(_DRAWS_BEYOND / level)), _MOST_DRAWS)
    seen = sharpe_difference(ours, theirs, year, seed=strategy.model.seed, draws=draws)
    deflated = deflated_sharpe(ours, scores / math.sqrt(year), max(len(scores), 1)).probability
    return Alternative(
        kind=compared.kind,
        title=compared.title,
        patch=compared.patch,
        sharpe=sharpe(ours, year),
        present_sharpe=sharpe(theirs, year),
        difference=seen.difference,
        low=seen.low,
        high=seen.high,
        p_value=seen.p_value,
        deflated=deflated,
        overfitting=overfitting,
        days=len(ours) * size * strategy.bar.milliseconds / DAY_MS,
        folds=compared.alternative.folds,
        against=_against(strategy, compared, seen.difference, seen.p_value, overfitting, level),
    )


def _against(
    strategy: Strategy, compared: Compared, difference: float, p_value: float, overfitting: float, level: float
) -> tuple[str, ...]:
    """What speaks against an alternative. Written so that NaN speaks against it."""
    found = []
    if not difference > 0:
        found.append("is no better" if math.isfinite(difference) else "its difference cannot be computed")
    if not p_value < level:
        found.append("its difference may be chance")
    if not overfitting <= MOST_OVERFITTING:
        found.append(
            "choosing among these looks overfitted" if math.isfinite(overfitting) else "overfitting is unknown"
        )
    try:
        patched(strategy, compared.patch)
    except ValidationError:
        found.append("no strategy file may hold it")
    return tuple(found)


def _bars_a_unit(strategy: Strategy, bars: int) -> int:
    """Bars put together to one return: a day of them, fewer where the record is short, so that the bootstrap stays quick."""
    return int(max(1, min(DAY_MS // strategy.bar.milliseconds, bars // _LEAST_UNITS)))


def _units(returns: Floats, size: int) -> Floats:
    """Sums of runs of `size` bars; where they do not fill the record, the oldest bars are left out."""
    count = len(returns) // size
    summed: Floats = returns[len(returns) - count * size :].reshape(count, size).sum(axis=1)
    return summed


def _overfitting(strategy: Strategy, compared: Sequence[Compared]) -> float:
    """Over the present choice and all alternatives of one kind, on the bars that all have; NaN where they have too few."""
    series = [compared[0].present, *(each.alternative for each in compared)]
    common = series[0].closed_at
    for each in series[1:]:
        common = np.intersect1d(common, each.closed_at, assume_unique=True)
    size = _bars_a_unit(strategy, len(common))
    columns = np.stack([_units(each.at(common), size) for each in series], axis=1)
    return probability_of_overfitting(columns).probability
