import numpy as np
import pytest

from tidegate.validation.runs import long_runs, starts_of


@pytest.mark.parametrize(
    ("mask", "minimum", "members", "firsts", "lengths"),
    [
        ("", 2, "", [], []),
        ("....", 2, "....", [], []),
        (".##.", 2, ".##.", [1], [2]),
        ("#.##.###", 3, ".....###", [5], [3]),
        ("####", 2, "####", [0], [4]),
        ("##.##", 2, "##.##", [0, 3], [2, 2]),
        ("##.##", 3, ".....", [], []),
    ],
)
def test_long_runs(mask: str, minimum: int, members: str, firsts: list[int], lengths: list[int]) -> None:
    marks = np.array([mark == "#" for mark in mask], np.bool_)
    found, begin, length = long_runs(marks, starts_of(marks), minimum)
    assert "".join("#" if member else "." for member in found) == members
    assert begin.tolist() == firsts
    assert length.tolist() == lengths


def test_a_run_may_begin_right_behind_another() -> None:
    marks = np.ones(5, np.bool_)
    starts = np.array([True, False, False, True, False])
    found, begin, length = long_runs(marks, starts, 3)
    assert found.tolist() == [True, True, True, False, False]
    assert (begin.tolist(), length.tolist()) == ([0], [3])
