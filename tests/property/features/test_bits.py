"""Every family gives the newest row the bits of the batch, whatever its length, the market and the number of rows."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.property.features.test_rows import walk

from tidegate.bars.bars import COLUMNS, Bars, Floats
from tidegate.features.builtin import FAMILIES
from tidegate.features.features import FeatureSet, resolve
from tidegate.features.newest import NewestRow
from tidegate.features.window import Window
from tidegate.strategy.strategy import FeatureUse

# Around where numpy's pairwise sum changes its way: 8 numbers, 128 numbers, and both plus the one that is added first.
EDGES = (1, 2, 3, 7, 8, 9, 10, 16, 17, 31, 127, 128, 129, 130, 136, 137, 257, 300)


def every_family(*lengths: int) -> FeatureSet:
    """All families, those with lengths at all of these."""
    return resolve(
        [FeatureUse(use=family.name, lengths=() if family.lengths == (0,) else lengths) for family in FAMILIES.values()]
    )


def market(seed: int, n: int, kind: str) -> Bars:
    """Bars that satisfy the table of constraints, of one kind or another."""
    rng = np.random.default_rng(seed)
    bars = walk(seed, n)
    columns = {name: getattr(bars, name).copy() for name in COLUMNS}
    prices = ("open", "high", "low", "close")
    match kind:
        case "tiny":
            scaled = {name: columns[name] * 1e-300 for name in prices}
            columns |= scaled | {"volume": columns["volume"] * 5e-324}
        case "huge":
            columns |= {name: columns[name] * 1e140 for name in prices} | {"volume": columns["volume"] * 1e290}
        case "flat":
            columns |= {name: np.full(n, 7.0) for name in prices} | {"volume": np.zeros(n)}
        case "stuck":  # long stretches without any move or trade
            held = rng.random(n) < 0.9
            for name in prices:
                columns[name][held] = 100.0
            columns["volume"][held] = 0.0
        case "falling":  # equal steps, so that deviations are of rounding only
            close = 100.0 * 0.999 ** np.arange(n)
            columns |= dict.fromkeys(prices, close) | {"volume": np.ones(n)}
        case "coarse":  # prices on a coarse grid: many equal highs and lows
            columns |= {name: np.round(columns[name]) for name in prices}
            columns["high"] = np.maximum.reduce([columns[name] for name in prices])
            columns["low"] = np.minimum.reduce([columns[name] for name in prices])
    return Bars.of("BTC/USDT", "5m", **columns)


KINDS = ("walk", "tiny", "huge", "flat", "stuck", "falling", "coarse")


def same(first: Floats, second: Floats, names: tuple[str, ...]) -> None:
    """Every bit alike, the signs of zeros too, and the wrong names told."""
    differ = [name for at, name in enumerate(names) if first[at].tobytes() != second[at].tobytes()]
    assert differ == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_all_lengths_on_all_markets(kind: str, seed: int) -> None:
    features = every_family(*EDGES)
    bars = market(seed, features.lookback + 40, kind)
    batch = features.matrix(bars)
    for end in range(features.lookback, len(bars) + 1, 8):
        row = features.newest(bars.take(slice(0, end)))[0]
        assert np.isfinite(row).all()
        same(row, batch[end - 1], features.names)


@settings(deadline=None, max_examples=60)
@given(
    lengths=st.sets(st.integers(1, 200), min_size=1, max_size=4),
    seed=st.integers(0, 2**32 - 1),
    kind=st.sampled_from(KINDS),
    rows=st.integers(1, 30),
)
@example(lengths={1}, seed=0, kind="walk", rows=2)
def test_any_lengths_and_any_number_of_rows(lengths: set[int], seed: int, kind: str, rows: int) -> None:
    features = every_family(*sorted(lengths))
    bars = market(seed, features.lookback + rows - 1, kind)
    batch = features.matrix(bars)
    same(features.newest(bars)[0], batch[-1], features.names)
    same(features.newest(bars.take(slice(0, features.lookback)))[0], batch[features.lookback - 1], features.names)


def test_rows_are_alike_across_the_pieces_that_the_batch_is_cut_into() -> None:
    features = every_family(300)
    bars = walk(8, features.lookback + 1200)
    batch = features.matrix(bars)
    for end in (features.lookback, *range(features.lookback + 400, len(bars), 37), len(bars)):
        same(features.newest(bars.take(slice(0, end)))[0], batch[end - 1], features.names)


@pytest.mark.parametrize("kind", KINDS)
def test_a_planned_row_is_the_unplanned_one(kind: str) -> None:
    features = every_family(5, 48)
    bars = market(4, features.lookback, kind)
    calls = [(feature.on_newest, feature.length) for feature in features.features if feature.on_newest is not None]
    assert len(calls) == len(features.features)
    row = NewestRow(bars)
    unplanned = np.array([function(row, length) for function, length in calls])
    planned = NewestRow(bars, row.plan())
    again = np.array([function(planned, length) for function, length in calls])
    same(unplanned, again, features.names)
    assert planned.plan().sums == row.plan().sums


@pytest.mark.parametrize("name", ["log_return", "log_close", "true_range", "located_volume"])
@pytest.mark.parametrize("length", [1, 3, 9, 40, 130])
def test_each_way_to_look_agrees_with_numpy_to_the_last_bits(name: str, length: int) -> None:
    bars = walk(9, 200)
    row, window = NewestRow(bars), Window(bars, 1)
    series: Floats = getattr(row, name)
    last = series[-length:]
    expected = {
        "sum": last.sum(),
        "mean": last.mean(),
        "std": last.std(),
        "max": last.max(),
        "min": last.min(),
        "bars_since_max": last[::-1].argmax(),
        "bars_since_min": last[::-1].argmin(),
    }
    for look, wanted in expected.items():
        one, many = getattr(row, look)(series, length), getattr(window, look)(series, length)
        assert one == pytest.approx(wanted, rel=1e-12, abs=1e-15)
        assert [one] == many.tolist()
    assert row.lag(series, length) == window.lag(series, length)[0] == series[-1 - length]


def test_reductions_of_passing_series_are_not_mixed_up() -> None:
    bars = walk(10, 60)
    window, row = Window(bars, 3), NewestRow(bars)
    for factor in range(1, 60):  # each array dies at once, and the next one may take its id
        assert window.sum(bars.close * float(factor), 5)[-1] == row.sum(bars.close * float(factor), 5)
        assert row.sum(bars.close * float(factor), 5) == pytest.approx(factor * bars.close[-5:].sum(), rel=1e-12)
        assert row.std(bars.close * float(factor), 5) == pytest.approx(factor * bars.close[-5:].std(), rel=1e-9)


def test_the_kinds_of_market_differ() -> None:
    rows = [every_family(5).newest(market(1, 200, kind))[0] for kind in KINDS]
    assert all((first != second).any() for first, second in pairwise(rows))
