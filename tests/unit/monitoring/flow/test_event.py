"""What differs between two records of the same run."""

import pytest

from tidegate.pipeline.monitor_event import differing


@pytest.mark.parametrize(
    ("before", "after", "names"),
    [
        ({"a": 1.0}, {"a": 1.0}, []),
        ({"a": 1.0}, {"a": 1.0000000000000002}, ["a"]),
        ({"live": {"trades": 3, "sharpe": None}}, {"live": {"trades": 4, "sharpe": None}}, ["live.trades"]),
        ({"live": {"trades": 3}}, {"live": {}}, ["live.trades"]),
        ({"sequential": None}, {"sequential": {"alarm": False}}, ["sequential"]),
        ({"report": "a.html", "differs": ["x"]}, {"report": "b.html"}, []),
        ({}, {f"n{at:02d}": at for at in range(14)}, [*(f"n{at:02d}" for at in range(12)), "and 2 more"]),
    ],
)
def test_differing(before: dict[str, object], after: dict[str, object], names: list[str]) -> None:
    assert differing(before, after) == names
