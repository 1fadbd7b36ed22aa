import numpy as np
import pytest
from tests.unit.validation.sound_bars import sound_bars

from tidegate.frames import bars_frame, numbered_frame, series, table, time_index


def test_the_index_has_no_time_zone_and_keeps_milliseconds() -> None:
    times = np.array([1_704_067_200_001, 0, 4_102_444_800_000])
    index = time_index(times)
    assert index.tz is None
    assert str(index.dtype) == "datetime64[ms]"
    assert np.array_equal(np.asarray(index).astype(np.int64), times)


def test_bars_become_five_columns_over_their_times() -> None:
    bars = sound_bars(5)
    frame = bars_frame(bars)
    assert list(frame.columns) == ["open", "high", "low", "close", "volume"]
    assert np.array_equal(frame["close"].to_numpy(), bars.close)
    assert np.array_equal(np.asarray(frame.index).astype(np.int64), bars.opened_at)


def test_series_and_table_refuse_unequal_lengths() -> None:
    assert series(np.array([1.0, 2.0]), np.array([0, 1]), name="equity").name == "equity"
    with pytest.raises(ValueError, match="length"):
        series(np.array([1.0]), np.array([0, 1]))
    with pytest.raises(ValueError, match="length"):
        table({"a": np.array([1.0])}, np.array([0, 1]))


def test_numbered_frames_keep_types() -> None:
    frame = numbered_frame({"a": np.array([1, 2]), "b": np.array([0.5, 1.5])})
    assert list(map(str, frame.dtypes)) == ["int64", "float64"]
    assert list(frame.index) == [0, 1]
