"""Which features a strategy may name, and what a wrong name says."""

from typing import Any

import numpy as np
import pytest
from tests.property.features.test_rows import walk

from tidegate.bars.bars import Floats
from tidegate.errors import ConfigurationError, NotEnoughHistory
from tidegate.features.builtin import FAMILIES
from tidegate.features.features import FeatureSet, from_specs, resolve, standard_set
from tidegate.features.spec import FeatureSpec
from tidegate.features.window import Window
from tidegate.strategy.strategy import FeatureUse

HERE = __name__


def middle(window: Window, length: int) -> Floats:
    """A feature of the strategy's own: the bar's middle over its close."""
    del length
    return window.now((window.bars.high + window.bars.low) / (2.0 * window.bars.close))


def return_of(window: Window, length: int) -> Floats:
    """A feature of the strategy's own, with a length."""
    return window.now(window.log_close) - window.lag(window.log_close, length)


def too_short(window: Window, length: int) -> Floats:
    """One that gives a row too few."""
    del length
    return window.now(window.bars.close)[1:]


def uses(*described: dict[str, Any]) -> FeatureSet:
    return resolve([FeatureUse.model_validate(one) for one in described])


def test_names_carry_lengths_and_the_longest_lookback_counts() -> None:
    found = uses({"use": "return", "lengths": [1, 24]}, {"use": "body"}, {"use": "volatility", "lengths": [12]})
    assert found.names == ("return_1", "return_24", "body", "volatility_12")
    assert [spec.lookback for spec in found.specs] == [2, 25, 1, 13]
    assert found.lookback == 25


def test_nothing_named_is_the_standard_set() -> None:
    assert resolve([]).names == resolve(standard_set()).names
    assert len({name.rstrip("0123456789_") for name in resolve([]).names}) >= len(FAMILIES) - 2


def test_functions_of_the_strategys_own() -> None:
    found = uses({"use": f"{HERE}:middle", "lookback": 1}, {"use": f"{HERE}:return_of", "lengths": [3], "lookback": 4})
    assert found.names == ("middle", "return_of_3")
    bars = walk(1, 50)
    matrix = found.matrix(bars)
    assert np.isnan(matrix[:3]).all()
    assert matrix[3:, 0] == pytest.approx((bars.high[3:] + bars.low[3:]) / (2 * bars.close[3:]), rel=1e-15)
    assert matrix[3:, 1] == pytest.approx(np.log(bars.close[3:] / bars.close[:-3]), abs=1e-12)
    assert (found.newest(bars)[0] == matrix[-1]).all()


@pytest.mark.parametrize(
    ("described", "told"),
    [
        ({"use": "momentum"}, "feature 'momentum' is unknown, expected one of return, volatility"),
        ({"use": "return"}, "feature return, expected lengths"),
        ({"use": "body", "lengths": [3]}, "feature body, expected no lengths"),
        ({"use": f"{HERE}:middle"}, "does not say how far it looks back, expected a number of bars"),
        ({"use": f"{HERE}:nothing", "lookback": 1}, "cannot be imported"),
        (
            {"use": "no_such_module:f", "lookback": 1},
            "it must be importable where the model is trained, monitored and served",
        ),
        ({"use": "return", "lengths": [3, 3]}, "features are named twice: return_3"),
    ],
)
def test_wrong_names_are_refused(described: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        uses(described)
    assert told in str(raised.value)


@pytest.mark.parametrize("lengths", [[0], [-1], [5001]])
def test_impossible_lengths_are_refused(lengths: list[int]) -> None:
    with pytest.raises(ValueError, match="lengths must lie in"):
        FeatureUse.model_validate({"use": "return", "lengths": lengths})


def test_a_function_that_gives_another_number_of_rows_is_refused() -> None:
    found = uses({"use": f"{HERE}:too_short", "lookback": 1})
    with pytest.raises(ConfigurationError, match=r"too_short.*gives shape \(19,\), expected \(20,\)"):
        found.matrix(walk(1, 20))


def test_fewer_bars_than_the_lookback_give_no_rows_and_no_newest() -> None:
    found = uses({"use": "return", "lengths": [24]})
    assert np.isnan(found.matrix(walk(1, 24))).all()
    assert found.matrix(walk(1, 1).take(slice(0, 0))).shape == (0, 1)
    with pytest.raises(NotEnoughHistory, match="expected 25 bars, was 24"):
        found.newest(walk(1, 24))
    assert np.isfinite(found.newest(walk(1, 25))).all()


def test_the_digest_tells_order_length_and_lookback_apart() -> None:
    first = uses({"use": "return", "lengths": [1, 3]})
    assert first.digest() == uses({"use": "return", "lengths": [1, 3]}).digest()
    others = [
        uses({"use": "return", "lengths": [3, 1]}),
        uses({"use": "return", "lengths": [1, 4]}),
        uses({"use": "return", "lengths": [1]}),
        from_specs([first.specs[0], first.specs[1].model_copy(update={"lookback": 9})]),
    ]
    assert len({found.digest() for found in [first, *others]}) == 5


def test_a_specification_of_a_family_that_is_gone_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="is unknown"):
        from_specs([FeatureSpec(name="old_3", use="old", length=3, lookback=4)])
