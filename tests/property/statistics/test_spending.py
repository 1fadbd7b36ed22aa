"""No year's looks are charged more than the budget, whenever and however often somebody looks."""

import math

from hypothesis import given
from hypothesis import strategies as st

from tidegate.bars.interval import DAY_MS
from tidegate.statistics.spending import CHARGED_DAYS, Look, allowance

hours = st.lists(st.integers(0, 3 * 365 * 24), min_size=1, max_size=60)
ERROR = 0.05


def looked(at_hours: list[int], keys: list[int], looks_per_year: int) -> list[Look]:
    """A ledger that was written as looks were made."""
    ledger: list[Look] = []
    for hour, key in zip(sorted(at_hours), keys, strict=False):
        at_ms = hour * DAY_MS // 24
        found = allowance(ledger, str(key), at_ms, yearly_error=ERROR, looks_per_year=looks_per_year)
        ledger.append(Look(at_ms, str(key), found.level))
    return ledger


@given(hours, st.lists(st.integers(0, 40), min_size=60, max_size=60), st.integers(1, 20))
def test_no_year_is_charged_more_than_its_budget(at_hours: list[int], keys: list[int], looks_per_year: int) -> None:
    ledger = looked(at_hours, keys, looks_per_year)
    first: dict[str, Look] = {}
    for look in ledger:
        assert 0.0 <= look.level <= ERROR / looks_per_year
        assert look.level == first.setdefault(look.key, look).level
    for begin in first.values():
        begun = begin.at_ms // DAY_MS
        year = [look.level for look in first.values() if begun <= look.at_ms // DAY_MS < begun + CHARGED_DAYS]
        assert math.fsum(year) <= ERROR + 1e-9


@given(hours, st.integers(1, 20), st.integers(0, 3 * 365))
def test_budget_returns_when_it_says(at_hours: list[int], looks_per_year: int, day: int) -> None:
    ledger = looked(at_hours, list(range(60)), looks_per_year)
    at_ms = max(day * DAY_MS, ledger[-1].at_ms)
    found = allowance(ledger, "new", at_ms, yearly_error=ERROR, looks_per_year=looks_per_year)
    assert (found.returns_at is None) == (found.level == ERROR / looks_per_year)
    if found.returns_at is not None:
        assert found.returns_at > at_ms
        for at, whole in ((found.returns_at, True), (found.returns_at - 1, False)):
            then = allowance(ledger, "new", at, yearly_error=ERROR, looks_per_year=looks_per_year)
            assert (then.level == ERROR / looks_per_year) is whole


@given(hours)
def test_looking_as_planned_always_has_its_share(at_hours: list[int]) -> None:
    monthly = [30 * 24 * month + 10 * 24 + hour % 24 for month, hour in enumerate(at_hours[:12])]
    assert all(look.level == ERROR / 12 for look in looked(monthly, list(range(12)), 12))
