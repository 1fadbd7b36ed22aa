"""How far the importance of features has moved between two versions."""

from collections.abc import Mapping
from typing import Final

import numpy as np

from tidegate.backtest.result import Floats
from tidegate.errors import FiguresRefused
from tidegate.monitoring.result import ImportanceChange

_LARGEST: Final = 5
_LEAST_FEATURES: Final = 3  # under which a rank correlation says nothing


def importance_change(
    version: int, before: int, importance: Mapping[str, float], importance_before: Mapping[str, float]
) -> ImportanceChange:
    """Compare the importance of the features of two versions.

    Each side is scaled to a sum of 1. A feature that only one of them has counts as 0 in the other.

    Args:
        version: the version.
        before: the one before it.
        importance: gain by feature of the version.
        importance_before: likewise of the one before.
    Returns:
        `moved` 0 (the same) to 1 (all of it lies on other features).
    Raises:
        FiguresRefused: a side is empty, sums to nothing, or has a value that is negative or not a number.
    """
    now, then = _shares(version, importance), _shares(before, importance_before)
    names = sorted(now.keys() | then.keys())
    change = {name: now.get(name, 0.0) - then.get(name, 0.0) for name in names}
    both = [name for name in names if name in now and name in then]
    largest = sorted((name for name in names if change[name]), key=lambda name: (-abs(change[name]), name))[:_LARGEST]
    return ImportanceChange(
        version=version,
        before=before,
        moved=min(1.0, sum(abs(value) for value in change.values()) / 2),
        rank_correlation=_spearman(np.array([now[name] for name in both]), np.array([then[name] for name in both])),
        largest={name: change[name] for name in largest},
    )


def _shares(version: int, importance: Mapping[str, float]) -> dict[str, float]:
    values = np.array(list(importance.values()), np.float64)
    if not (len(values) and np.isfinite(values).all() and (values >= 0).all() and values.sum() > 0):
        raise FiguresRefused(
            f"importance of the features of version {version}", expected="shares that sum to 1", actual=dict(importance)
        )
    total = float(values.sum())
    return {name: float(value) / total for name, value in importance.items()}


def _spearman(ours: Floats, theirs: Floats) -> float:
    """Correlation of mean ranks (Spearman 1904); NaN with fewer than three values, or where a side is constant."""
    if len(ours) < _LEAST_FEATURES:
        return float("nan")
    first, second = _ranks(ours), _ranks(theirs)
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])


def _ranks(values: Floats) -> Floats:
    """Ranks from 0; ties share their mean."""
    below = (values[:, None] > values).sum(axis=1)
    return np.asarray(below + ((values[:, None] == values).sum(axis=1) - 1) / 2, np.float64)
