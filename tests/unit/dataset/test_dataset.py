"""One table of all symbols: where it begins and ends, which rows a test window holds, and when there is too little."""

import numpy as np
import pytest
from tests.property.features.test_rows import walk

from tidegate.dataset.dataset import assemble
from tidegate.dataset.windows import Window
from tidegate.errors import NotEnoughHistory
from tidegate.features.features import resolve
from tidegate.strategy.strategy import FeatureUse, Strategy

FEATURES = resolve([FeatureUse(use="return", lengths=(10,))])
STRATEGY = Strategy.model_validate(
    {
        "version": 1,
        "name": "two",
        "kind": "real",
        "symbols": ["BTC/USDT", "ETH/USDT"],
        "interval": "5m",
        "source": {"type": "file", "path": "none"},
        "labels": {"horizon_bars": 3, "volatility_bars": 5},
    }
)
STEP = 300_000
BTC, ETH = walk(1, 400), walk(2, 400).with_symbol("ETH/USDT")
START = int(BTC.opened_at[0])


def test_it_begins_where_all_symbols_have_features_and_ends_where_the_first_one_ends() -> None:
    dataset = assemble([BTC.take(slice(0, 350)), ETH.take(slice(20, 400))], FEATURES, STRATEGY)
    assert dataset.first_usable_at == START + (20 + 10) * STEP
    assert dataset.end_at == START + 350 * STEP


# window in bars from the start, first and last row
WINDOWS = [
    (0, 400, 0, 400),
    (100, 130, 100, 130),
    (100.5, 130.5, 101, 130),
    (100, 100, 100, 100),
    (100.2, 100.8, 101, 101),
    (390, 999, 390, 400),
    (-50, 10, 0, 10),
]


@pytest.mark.parametrize(("start", "end", "first", "last"), WINDOWS)
def test_a_test_window_holds_the_bars_that_lie_wholly_inside(start: float, end: float, first: int, last: int) -> None:
    dataset = assemble([BTC, ETH], FEATURES, STRATEGY)
    window = Window(start_at=START + int(start * STEP), end_at=START + int(end * STEP))
    assert dataset.rows_within(0, window) == slice(first, last)


def test_rows_of_two_symbols_are_in_time_order_and_weighted_apart() -> None:
    dataset = assemble([BTC, ETH], FEATURES, STRATEGY)
    window = Window(start_at=START, end_at=START + 300 * STEP)
    rows = dataset.training_rows(window)
    assert (np.diff(rows.known_at) >= 0).all()
    assert rows.symbol[:4].tolist() == [0, 1, 0, 1]
    for at, table in enumerate(dataset.tables):
        own = rows.symbol == at
        assert np.array_equal(rows.x[own], table.features[rows.row[own]].astype(np.float32))
        assert np.array_equal(rows.y[own], table.labels.won[rows.row[own]])
        assert np.array_equal(rows.width[own], table.labels.width[rows.row[own]])
    alone = assemble([BTC], FEATURES, STRATEGY).training_rows(window)
    together = rows.weight[rows.symbol == 0]
    assert together / together.mean() == pytest.approx(alone.weight, rel=1e-5), (
        "trades of another symbol do not overlap"
    )


def test_a_symbol_with_too_few_bars_is_named() -> None:
    with pytest.raises(NotEnoughHistory, match="ETH/USDT has too few bars, expected 11, was 10"):
        assemble([BTC, ETH.take(slice(0, 10))], FEATURES, STRATEGY)


def test_labels_may_need_more_bars_than_features() -> None:
    short = resolve([FeatureUse(use="body")])
    with pytest.raises(NotEnoughHistory, match="BTC/USDT has too few bars to label, expected 10, was 9"):
        assemble([BTC.take(slice(0, 9))], short, STRATEGY)
    assert len(assemble([BTC.take(slice(0, 10))], short, STRATEGY).tables[0].bars) == 10
