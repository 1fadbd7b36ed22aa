"""Properties of the sequential test."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.monitoring import sequential
from tidegate.monitoring.run_length import average_run_length
from tidegate.monitoring.sequential import between, cusum, lattice

RATES = st.tuples(st.floats(0.35, 0.85), st.floats(0.05, 0.25)).map(lambda pair: (pair[0], pair[0] - pair[1]))
DESIGN = between(0.6, 0.5, 5, 0.5)


@given(st.lists(st.integers(-9, 11), max_size=200))
def test_the_quick_form_is_the_recursion(steps: list[int]) -> None:
    level, expected = 0, []
    for step in steps:
        level = max(0, level + step)
        expected.append(level)
    assert cusum(np.array(steps, int)).tolist() == expected


@given(st.lists(st.booleans(), max_size=300), st.integers(0, 300))
def test_later_trades_change_nothing_that_was_said(won: list[bool], cut: int) -> None:
    whole, early = sequential.test(DESIGN, 1, won), sequential.test(DESIGN, 1, won[:cut])
    assert whole.statistic[: len(early.statistic)].tobytes() == early.statistic.tobytes()
    if early.alarm_trade is not None:
        assert whole.alarm_trade == early.alarm_trade


@given(st.lists(st.booleans(), min_size=1, max_size=300), st.integers(0, 299))
def test_one_win_less_never_lowers_the_statistic(won: list[bool], place: int) -> None:
    worse = list(won)
    worse[place % len(won)] = False
    before, after = (sequential.test(DESIGN, 1, side).statistic for side in (won, worse))
    assert (after >= before).all()


@settings(max_examples=20, deadline=None)
@given(RATES, st.floats(1, 40), st.floats(0.05, 2))
def test_the_threshold_is_the_lowest_that_keeps_the_rate(
    rates: tuple[float, float], trades_per_day: float, yearly: float
) -> None:
    healthy, gone = rates
    found = between(healthy, gone, trades_per_day, yearly)
    assert found.false_alarms_per_year <= yearly
    run_length = average_run_length(found.chain(healthy))
    assert run_length == found.average_run_length >= found.trades_per_year / yearly
    if found.threshold_steps > 1:
        lower = found.chain(healthy).up_to(found.threshold_steps - 1)
        assert average_run_length(lower) < found.trades_per_year / yearly
    better = found.chain(min(0.99, healthy + 0.02))
    assert average_run_length(better) > found.average_run_length


@given(RATES)
def test_the_lattice_is_near_the_likelihood_ratios(rates: tuple[float, float]) -> None:
    healthy, gone = rates
    unit, loss, win = lattice(healthy, gone)
    exact = np.array([np.log((1 - gone) / (1 - healthy)), np.log(healthy / gone)])
    assert np.abs(np.array([loss, win]) * unit / exact - 1).max() < 0.05
    assert abs(loss / (loss + win) - exact[0] / exact.sum()) < 0.05 * (healthy - gone)
    # Where nothing has changed the statistic sinks, where the edge is gone it climbs.
    assert healthy * win > (1 - healthy) * loss
    assert gone * win < (1 - gone) * loss
