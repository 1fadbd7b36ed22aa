"""Whatever is looked at and in whatever order, no 365 days spend more than the year's error."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.bars.interval import DAY_MS
from tidegate.registry.looks import spent
from tidegate.statistics.spending import Look, allowance

YEAR = 0.05
LOOKS = st.lists(st.tuples(st.integers(0, 1200), st.integers(0, DAY_MS - 1), st.integers(0, 40)), max_size=60)


def charged(found: dict[int, tuple[int, float]], first: int) -> float:
    """What the looks of the 365 days from `first` on were given."""
    return sum(level for day, level in found.values() if first <= day < first + 365)


@given(LOOKS, st.integers(1, 15))
@settings(max_examples=60, deadline=None)
def test_no_year_spends_more_than_its_error(looks: list[tuple[int, int, int]], per_year: int) -> None:
    found: dict[int, tuple[int, float]] = {}
    for day, moment, number in looks:
        at = day * DAY_MS + moment
        known = [Look(each * DAY_MS, str(key), level) for key, (each, level) in found.items()]
        allowed = allowance(spent(known, at), str(number), at, yearly_error=YEAR, looks_per_year=per_year)
        before = found.setdefault(number, (day, allowed.level))
        assert allowed.level == before[1], "the same look keeps its level"
        assert 0 <= allowed.level <= YEAR / per_year + 1e-12
    for first in range(-365, 1201, 5):
        assert charged(found, first) <= YEAR + 1e-9


@given(st.integers(0, 400), st.integers(1, 30))
@settings(max_examples=40, deadline=None)
def test_a_look_that_the_schedule_allows_has_its_whole_share(day: int, apart: int) -> None:
    """Looks at least as far apart as the schedule says never go without."""
    per_year = -(-365 // apart)
    known: list[Look] = []
    for number in range(60):
        at = (day + number * apart) * DAY_MS
        allowed = allowance(spent(known, at), str(number), at, yearly_error=YEAR, looks_per_year=per_year)
        assert abs(allowed.level - YEAR / per_year) < 1e-12
        known.append(Look(at, str(number), allowed.level))
