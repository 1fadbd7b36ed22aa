"""The predictor's answer to a window depends on that window alone."""

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
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


def model() -> OnnxModel:
    return OnnxModel(small_fit()[1], 4)


NUMBERS = st.one_of(st.floats(-1e30, 1e30), st.sampled_from([0.0, -0.0, 1e-40, 3e38]))


@settings(deadline=None, max_examples=100)
@given(rows=st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS), min_size=2, max_size=6))
def test_rows_asked_one_by_one_get_the_answers_of_the_batch(rows: list[tuple[float, ...]]) -> None:
    asked, shared = np.array(rows), predictor_model()
    together = shared.probability(asked)
    alone = [shared.probability(asked[at : at + 1]) for at in range(len(rows))]
    assert all(answer.shape == (1,) and answer.dtype == np.float64 for answer in alone)
    assert np.concatenate(alone).tobytes() == together.tobytes()
    assert shared.probability(asked[:1].astype(np.float32)).tobytes() == together[:1].tobytes()


@cache
def predictor_model() -> OnnxModel:
    return model()


def test_an_answer_that_was_given_does_not_change_with_the_next_question() -> None:
    rows, shared = small_dataset().tables[0].features[100:160], model()
    kept = [shared.probability(rows[at : at + 1]) for at in range(len(rows))]
    assert np.concatenate(kept).tobytes() == shared.probability(rows).tobytes()
    assert len({float(answer[0]) for answer in kept}) > 1


def test_threads_that_share_a_model_get_their_own_answers() -> None:
    rows, shared = small_dataset().tables[0].features[100:400], model()
    wanted = shared.probability(rows)

    def all_rows(shift: int) -> bool:
        order = np.roll(np.arange(len(rows)), shift)
        return all(shared.probability(rows[at : at + 1])[0] == wanted[at] for at in order for _ in range(4))

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(all_rows, range(0, 300, 50)))


@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (1, 5), (4,), (1, 1, 4), (2, 3)])
def test_rows_of_another_width_are_refused_not_stretched(shape: tuple[int, ...]) -> None:
    with pytest.raises(Exception, match=r"Invalid|INVALID"):
        model().probability(np.zeros(shape))
