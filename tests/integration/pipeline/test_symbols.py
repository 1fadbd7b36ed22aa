"""Pooled symbols that are unlike each other: each with regimes of its own, and none without rows where it needs some."""

import numpy as np
import pytest
from tests.integration.pipeline.small_market import strategy

from tidegate.backtest.regimes import REGIMES
from tidegate.bars.bars import Bars
from tidegate.bars.interval import DAY_MS
from tidegate.dataset.dataset import Dataset, assemble
from tidegate.dataset.folds import walk_forward
from tidegate.dataset.windows import FoldWindows
from tidegate.errors import NotEnoughHistory
from tidegate.features.features import resolve
from tidegate.pipeline.fold import run_fold
from tidegate.strategy.strategy import Strategy

DAYS, BARS_A_DAY = 130, 96
CALM, WILD = "SIM/USD", "SIM2/USD"


def market(symbol: str, seed: int, moves: float, without_days: range | None = None) -> Bars:
    rng = np.random.default_rng(seed)
    count = DAYS * BARS_A_DAY
    # Volatility itself comes and goes, as it does in markets.
    wave = 1 + 0.5 * np.sin(np.arange(count) / 500)
    close = 100 * np.exp(np.cumsum(rng.normal(0, moves, count) * wave))
    opened = np.concatenate(([100.0], close[:-1]))
    bars = Bars.of(
        symbol,
        "15m",
        opened_at=20_000 * DAY_MS + np.arange(count) * 900_000,
        open=opened,
        high=np.maximum(opened, close) * (1 + moves / 10),
        low=np.minimum(opened, close) * (1 - moves / 10),
        close=close,
        volume=rng.uniform(1, 2, count),
    )
    day = np.arange(count) // BARS_A_DAY
    return bars if without_days is None else bars.take(~np.isin(day, without_days))


@pytest.fixture(scope="module")
def pooled() -> Strategy:
    return strategy(symbols=[CALM, WILD], windows={"max_folds": 1})


def given(pooled: Strategy, *bars: Bars) -> tuple[Dataset, FoldWindows]:
    dataset = assemble(bars, resolve(pooled.features), pooled)
    return dataset, walk_forward(dataset.first_usable_at, dataset.end_at, pooled.windows, pooled.bar)[-1]


def test_each_symbol_s_regimes_are_those_of_its_own_training_bars(pooled: Strategy) -> None:
    """By the calm symbol's bounds the wild one would be volatile at every bar."""
    dataset, windows = given(pooled, market(CALM, 1, 0.0005), market(WILD, 2, 0.005))
    fold = run_fold(dataset, windows, pooled, 1)

    assert set(fold.regimes) == {CALM, WILD}
    assert fold.regimes[WILD].volatility_threshold > 5 * fold.regimes[CALM].volatility_threshold
    for tested in fold.tested.values():
        share = np.mean(tested.regime == REGIMES.index("volatile"))
        assert 0.05 < share < 0.6


@pytest.mark.parametrize(
    ("without", "where"),
    [
        (range(55, 100), "in the inner validation blocks"),
        (range(30, 98), "in the training window"),
        (range(99, 129), "in the test window"),
    ],
)
def test_symbol_without_rows_is_named(pooled: Strategy, without: range, where: str) -> None:
    whole = market(CALM, 1, 0.001)
    dataset, windows = given(pooled, whole, market(WILD, 2, 0.001, without))
    windows = replace_test(windows) if "test" in where else windows

    with pytest.raises(NotEnoughHistory, match=f"SIM2/USD has too little {where}"):
        run_fold(dataset, windows, pooled, 1)


def replace_test(windows: FoldWindows) -> FoldWindows:
    """The same fold, tested on the days 99 to 128 only."""
    start_at = (20_000 + 99) * DAY_MS
    test = windows.test.model_copy(update={"start_at": start_at, "end_at": start_at + 29 * DAY_MS})
    train = windows.train.model_copy(update={"end_at": min(windows.train.end_at, start_at)})
    return FoldWindows(train=train, test=test)
