"""How much was tried on a strategy's test windows, for people who judge how far its results can be trusted."""

import math
from dataclasses import dataclass

from tidegate.dataset.windows import Window
from tidegate.registry.trials import Trial, TrialLedger


@dataclass(frozen=True, slots=True)
class TriedFold:
    """The trials of one fold of one retraining.

    Attributes:
        retrain_key: strategy and month.
        fold: 0 is the oldest.
        test: the test window, UTC ms.
        trials: how many parameter sets were tried, failed ones included.
        best_score: the highest score that the search ranked by, None where all failed.
        reads: how often any part of the test window has been read for the strategy, by this retraining and all others.
    """

    retrain_key: str
    fold: int
    test: Window
    trials: int
    best_score: float | None
    reads: int


def tried_folds(ledger: TrialLedger, strategy: str) -> list[TriedFold]:
    """A strategy's trials by retraining, fold and test window, in the order in which they were first recorded.

    Raises:
        LedgerError: the ledger cannot be reached.
    """
    groups: dict[tuple[str, int, Window], list[Trial]] = {}
    for trial in ledger.trials(strategy):
        groups.setdefault((trial.retrain_key, trial.fold, trial.windows.test), []).append(trial)
    return [
        TriedFold(key, fold, test, len(trials), _best(trials), ledger.count_reads(strategy, test))
        for (key, fold, test), trials in groups.items()
    ]


def _best(trials: list[Trial]) -> float | None:
    scores = [trial.score for trial in trials if trial.score is not None and math.isfinite(trial.score)]
    return max(scores, default=None)
