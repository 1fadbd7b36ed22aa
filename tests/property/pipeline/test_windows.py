"""Whatever the windows are, nothing that a model is trained on was known only in its test."""

from functools import cache

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.integration.pipeline.small_market import AS_OF_MS, strategy

from tidegate.bars.interval import DAY_MS
from tidegate.bars.simulated import simulate
from tidegate.dataset.dataset import Dataset, assemble
from tidegate.dataset.folds import inner_folds, walk_forward
from tidegate.features.features import resolve
from tidegate.strategy.strategy import SimulatedSource, Windows

WINDOWS = st.builds(
    Windows,
    train_days=st.integers(60, 90),
    test_days=st.integers(5, 30),
    max_folds=st.integers(1, 6),
    embargo_bars=st.integers(0, 200),
)


@cache
def dataset() -> Dataset:
    chosen = strategy(symbols=["SIM/USD", "SIM2/USD"])
    assert isinstance(chosen.source, SimulatedSource)
    bars = [simulate(symbol, chosen.bar, chosen.source, AS_OF_MS) for symbol in chosen.symbols]
    return assemble(bars, resolve(chosen.features), chosen)


@given(windows=WINDOWS)
@settings(max_examples=40, deadline=None)
def test_no_training_outcome_reaches_the_embargo(windows: Windows) -> None:
    bar = strategy().bar
    folds = walk_forward(dataset().first_usable_at, dataset().end_at, windows, bar)

    assert folds
    for fold in folds:
        rows = dataset().training_rows(fold.train)
        assert int(rows.ends_at.max()) <= fold.test.start_at - windows.embargo_bars * bar.milliseconds
        assert int(rows.known_at.min()) > fold.train.start_at
        assert (rows.ends_at > rows.known_at).all()
        assert fold.train.end_at - fold.train.start_at <= windows.train_days * DAY_MS


@given(windows=WINDOWS)
@settings(max_examples=40, deadline=None)
def test_test_windows_join_without_overlap_and_end_with_the_newest_bar(windows: Windows) -> None:
    folds = walk_forward(dataset().first_usable_at, dataset().end_at, windows, strategy().bar)
    rows = [dataset().rows_within(at, fold.test) for at in (0, 1) for fold in folds]

    assert folds[-1].test.end_at == dataset().end_at
    for at in (0, 1):
        of_symbol = rows[at * len(folds) : (at + 1) * len(folds)]
        assert [one.stop for one in of_symbol[:-1]] == [other.start for other in of_symbol[1:]]
        closed_at = dataset().tables[at].bars.closed_at
        for one, fold in zip(of_symbol, folds, strict=True):
            assert closed_at[one][0] > fold.test.start_at
            assert closed_at[one][-1] == fold.test.end_at


@given(windows=WINDOWS, count=st.integers(2, 5))
@settings(max_examples=25, deadline=None)
def test_inner_models_know_nothing_of_the_block_that_they_are_judged_on(windows: Windows, count: int) -> None:
    fold = walk_forward(dataset().first_usable_at, dataset().end_at, windows, strategy().bar)[-1]
    rows = dataset().training_rows(fold.train)
    embargo_ms = windows.embargo_bars * strategy().bar.milliseconds

    for inner in inner_folds(rows.known_at, rows.ends_at, count, embargo_ms):
        assert int(rows.ends_at[inner.fit].max()) <= int(rows.known_at[inner.validate].min()) - embargo_ms
        assert not np.intersect1d(inner.fit, inner.validate).size
