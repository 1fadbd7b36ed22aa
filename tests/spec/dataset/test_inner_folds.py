"""Inner folds of a training window as literal tables: 100 rows, one each time step."""

import numpy as np
import pytest

from tidegate.dataset.folds import inner_folds

# what, bars a trade lasts, folds, embargo, expected (rows fitted on, validation block from and to)
CASES = [
    ("blocks share the last 60 %", 1, 3, 0, [(40, 40, 60), (60, 60, 80), (80, 80, 100)]),
    ("long trades are purged", 10, 2, 0, [(31, 40, 70), (61, 70, 100)]),
    ("and the embargo comes on top", 10, 2, 5, [(26, 40, 70), (56, 70, 100)]),
]


@pytest.mark.parametrize(("what", "bars", "count", "embargo", "expected"), CASES)
def test_inner_folds(what: str, bars: int, count: int, embargo: int, expected: list[tuple[int, int, int]]) -> None:
    known_at = np.arange(100)
    folds = inner_folds(known_at, known_at + bars, count, embargo)
    found = [(len(fold.fit), int(fold.validate[0]), int(fold.validate[-1]) + 1) for fold in folds]
    assert found == expected, what
    for fold in folds:
        assert np.array_equal(fold.fit, np.arange(len(fold.fit))), "fitted on the oldest rows"
