"""The benchmark of memory in small: by external memory a fit gives the same bytes and never holds the table of its rows."""

from pathlib import Path

import pytest
from benchmarks.scale import FEATURES, WAYS, YEAR, apart

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]


def test_a_fit_by_external_memory_needs_less_than_the_table_it_does_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    (ROOT / ".cache").mkdir(exist_ok=True)
    years = 0.6
    within, without = (apart(years, 2, way) for way in WAYS)
    assert within["digest"] == without["digest"]
    table_mb = years * YEAR * FEATURES * 4 / 1e6
    assert float(within["fit_mb"]) - float(without["fit_mb"]) > 0.5 * table_mb
