"""Labels by hand. Entry at 100, barriers one percent away at 101 and 99, at most three bars."""

import numpy as np
import pytest

from tidegate.bars.bars import Bars
from tidegate.errors import NotEnoughHistory
from tidegate.labels.labels import NEVER, label, minimum_bars, uniqueness
from tidegate.labels.reference import gain_of_row
from tidegate.strategy.strategy import Costs, Labels

HOUR_MS = 3_600_000
SIGNAL = 5  # the first row whose volatility of five returns is known
# The volatility term is as good as nothing, so the width is the cost floor: one round trip of 50 bps a side is 1 %.
RULE = Labels(horizon_bars=3, barrier_sigmas=1e-9, volatility_bars=5, min_barrier_costs=1.0)
COSTS = Costs(fee_bps=40, half_spread_bps=6, slippage_bps=4)

Candle = tuple[float, float, float, float]
QUIET: Candle = (100, 100.5, 99.5, 100)


def market(*candles: Candle) -> Bars:
    """Six quiet bars, the last of which gives the signal, and then the candles (open, high, low, close)."""
    rows = np.array([QUIET] * (SIGNAL + 1) + list(candles), dtype=np.float64)
    opened_at = HOUR_MS * np.arange(len(rows))
    return Bars.of(
        "X/Y",
        "1h",
        opened_at=opened_at,
        open=rows[:, 0],
        high=rows[:, 1],
        low=rows[:, 2],
        close=rows[:, 3],
        volume=np.ones(len(rows)),
    )


# what, candles after the signal, gain, row in which it ends (counted from the signal), whether the end is known at that bar's open
CASES = [
    ("upper in the entry bar", [(100, 101, 99.5, 100.5), QUIET, QUIET, QUIET], 0.01, 1, False),
    ("upper in the last of three bars", [QUIET, QUIET, (100, 101.5, 100, 101), QUIET], 0.01, 3, False),
    ("lower first, upper later", [(100, 100, 99, 99.5), (100, 102, 100, 101), QUIET, QUIET], -0.01, 1, False),
    ("upper first, lower later", [(100, 101, 100, 100), (100, 100, 98, 98), QUIET, QUIET], 0.01, 1, False),
    ("both in one bar count as lost", [(100, 101.2, 98.8, 100), QUIET, QUIET, QUIET], -0.01, 1, False),
    ("just short of either barrier", [(100, 100.99, 99.01, 100)] * 3 + [(100.4, 101, 100, 100)], 0.004, 4, True),
    ("a gap over the upper barrier gains its open", [QUIET, (103, 104, 102, 103), QUIET, QUIET], 0.03, 2, False),
    ("a gap up that falls to the stop still gained", [QUIET, (103, 104, 98, 98), QUIET, QUIET], 0.03, 2, False),
    ("a gap under the lower barrier loses its open", [QUIET, (96, 97, 95, 96), QUIET, QUIET], -0.04, 2, False),
    ("a gap down that rises to the target still lost", [QUIET, (96, 102, 95, 101), QUIET, QUIET], -0.04, 2, False),
    ("timeout at the next open, a little up", [QUIET, QUIET, QUIET, (100.2, 105, 90, 100)], 0.002, 4, True),
    ("timeout at the next open, a little down", [QUIET, QUIET, QUIET, (99.9, 105, 90, 100)], -0.001, 4, True),
    ("timeout at the entry price has not gained", [QUIET, QUIET, QUIET, QUIET], 0.0, 4, True),
]


@pytest.mark.parametrize(("what", "candles", "gain", "end", "at_open"), CASES)
def test_triple_barrier(what: str, candles: list[Candle], gain: float, end: int, at_open: bool) -> None:
    bars = market(*candles)
    labels = label(bars, RULE, COSTS)
    assert labels.width[SIGNAL] == pytest.approx(0.01, abs=1e-15)
    assert labels.gain[SIGNAL] == pytest.approx(gain, abs=1e-12), what
    assert labels.won[SIGNAL] == (1.0 if gain > 0 else 0.0)
    assert labels.end_row[SIGNAL] == SIGNAL + end
    times = bars.opened_at if at_open else bars.closed_at
    assert labels.ends_at[SIGNAL] == times[SIGNAL + end]
    slow = gain_of_row(bars, SIGNAL, RULE, 0.01)
    assert slow == pytest.approx(gain, abs=1e-12)


def test_only_a_bar_that_touches_both_barriers_without_a_gap_is_ambiguous() -> None:
    after = [QUIET] * 4
    assert label(market((100, 101.2, 98.8, 100), *after), RULE, COSTS).ambiguous == 1
    assert label(market(QUIET, (103, 104, 98, 98), *after), RULE, COSTS).ambiguous == 0
    assert label(market(QUIET, (98.5, 101, 98.4, 101), *after), RULE, COSTS).ambiguous == 0


