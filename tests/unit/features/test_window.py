"""What a window refuses, and what one row shares between features."""

import numpy as np
import pytest
from tests.property.features.test_rows import walk

from tidegate.bars.bars import COLUMNS, Floats
from tidegate.errors import ConfigurationError, NotEnoughHistory
from tidegate.features.features import FeatureSet, resolve
from tidegate.features.newest import NewestRow
from tidegate.features.window import Window
from tidegate.strategy.strategy import FeatureUse

BARS = walk(2, 30)
SEEN: list[tuple[int, Window]] = []


def looked_at(window: Window, length: int) -> Floats:
    """A feature of the strategy's own that remembers which windows it was given."""
    SEEN.append((length, window))
    return window.mean(window.log_volume, length)


def shapeless(window: Window, length: int) -> Floats:
    """One that gives a number in place of one a row."""
    return np.asarray(window.mean(window.log_volume, length).sum())


@pytest.mark.parametrize("look", ["sum", "mean", "std", "max", "min", "bars_since_max", "bars_since_min"])
@pytest.mark.parametrize("rows", [1, 4])
def test_no_more_bars_than_there_are(look: str, rows: int) -> None:
    window, row = Window(BARS, rows), NewestRow(BARS)
    assert getattr(window, look)(BARS.close, 31 - rows).shape == (rows,)
    with pytest.raises(NotEnoughHistory, match="expected 31 bars, was 30"):
        getattr(window, look)(BARS.close, 32 - rows)
    with pytest.raises(NotEnoughHistory, match="expected 31 bars, was 30"):
        getattr(row, look)(BARS.close, 31)
    with pytest.raises(ConfigurationError, match="looks at no bar"):
        getattr(window, look)(BARS.close, 0)


def test_no_lag_before_the_first_bar() -> None:
    assert Window(BARS, 3).lag(BARS.close, 27).tolist() == BARS.close[:3].tolist()
    assert NewestRow(BARS).lag(BARS.close, 29) == BARS.close[0]
    for view, lag in ((Window(BARS, 3), 28), (NewestRow(BARS), 30)):
        with pytest.raises(NotEnoughHistory, match="expected 31 bars, was 30"):
            view.lag(BARS.close, lag)


@pytest.mark.parametrize("power", [1, 2, 5])
def test_no_other_moments_than_the_third_and_fourth(power: int) -> None:
    with pytest.raises(ConfigurationError, match=f"expected power 3 or 4, was {power}"):
        Window(BARS, 3).moment(BARS.close, 5, power)  # type: ignore[arg-type]


def test_series_cannot_be_written_to() -> None:
    for view in (Window(BARS, 3), NewestRow(BARS)):
        for series in (view.log_return, view.true_range, view.bars.close):
            with pytest.raises(ValueError, match="read-only"):
                series[5] = 1.0
    with pytest.raises(ValueError, match="read-only"):
        Window(BARS, 3).sum(BARS.close, 3)[0] = 1.0


def test_a_series_is_worked_out_once() -> None:
    row = NewestRow(BARS)
    assert row.log_return is row.log_return
    assert row.window is row.window


def test_own_features_of_one_row_share_a_window_of_the_lookback() -> None:
    here = f"{__name__}:looked_at"
    features = resolve([FeatureUse(use=here, lengths=(3, 5), lookback=5), FeatureUse(use="return", lengths=(9,))])
    SEEN.clear()
    row = features.newest(BARS)
    (first, one), (second, other) = SEEN
    assert (first, second) == (3, 5)
    assert one is other
    assert (len(one.bars), one.rows) == (10, 1)
    assert row.tobytes() == features.matrix(BARS)[-1:].tobytes()


def test_an_own_feature_without_a_shape_is_refused_for_one_row_too() -> None:
    features = resolve([FeatureUse(use=f"{__name__}:shapeless", lengths=(3,), lookback=3)])
    for compute in (features.newest, features.matrix):
        with pytest.raises(ConfigurationError, match=r"shapeless.*gives shape \(\)"):
            compute(BARS)


def plan_of(features: FeatureSet) -> dict[str, list[int]]:
    """Which sums the features have worked out together, by series."""
    row = NewestRow(BARS)
    for feature in features.features:
        assert feature.on_newest is not None
        feature.on_newest(row, feature.length)
    plan = row.plan()
    found: dict[str, list[int]] = {}
    for at, length in plan.sums:
        found.setdefault(plan.series[at], []).append(length)
    return found


def test_a_plan_holds_what_was_asked_for_and_nothing_else() -> None:
    uses = [
        FeatureUse(use="volatility", lengths=(5, 9)),
        FeatureUse(use="volume_trend", lengths=(3,)),
        FeatureUse(use="rsi", lengths=(5,)),
        FeatureUse(use="return", lengths=(2,)),
    ]
    assert plan_of(resolve(uses)) == {"log_return": [5, 9], "volume": [3, 12], "rise": [5], "absolute_return": [5]}
    assert plan_of(resolve([FeatureUse(use="body")])) == {}


def test_a_plan_for_another_number_of_bars_is_not_followed() -> None:
    row = NewestRow(BARS)
    spread = row.std(row.log_return, 5)
    shorter = BARS.take(slice(3, None))
    again = NewestRow(shorter, row.plan())
    assert again.std(again.log_return, 5) == spread
    assert again.plan().bars == len(shorter)


def test_volume_of_flat_bars_lies_nowhere() -> None:
    columns = {name: getattr(BARS, name).copy() for name in COLUMNS}
    for name in ("open", "high", "low", "close"):
        columns[name][4] = 3.0
    bars = type(BARS)(BARS.symbol, BARS.interval, **columns)
    located = Window(bars, 1).close_location
    assert located[4] == 0.0
    assert (np.abs(np.delete(located, 4)) <= 1.0).all()
    assert (np.delete(located, 4) != 0.0).all()


def test_only_reductions_of_lasting_series_are_kept() -> None:
    window = Window(BARS, 3)
    for lasting in (window.log_return, window.bars.volume):
        assert window.sum(lasting, 5) is window.sum(lasting, 5)
    passing = BARS.close * 2.0
    first = window.sum(passing, 5).copy()
    passing *= 2.0
    assert (window.sum(passing, 5) == 2.0 * first).all()


def test_the_true_range_reaches_to_the_close_before() -> None:
    found = Window(BARS, 1).true_range
    for at in range(1, len(BARS)):
        before = BARS.close.item(at - 1)
        reach = max(BARS.high.item(at), before) - min(BARS.low.item(at), before)
        assert found.item(at) == reach / before


def test_where_a_close_lies_does_not_depend_on_the_level_of_prices() -> None:
    columns = {name: getattr(BARS, name) * (1.0 if name == "opened_at" else 2.0**-900) for name in COLUMNS}
    small = type(BARS)(BARS.symbol, BARS.interval, **columns)
    assert Window(small, 1).close_location.tolist() == Window(BARS, 1).close_location.tolist()
