"""No training row knows anything of what lies after its window, nor an inner one of its validation block."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.property.features.test_rows import walk

from tidegate.bars.interval import DAY_MS, Interval
from tidegate.dataset.dataset import Dataset, assemble
from tidegate.dataset.folds import inner_folds, walk_forward
from tidegate.dataset.windows import Window
from tidegate.errors import NotEnoughHistory
from tidegate.features.features import resolve
from tidegate.strategy.strategy import FeatureUse, Strategy, Windows

MINUTES_5 = 300_000
STRATEGY = Strategy.model_validate(
    {
        "version": 1,
        "name": "two-markets",
        "kind": "real",
        "symbols": ["BTC/USDT", "ETH/USDT"],
        "interval": "5m",
        "source": {"type": "file", "path": "none"},
        "labels": {"horizon_bars": 9, "volatility_bars": 20},
    }
)


def two_markets() -> Dataset:
    uses = [FeatureUse(use="return", lengths=(1, 5)), FeatureUse(use="volatility", lengths=(12,))]
    bars = [walk(1, 1500), walk(2, 1400).with_symbol("ETH/USDT")]
    return assemble(bars, resolve(uses), STRATEGY)


DATASET = two_markets()
FIRST_AT = int(DATASET.tables[0].bars.opened_at[0])


@settings(deadline=None, max_examples=60)
@given(start=st.integers(0, 900), length=st.integers(160, 600), odd_ms=st.integers(0, MINUTES_5 - 1))
def test_no_training_label_ends_after_the_window(start: int, length: int, odd_ms: int) -> None:
    start_at = FIRST_AT + start * MINUTES_5 + odd_ms
    window = Window(start_at=start_at, end_at=start_at + length * MINUTES_5)
    rows = DATASET.training_rows(window)
    assert (rows.ends_at <= window.end_at).all()
    assert (rows.known_at > window.start_at).all()
    assert (rows.known_at <= window.end_at).all()
    assert (rows.ends_at > rows.known_at).all()
    assert (np.diff(rows.known_at) >= 0).all()
    assert set(rows.symbol.tolist()) == {0, 1}
    assert np.isfinite(rows.x).all()
    assert set(np.unique(rows.y).tolist()) <= {0.0, 1.0}
    assert rows.weight.mean() == pytest.approx(1.0, abs=1e-5)
    assert (rows.weight > 0).all()


@settings(deadline=None, max_examples=60)
@given(start=st.integers(0, 900), length=st.integers(160, 600))
def test_only_rows_whose_outcome_was_still_open_are_purged(start: int, length: int) -> None:
    window = Window(start_at=FIRST_AT + start * MINUTES_5, end_at=FIRST_AT + (start + length) * MINUTES_5)
    rows = DATASET.training_rows(window)
    for at, table in enumerate(DATASET.tables):
        known_at = table.bars.closed_at
        inside = table.usable & table.labels.known() & (known_at > window.start_at) & (known_at <= window.end_at)
        kept = np.isin(np.flatnonzero(inside), rows.row[rows.symbol == at])
        assert (table.labels.ends_at[inside][kept] <= window.end_at).all()
        assert (table.labels.ends_at[inside][~kept] > window.end_at).all()


@settings(deadline=None, max_examples=60)
@given(start=st.integers(0, 900), length=st.integers(160, 400))
def test_bars_after_the_window_change_no_training_row(start: int, length: int) -> None:
    end = start + length
    cut = assemble([table.bars.take(slice(0, end)) for table in DATASET.tables], DATASET.features, STRATEGY)
    window = Window(start_at=FIRST_AT + start * MINUTES_5, end_at=FIRST_AT + end * MINUTES_5)
    with_future, without = DATASET.training_rows(window), cut.training_rows(window)
    # An outcome at the open of the very next bar, at the window's last instant, is known only once that bar is there.
    before_end = with_future.ends_at < window.end_at
    assert len(without) >= before_end.sum()
    for name in ("x", "y", "known_at", "ends_at", "symbol", "row", "width"):
        rows = without.ends_at < window.end_at
        assert np.array_equal(getattr(with_future, name)[before_end], getattr(without, name)[rows]), name


@settings(deadline=None, max_examples=100)
@given(
    days=st.integers(80, 900),
    odd_ms=st.integers(0, DAY_MS),
    train_days=st.integers(60, 200),
    test_days=st.integers(1, 60),
    embargo_bars=st.integers(0, 300),
    max_folds=st.integers(1, 8),
)
def test_walk_forward_windows(
    days: int, odd_ms: int, train_days: int, test_days: int, embargo_bars: int, max_folds: int
) -> None:
    rule = Windows(train_days=train_days, test_days=test_days, embargo_bars=embargo_bars, max_folds=max_folds)
    first_at, end_at, hour = 17, days * DAY_MS + odd_ms, Interval("1h")
    try:
        folds = walk_forward(first_at, end_at, rule, hour)
    except NotEnoughHistory:
        assert end_at - first_at < (60 + test_days) * DAY_MS + embargo_bars * hour.milliseconds
        return
    assert 1 <= len(folds) <= max_folds
    assert folds[-1].test.end_at == end_at
    for fold in folds:
        assert fold.train.start_at >= first_at
        assert fold.train.end_at + embargo_bars * hour.milliseconds == fold.test.start_at
        assert fold.test.end_at - fold.test.start_at == test_days * DAY_MS
        whole = fold.train.end_at - fold.train.start_at == train_days * DAY_MS
        assert whole or (len(folds) == 1 and fold.train.end_at - fold.train.start_at >= 60 * DAY_MS)
    for older, newer in itertools.pairwise(folds):
        assert older.test.end_at == newer.test.start_at


@settings(deadline=None, max_examples=100)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(2, 6),
    embargo=st.integers(0, 50),
    longest=st.integers(1, 60),
)
def test_inner_folds_are_purged_and_embargoed(seed: int, count: int, embargo: int, longest: int) -> None:
    rng = np.random.default_rng(seed)
    known_at = np.sort(rng.integers(0, 1000, 800))
    ends_at = known_at + rng.integers(1, longest + 1, 800)
    folds = inner_folds(known_at, ends_at, count, embargo)
    assert len(folds) == count
    validated = np.concatenate([fold.validate for fold in folds])
    assert np.array_equal(validated, np.arange(validated[0], 800)), "the blocks follow one another to the last row"
    assert known_at[validated[0]] >= known_at[0] + int(0.4 * (known_at[-1] + 1 - known_at[0]))
    for fold in folds:
        assert ends_at[fold.fit].max() + embargo <= known_at[fold.validate].min()
    for older, newer in itertools.pairwise(folds):
        assert set(older.fit.tolist()) <= set(newer.fit.tolist())


def test_too_short_a_window_for_inner_folds_is_refused() -> None:
    known_at = np.arange(10)
    with pytest.raises(NotEnoughHistory, match=r"model\.inner_folds"):
        inner_folds(known_at, known_at + 100, 3, 0)


def test_too_few_rows_are_refused() -> None:
    window = Window(start_at=FIRST_AT + 500 * MINUTES_5, end_at=FIRST_AT + 520 * MINUTES_5)
    with pytest.raises(NotEnoughHistory, match="expected 200"):
        DATASET.training_rows(window)
