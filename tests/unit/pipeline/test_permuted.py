"""Labels that change places in blocks, and the area that a model's forecasts have under the ROC curve."""

import math
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tidegate.dataset.dataset import TrainingRows
from tidegate.pipeline.permuted import area_under_curve, permute

NAN = math.nan


def rows(y: list[float], symbol: list[int]) -> TrainingRows:
    n = len(y)
    rest: dict[str, Any] = {
        "x": np.arange(n, dtype=np.float32)[:, None],
        "weight": np.ones(n, np.float32),
        "known_at": np.arange(n),
        "ends_at": np.arange(n) + 1,
        "row": np.arange(n),
        "width": np.ones(n),
    }
    return TrainingRows(y=np.array(y, np.float32), symbol=np.array(symbol), **rest)


def test_labels_change_places_in_blocks_of_their_own_symbol() -> None:
    labels = list(range(12))
    symbols = [0, 1] * 6
    found = permute(rows([float(label) for label in labels], symbols), 2, np.random.default_rng(3))
    for symbol in (0, 1):
        own = found.y[np.array(symbols) == symbol].tolist()
        before = labels[symbol::2]
        assert sorted(own) == before
        pairs = [tuple(before[at : at + 2]) for at in range(0, 6, 2)]
        assert [tuple(own[at : at + 2]) for at in range(0, 6, 2)] != pairs
        assert {tuple(own[at : at + 2]) for at in range(0, 6, 2)} == set(pairs)


def test_all_but_the_labels_stays_and_the_rows_given_are_not_touched() -> None:
    given = rows([float(at % 2) for at in range(10)], [0] * 10)
    before = given.y.copy()
    found = permute(given, 3, np.random.default_rng(0))
    assert np.array_equal(given.y, before)
    assert found.x is given.x
    assert found.weight is given.weight
    assert sorted(found.y) == sorted(before)


def test_the_same_generator_gives_the_same_order() -> None:
    given = rows([float(at) for at in range(50)], [0] * 50)
    first, second = (permute(given, 4, np.random.default_rng(9)).y for _ in range(2))
    assert np.array_equal(first, second)


@pytest.mark.parametrize(
    ("forecast", "won", "area"),
    [
        ([0.1, 0.2, 0.8, 0.9], [0.0, 0.0, 1.0, 1.0], 1.0),
        ([0.9, 0.8, 0.2, 0.1], [0.0, 0.0, 1.0, 1.0], 0.0),
        ([0.5, 0.5, 0.5, 0.5], [0.0, 1.0, 0.0, 1.0], 0.5),
        # of the six pairs, five are the right way round
        ([0.1, 0.4, 0.35, 0.8, 0.9], [0.0, 0.0, 1.0, 1.0, 1.0], 5 / 6),
        ([0.1, NAN, 0.9, 0.5], [0.0, 0.0, 1.0, NAN], 1.0),
    ],
)
def test_areas_by_hand(forecast: list[float], won: list[float], area: float) -> None:
    assert area_under_curve(np.array(forecast), np.array(won)) == pytest.approx(area)


@pytest.mark.parametrize(("forecast", "won"), [([], []), ([0.2, 0.4], [1.0, 1.0]), ([NAN, 0.4], [0.0, 1.0])])
def test_one_kind_of_row_has_no_area(forecast: list[float], won: list[float]) -> None:
    assert math.isnan(area_under_curve(np.array(forecast), np.array(won)))


@pytest.mark.parametrize("seed", range(3))
def test_areas_are_those_of_a_second_library(seed: int) -> None:
    rng = np.random.default_rng(seed)
    forecast, won = rng.random(200).round(2), (rng.random(200) < 0.4).astype(float)
    assert area_under_curve(forecast, won) == pytest.approx(roc_auc_score(won, forecast))
