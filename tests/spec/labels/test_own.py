"""Labels by a function of the user's own: judged like any other, and refused where no trade could have ended so."""

import numpy as np
import pytest
from pydantic import ValidationError
from tests.own_labels import TRAIL
from tests.property.features.test_rows import walk
from tests.spec.labels.test_labels import COSTS, market

from tidegate.errors import ConfigurationError, NotEnoughHistory
from tidegate.labels.labels import NEVER, label, minimum_bars
from tidegate.labels.own import gain_again
from tidegate.strategy.strategy import Labels

N = 400


def rule(name: str, horizon_bars: int = 12, lookback: int = 1) -> Labels:
    return Labels(method=f"tests.own_labels:{name}", horizon_bars=horizon_bars, lookback=lookback)


def test_a_trailing_stop_by_hand() -> None:
    """Entered at 100, it rises to 103, and leaves at the first close one percent under that: 101."""
    bars = market((100, 102, 100, 102), (102, 103, 102, 103), (103, 103, 101, 101), (101, 101, 101, 101))
    found = label(bars, rule("trailing_stop", horizon_bars=4), COSTS)
    assert found.gain[5] == pytest.approx(0.01, abs=1e-15)
    assert found.won[5] == 1.0
    assert found.end_row[5] == 8
    assert found.ends_at[5] == bars.closed_at[8]
    assert np.isnan(found.width).all()


def test_it_is_judged_from_the_next_open_and_known_at_its_last_bar_s_close() -> None:
    bars = walk(1, N)
    found = label(bars, rule("trailing_stop"), COSTS)
    known = np.flatnonzero(found.known())
    assert N - 12 <= len(known) < N
    for row in known:
        end = found.end_row[row]
        assert found.gain[row] == bars.close[end] / bars.open[row + 1] - 1.0
        assert found.won[row] == float(found.gain[row] > 0)
        assert found.ends_at[row] == bars.closed_at[end] > bars.closed_at[row]
        held = bars.close[row : end + 1]
        assert held[-1] <= held.max() * (1 - TRAIL) or end == row + 12
    assert (found.ends_at[~found.known()] == NEVER).all()
    assert (found.end_row[~found.known()] == N).all()


def test_nothing_is_known_before_its_lookback() -> None:
    assert not label(walk(1, N), rule("trailing_stop", lookback=40), COSTS).known()[:39].any()
    assert label(walk(1, N), rule("trailing_stop", lookback=40), COSTS).known()[39]


def test_fewer_bars_than_one_outcome_needs() -> None:
    chosen = rule("trailing_stop", lookback=40)
    assert minimum_bars(chosen) == 40 + 12 + 1
    with pytest.raises(NotEnoughHistory):
        label(walk(1, 52), chosen, COSTS)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("before_the_entry", "ends a trade before its entry: 400 times"),
        ("too_long", "holds a trade too long: 386 times"),
        ("above_the_high", "at a price that its bar did not have: 399 times"),
        ("at_no_price", "at a price that its bar did not have: 399 times"),
        ("beyond_the_end", "in a bar that is not there: 1 times"),
        ("one_too_few", "gives other arrays"),
        ("as_floats", "gives other arrays"),
        ("something_else", "gives tuple"),
        ("not_there", "cannot be imported"),
    ],
)
def test_what_no_trade_can_be_is_refused_with_its_first_bar(name: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        label(walk(1, N), rule(name), COSTS)


def test_a_second_opinion_agrees_with_a_sound_function() -> None:
    bars, chosen = walk(2, N), rule("trailing_stop")
    found = label(bars, chosen, COSTS)
    for row in np.flatnonzero(found.known()):
        assert gain_again(bars, int(row), int(found.end_row[row]), chosen, COSTS) == found.gain[row]


def test_a_second_opinion_finds_hindsight() -> None:
    bars = walk(2, N)
    chosen = Labels(method="tests.integration.pipeline.leaks:best_close_in_hindsight", horizon_bars=12, lookback=1)
    found = label(bars, chosen, COSTS)
    known = np.flatnonzero(found.known())
    told = [gain_again(bars, int(row), int(found.end_row[row]), chosen, COSTS) for row in known]
    assert told.count(None) > 0.8 * len(known)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"method": "my_labels:session"}, "labels.lookback must say"),
        ({"method": "fixed_horizon", "lookback": 5}, "fixed_horizon has none"),
        ({"method": "quadruple_barrier"}, "should match pattern"),
        ({"method": "os:system;rm", "lookback": 5}, "should match pattern"),
    ],
)
def test_a_rule_that_cannot_be_is_refused(content: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Labels.model_validate(content)
