import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from tidegate.errors import FiguresRefused
from tidegate.monitoring.importance import importance_change


@pytest.mark.parametrize(
    ("now", "then", "moved", "largest"),
    [
        ({"a": 0.5, "b": 0.5}, {"a": 0.5, "b": 0.5}, 0.0, {}),
        ({"a": 1.0}, {"b": 1.0}, 1.0, {"a": 1.0, "b": -1.0}),
        ({"a": 0.75, "b": 0.25}, {"a": 0.5, "b": 0.5}, 0.25, {"a": 0.25, "b": -0.25}),
        ({"a": 3.0, "b": 1.0}, {"a": 10.0, "b": 10.0}, 0.25, {"a": 0.25, "b": -0.25}),
        ({"a": 0.5, "c": 0.5}, {"a": 0.5, "b": 0.5}, 0.5, {"b": -0.5, "c": 0.5}),
    ],
    ids=str,
)
def test_the_share_that_moved(
    now: dict[str, float], then: dict[str, float], moved: float, largest: dict[str, float]
) -> None:
    found = importance_change(5, 4, now, then)
    assert (found.version, found.before) == (5, 4)
    assert found.moved == pytest.approx(moved)
    assert list(found.largest) == list(largest)
    assert found.largest == pytest.approx(largest)


def test_only_the_five_largest_changes_are_named() -> None:
    now = {f"f{i}": float(2**i) for i in range(8)}
    found = importance_change(2, 1, now, dict.fromkeys(now, 1.0))
    # Shares of 255 against 1 of 8 each: f7 128, f6 64, f5 32, then what lost most.
    assert list(found.largest) == ["f7", "f6", "f0", "f1", "f2"]


def test_ranks_agree_with_scipy_ties_included() -> None:
    generator = np.random.default_rng(2)
    now, then = (generator.integers(1, 9, 20).astype(float) for _ in range(2))
    names = [f"f{i}" for i in range(20)]
    found = importance_change(
        2, 1, dict(zip(names, now, strict=True)), {**dict(zip(names, then, strict=True)), "gone": 4.0}
    )
    assert found.rank_correlation == pytest.approx(spearmanr(now, then).statistic)


@pytest.mark.parametrize(
    ("now", "then"),
    [({"a": 1.0, "b": 2.0}, {"a": 2.0, "b": 1.0}), ({"a": 1, "b": 1, "c": 1}, {"a": 1, "b": 2, "c": 3})],
)
def test_no_correlation_of_too_few_or_of_a_constant(now: dict[str, float], then: dict[str, float]) -> None:
    assert math.isnan(importance_change(2, 1, now, then).rank_correlation)


@pytest.mark.parametrize("bad", [{}, {"a": 0.0}, {"a": -1.0, "b": 2.0}, {"a": math.nan}, {"a": math.inf}], ids=str)
def test_what_is_no_importance_is_refused(bad: dict[str, float]) -> None:
    for now, then in ((bad, {"a": 1.0}), ({"a": 1.0}, bad)):
        with pytest.raises(FiguresRefused):
            importance_change(2, 1, now, then)
