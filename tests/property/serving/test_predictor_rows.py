"""The predictor's answer to a window depends on that window alone."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.model.small_model import small_bundle, small_dataset, small_fit, window_ending

from tidegate.model.onnx_model import OnnxModel
from tidegate.serving.predictor import Predictor


@cache
def predictor() -> Predictor:
    with TemporaryDirectory() as folder:
        return Predictor(small_bundle(Path(folder) / "bundle"))


@cache
def batch() -> list[float]:
    """Probabilities of all rows, computed at once."""
    table, (_, onnx) = small_dataset().tables[0], small_fit()
    rows = np.flatnonzero(table.usable)
    answers = OnnxModel(onnx, table.features.shape[1]).probability(table.features[rows])
    padded: list[float] = np.concatenate((np.full(rows[0], np.nan), answers)).tolist()
    return padded


@settings(deadline=None, max_examples=60)
@given(row=st.integers(100, 1499), older=st.integers(0, 80), later_ms=st.integers(0, 10**12))
def test_one_window_gives_the_bits_of_the_batch_whatever_came_before_and_whenever_asked(
    row: int, older: int, later_ms: int
) -> None:
    window = window_ending(row)
    bars = small_dataset().tables[0].bars
    longer = bars.take(slice(row - len(window) + 1 - older, row + 1))
    answer = predictor().predict(longer, int(longer.closed_at[-1]) + later_ms)
    assert answer.probability == batch()[row]
    assert (answer.features == small_dataset().tables[0].features[row]).all()
