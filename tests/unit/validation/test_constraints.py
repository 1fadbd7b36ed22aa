import subprocess
import sys

import numpy as np
import pytest
from tests.unit.validation.sound_bars import HOUR_MS, START_MS, as_of, edited, sound_bars

from tidegate.bars.bars import COLUMNS
from tidegate.settings.settings import Validation
from tidegate.validation.constraints import constraints, violations

BARS = sound_bars(30)
AS_OF = as_of(BARS)
NAN, INF = float("nan"), float("inf")

# column, value put into row 7: constraints violated there, by name
TABLE = [
    ("opened_at", -1, {"opened_at_present", "on_grid", "ascending"}),
    ("opened_at", START_MS + 7 * HOUR_MS + 1, {"on_grid"}),
    ("opened_at", START_MS + 6 * HOUR_MS, {"ascending"}),
    ("opened_at", AS_OF, {"finished", "ascending"}),
    ("opened_at", AS_OF + HOUR_MS, {"finished", "not_in_future", "ascending"}),
    ("open", NAN, {"open_present"}),
    ("open", INF, {"open_finite", "high_over_open"}),
    ("open", -INF, {"open_finite", "open_positive", "low_under_open"}),
    ("open", 0.0, {"open_positive", "low_under_open"}),
    ("high", NAN, {"high_present"}),
    ("high", INF, {"high_finite"}),
    ("high", 1.0, {"high_over_open", "high_over_close", "high_over_low"}),
    ("low", NAN, {"low_present"}),
    ("low", 1e6, {"low_under_open", "low_under_close", "high_over_low"}),
    ("close", NAN, {"close_present"}),
    ("close", 1e6, {"high_over_close"}),
    ("close", -1.0, {"close_positive", "low_under_close"}),
    ("volume", NAN, {"volume_present"}),
    ("volume", INF, {"volume_finite"}),
    ("volume", -INF, {"volume_finite", "volume_not_negative"}),
    ("volume", -1.0, {"volume_not_negative"}),
    ("volume", 0.0, set()),
]


@pytest.mark.parametrize(("column", "value", "names"), TABLE)
def test_a_violation_names_the_constraint_and_the_row(column: str, value: float, names: set[str]) -> None:
    found = violations(edited(BARS, column, 7, value), AS_OF)
    assert {violation.constraint.name for violation in found} == names
    later = column == "opened_at" and value >= AS_OF
    for violation in found:
        # A bar that is too late also makes the next one come too early.
        assert violation.rows.tolist() == ([8] if later and violation.constraint.name == "ascending" else [7])


def test_sound_bars_violate_nothing() -> None:
    assert violations(BARS, AS_OF) == []
    assert violations(sound_bars(0), AS_OF) == []


def test_names_are_unique_and_rules_are_settings() -> None:
    table = constraints(BARS.interval, AS_OF)
    assert len({constraint.name for constraint in table}) == len(table)
    assert {constraint.rule for constraint in table} <= set(Validation.model_fields)
    assert all(set(constraint.columns) <= set(COLUMNS) for constraint in table)
    assert all(constraint.field in constraint.columns and constraint.description for constraint in table)


def test_violation_names_the_field_to_refuse() -> None:
    bad = edited(edited(BARS, "high", 3, 1.0), "volume", 5, NAN)
    assert {(violation.field, *violation.rows.tolist()) for violation in violations(bad, AS_OF)} == {
        ("high", 3),
        ("volume", 5),
    }


def test_ascending_means_later_than_the_row_before() -> None:
    swapped = BARS.take(np.array([0, 2, 1, 3, 3]))
    (violation,) = violations(swapped, AS_OF)
    assert violation.rows.tolist() == [2, 4]


@pytest.mark.parametrize("module", ["constraints", "calendar"])
def test_the_serving_container_can_import_it_with_numpy_alone(module: str) -> None:
    code = (
        f"import sys, tidegate.validation.{module}\n"
        "heavy = {'pandas', 'great_expectations', 'pyarrow', 'scipy', 'mlflow', 'prefect', 'pydantic_settings'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