def test_an_outcome_that_the_bars_do_not_reach_is_not_known() -> None:
    labels = label(market(*[QUIET] * 4, *[QUIET] * 2), RULE, COSTS)
    assert labels.known().tolist() == [False] * 5 + [True] * 3 + [False] * 4
    assert np.isnan(labels.won[-4:]).all()
    assert (labels.ends_at[-4:] == NEVER).all()
    assert (labels.end_row[-4:] == len(labels.won)).all()


def test_a_barrier_touched_in_the_newest_bar_is_known() -> None:
    labels = label(market(QUIET, QUIET, QUIET, (100, 101, 100, 101)), RULE, COSTS)
    newest = SIGNAL + 3
    assert labels.gain[newest] == pytest.approx(0.01)
    assert labels.end_row[newest] == SIGNAL + 4


def test_the_width_is_volatilities_over_the_horizon_once_that_exceeds_the_cost_floor() -> None:
    # Closes alternate by one percent: five returns of +-r have the mean +-r/5 and the standard deviation r * sqrt(24/25).
    closes = [100.0, 101.0] * 4
    bars = market(*[(close, close, close, close) for close in closes])
    rule = RULE.model_copy(update={"barrier_sigmas": 2.0, "horizon_bars": 4})
    row = SIGNAL + 7
    deviation = np.log(1.01) * np.sqrt(24 / 25)
    assert label(bars, rule, COSTS).width[row] == pytest.approx(2.0 * 2.0 * deviation, rel=1e-12)
    dear = Costs(fee_bps=300, half_spread_bps=0, slippage_bps=0)
    assert label(bars, rule, dear).width[row] == pytest.approx(0.06, rel=1e-12)
    assert label(bars, rule.model_copy(update={"min_barrier_costs": 2.5}), dear).width[row] == pytest.approx(0.15)


def test_fixed_horizon_runs_from_the_next_open_to_the_open_after_the_horizon() -> None:
    opens = [100.0, 110.0, 120.0, 99.0, 110.0, 130.0]
    bars = Bars.of(
        "X/Y", "1h", opened_at=HOUR_MS * np.arange(6), open=opens, high=opens, low=opens, close=opens, volume=[1] * 6
    )
    labels = label(bars, Labels(method="fixed_horizon", horizon_bars=2), COSTS)
    assert labels.gain[:3] == pytest.approx([99 / 110 - 1, 110 / 120 - 1, 130 / 99 - 1])
    assert labels.won[:3].tolist() == [0.0, 0.0, 1.0]
    assert labels.ends_at[:3].tolist() == [3 * HOUR_MS, 4 * HOUR_MS, 5 * HOUR_MS]
    assert labels.end_row.tolist() == [3, 4, 5, 6, 6, 6]
    assert np.isnan(labels.gain[3:]).all()
    assert np.isnan(labels.width).all()


@pytest.mark.parametrize("method", ["triple_barrier", "fixed_horizon"])
def test_too_few_bars_are_refused_and_one_more_gives_one_label(method: str) -> None:
    rule = RULE.model_copy(update={"method": method})
    least = minimum_bars(rule)
    bars = market(*[QUIET] * 20)
    with pytest.raises(NotEnoughHistory, match=f"expected {least}, was {least - 1}"):
        label(bars.take(slice(0, least - 1)), rule, COSTS)
    assert label(bars.take(slice(0, least)), rule, COSTS).known().sum() == 1


# what, first and last bar of each trade, weights
OVERLAPS = [
    ("alone", [(3, 7)], [1.0]),
    ("apart", [(0, 1), (2, 3)], [1.0, 1.0]),
    ("the same bars twice", [(0, 3), (0, 3)], [0.5, 0.5]),
    ("three at once", [(0, 0), (0, 0), (0, 0)], [1 / 3, 1 / 3, 1 / 3]),
    ("a long one over two short ones", [(0, 3), (0, 1), (2, 3)], [0.5, 0.5, 0.5]),
    ("a chain", [(0, 1), (1, 2), (2, 3)], [0.75, 0.5, 0.75]),
    ("far from the origin, not in order", [(1005, 1006), (1000, 1001), (1006, 1006)], [0.75, 1.0, 0.5]),
    ("none", [], []),
]


@pytest.mark.parametrize(("what", "trades", "expected"), OVERLAPS)
def test_uniqueness(what: str, trades: list[tuple[int, int]], expected: list[float]) -> None:
    start = np.array([trade[0] for trade in trades], dtype=np.int64)
    end = np.array([trade[1] for trade in trades], dtype=np.int64)
    assert uniqueness(start, end) == pytest.approx(expected), what
