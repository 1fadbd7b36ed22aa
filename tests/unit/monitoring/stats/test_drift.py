import math
import zlib

import numpy as np
import pytest
from scipy.signal import lfilter
from scipy.stats import entropy

from tidegate.backtest.result import Floats
from tidegate.errors import FiguresRefused
from tidegate.monitoring.blocks import drawn_counts
from tidegate.monitoring.drift import DriftSample, bin_codes, drift, error_rate_words, population_stability
from tidegate.monitoring.result import Drift

MINUTE = 60_000
NAN, INF = math.nan, math.inf


def sample(n: int, seed: int, *, starts_at: int = 0, symbols: int = 1) -> DriftSample:
    """Features that remember nothing, little and much; probability from the second; labels by it."""
    generator = np.random.default_rng(seed)
    noise = generator.standard_normal((n // symbols + 2000, symbols, 3))
    columns = []
    for index, rho in enumerate((0.0, 0.9, 0.99)):
        column = lfilter([np.sqrt(1 - rho**2)], [1.0, -rho], noise[..., index], axis=0)[2000:]
        columns.append(column.reshape(-1))
    features = np.stack(columns, axis=1)
    probability = 1 / (1 + np.exp(-features[:, 1]))
    label = (generator.random(n) < 0.5).astype(np.float64)
    closed_at = starts_at + np.repeat(np.arange(n // symbols), symbols) * MINUTE
    return DriftSample(("white", "short", "long"), features, probability, label, closed_at)


def changed(current: DriftSample, **columns: Floats) -> DriftSample:
    given = {"features": current.features, "probability": current.probability, "label": current.label, **columns}
    return DriftSample(current.names, closed_at=current.closed_at, **given)


def compare(reference: DriftSample, current: DriftSample, **others: float) -> Drift:
    bounds = {"false_discovery_rate": 0.05, "effect": 0.2, "seed": 1, **others}
    return drift(4, reference, current, **bounds)  # type: ignore[arg-type]


REFERENCE, CURRENT = sample(12_000, 1), sample(1000, 2, starts_at=20_000 * MINUTE)


def test_the_index_by_hand() -> None:
    counts, reference = np.array([[30, 70], [50, 50]]), np.array([500, 500])
    p = (30.5 / 101, 70.5 / 101)
    expected = (p[0] - 0.5) * math.log(p[0] / 0.5) + (p[1] - 0.5) * math.log(p[1] / 0.5)
    assert population_stability(counts, reference) == pytest.approx([expected, 0.0])
    assert math.isfinite(population_stability(np.array([0, 100]), np.array([100, 0])))


def test_the_index_is_both_relative_entropies() -> None:
    generator = np.random.default_rng(1)
    now, was = generator.integers(1, 90, 10), generator.integers(1, 900, 10)
    p, q = (now + 0.5) / (now + 0.5).sum(), (was + 0.5) / (was + 0.5).sum()
    assert float(population_stability(now, was)) == pytest.approx(entropy(p, q) + entropy(q, p))


@pytest.mark.parametrize(
    ("reference", "values", "bins", "codes"),
    [
        (np.arange(1.0, 101.0), [0.0, 10.0, 11.0, 95.0, 999.0, NAN, INF], 11, [0, 0, 1, 9, 9, 10, 10]),
        ([3.0, 3.0, 3.0], [2.0, 3.0, 4.0, NAN], 4, [0, 1, 2, 3]),
        ([0.0, 1.0, 1.0], [-1.0, 0.0, 0.5, 1.0, 2.0, NAN], 5, [0, 1, 2, 2, 3, 4]),
        ([NAN, NAN], [1.0, NAN], 2, [0, 1]),
    ],
    ids=["deciles", "constant", "two values", "nothing finite"],
)
def test_bins(reference: list[float], values: list[float], bins: int, codes: list[int]) -> None:
    number, (found,) = bin_codes(np.array(reference), [np.array(values)])
    assert number == bins
    assert found.tolist() == codes


def test_every_item_in_order_and_nothing_drifted_where_nothing_changed() -> None:
    found = compare(REFERENCE, CURRENT)
    assert [(item.name, item.kind) for item in found.items] == [
        ("white", "feature"),
        ("short", "feature"),
        ("long", "feature"),
        ("probability", "prediction"),
        ("label_rate", "label"),
    ]
    assert not any(item.drifted for item in found.items)
    assert all(item.q_value >= item.p_value > 0 for item in found.items)
    assert {item.n for item in found.items} == {1000}
    assert (found.version, found.reason) == (4, "")
    assert (found.current_start_at, found.current_end_at) == (20_000 * MINUTE, 20_999 * MINUTE)


def test_what_moved_is_found_and_what_did_not_is_not() -> None:
    features = CURRENT.features + np.array([0.6, 0.0, 0.0])
    label = (np.random.default_rng(5).random(1000) < 0.65).astype(np.float64)
    found = {item.name: item for item in compare(REFERENCE, changed(CURRENT, features=features, label=label)).items}
    assert [name for name, item in found.items() if item.drifted] == ["white", "label_rate"]
    assert found["white"].current_mean - found["white"].reference_mean == pytest.approx(0.6, abs=0.15)
    assert found["label_rate"].effect == pytest.approx(0.15, abs=0.05)


@pytest.mark.parametrize("spread", [0.4, 2.2])
def test_a_change_of_spread_alone_is_found(spread: float) -> None:
    found = compare(REFERENCE, changed(CURRENT, features=CURRENT.features * np.array([spread, 1.0, 1.0])))
    assert [item.name for item in found.items if item.drifted] == ["white"]


def test_sure_but_small_is_no_drift_and_large_but_unsure_neither() -> None:
    small = {
        item.name: item
        for item in compare(REFERENCE, changed(CURRENT, features=CURRENT.features + np.array([0.3, 0, 0]))).items
    }["white"]
    assert (small.q_value <= 0.05, small.effect < 0.2, small.drifted) == (True, True, False)
    # What remembers for as long as the window is long is far from its reference in many windows.
    generator = np.random.default_rng(3)
    slow = np.asarray(lfilter([0.05], [1.0, -0.999], generator.standard_normal(33_000)), np.float64)[20_000:]
    reference = changed(REFERENCE, features=np.stack((slow[:12_000],) * 3, axis=1))
    current = changed(CURRENT, features=np.stack((slow[12_000:],) * 3, axis=1))
    large = compare(reference, current).items[0]
    assert (large.q_value > 0.05, large.effect > 0.2, large.drifted) == (True, True, False)


def test_missing_values_are_a_change_too() -> None:
    features = CURRENT.features.copy()
    features[::4, 0] = NAN
    probability = CURRENT.probability.copy()
    probability[::4] = INF
    found = compare(REFERENCE, changed(CURRENT, features=features, probability=probability))
    assert [item.name for item in found.items if item.drifted] == ["white", "probability"]
    assert all(math.isfinite(item.current_mean) for item in found.items)


def test_a_constant_that_changes_is_found() -> None:
    reference, current = (changed(side, features=np.ones_like(side.features)) for side in (REFERENCE, CURRENT))
    assert not any(item.drifted for item in compare(reference, current).items[:3])
    below = compare(reference, changed(CURRENT, features=np.full_like(CURRENT.features, 0.5)))
    assert [item.drifted for item in below.items[:3]] == [True, True, True]


def test_labels_that_are_not_known_are_not_good() -> None:
    label = np.full(1000, NAN)
    label[:49] = 1.0
    item = compare(REFERENCE, changed(CURRENT, label=label)).items[-1]
    assert (item.name, item.n, item.drifted) == ("label_rate", 49, False)
    assert math.isnan(item.effect)
    assert math.isnan(item.p_value)
    assert math.isnan(item.q_value)
    label[:60] = 1.0
    assert compare(REFERENCE, changed(CURRENT, label=label)).items[-1].drifted


def test_one_class_of_labels_in_the_reference_is_a_rate_as_well() -> None:
    item = compare(changed(REFERENCE, label=np.zeros(12_000)), CURRENT).items[-1]
    assert item.effect == pytest.approx(0.5, abs=0.05)
    assert (item.reference_mean, item.drifted) == (0.0, True)


@pytest.mark.parametrize(
    ("reference", "current", "words"),
    [
        (12_000, 49, "49 bars in the current window"),
        (7999, 1000, "7999 bars in the reference"),
        (0, 100, "0 bars in"),
        (500, 0, "0 bars in"),
    ],
)
def test_too_few_rows_give_no_items_and_a_reason(reference: int, current: int, words: str) -> None:
    found = compare(sample(reference, 1), sample(current, 2))
    assert found.items == ()
    assert words in found.reason


def test_the_same_rows_in_any_order_give_the_same_bits() -> None:
    order = np.random.default_rng(4).permutation(12_000)
    once, again = compare(REFERENCE, CURRENT), compare(REFERENCE.take(order), CURRENT)
    assert [item.p_value for item in once.items] == [item.p_value for item in again.items]
    assert repr(compare(REFERENCE, CURRENT)) == repr(once)
    assert [item.p_value for item in compare(REFERENCE, CURRENT, seed=2).items] != [item.p_value for item in once.items]


def test_a_feature_more_changes_no_p_value_of_the_others() -> None:
    def more(side: DriftSample) -> DriftSample:
        features = np.column_stack((side.features[:, :1] ** 2, side.features))
        return DriftSample(("square", *side.names), features, side.probability, side.label, side.closed_at)

    once, wider = compare(REFERENCE, CURRENT), compare(more(REFERENCE), more(CURRENT))
    assert [item.p_value for item in wider.items[1:]] == [item.p_value for item in once.items]


def test_a_long_reference_is_thinned_by_time_with_all_symbols() -> None:
    reference, current = sample(44_000, 1, symbols=2), sample(2000, 2, symbols=2)
    shifted = changed(current, features=current.features + np.where(np.arange(2000) % 2, 1.2, 0.0)[:, None])
    found = compare(reference, shifted)
    # Only one symbol of the two has moved: a sample without it would see nothing, one of it alone far more.
    assert found.items[0].drifted
    assert found.items[0].current_mean == pytest.approx(0.6, abs=0.15)
    assert found.items[0].n == 2000


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(FiguresRefused, match="names"):
        DriftSample(("a",), REFERENCE.features, REFERENCE.probability, REFERENCE.label, REFERENCE.closed_at)
    with pytest.raises(FiguresRefused, match="labels"):
        changed(CURRENT, label=np.full(1000, 2.0))
    other = DriftSample(("a", "b", "c"), CURRENT.features, CURRENT.probability, CURRENT.label, CURRENT.closed_at)
    with pytest.raises(FiguresRefused, match="two windows"):
        compare(REFERENCE, other)
    for bounds in ({"false_discovery_rate": 0.0}, {"effect": 0.0}, {"effect": NAN}):
        with pytest.raises(FiguresRefused, match="bounds"):
            compare(REFERENCE, CURRENT, **bounds)


def test_stationary_windows_raise_few_alarms() -> None:
    alarmed = [
        any(item.drifted for item in compare(sample(6000, seed), sample(600, 1000 + seed)).items) for seed in range(40)
    ]
    assert sum(alarmed) <= 5


def test_the_p_value_allows_for_the_references_own_error_and_for_few_blocks() -> None:
    # What remembers for longer than the window is drawn in one block, of n t / (n + t) rows.
    slow = np.cumsum(np.random.default_rng(3).standard_normal(9000))
    names, none = ("slow",), np.full(9000, NAN)
    whole = DriftSample(names, slow[:, None], slow, none, np.arange(9000) * MINUTE)
    found = compare(whole.take(np.arange(8000)), whole.take(np.arange(8000, 9000))).items[0]

    bins, (was, now) = bin_codes(slow[:8000], [slow[:8000], slow[8000:]])
    steps = round(1000 * 8000 / 9000)
    generator = np.random.default_rng([1, zlib.crc32(b"slow")])
    drawn = drawn_counts(np.eye(bins, dtype=np.int64)[was], steps, steps, 999, generator)
    blocks = 8000 / steps - 1
    total = np.bincount(was, minlength=bins)
    null = population_stability(drawn, total) * blocks / generator.chisquare(blocks, 999)
    observed = population_stability(np.bincount(now, minlength=bins), total)
    assert found.effect == observed
    assert found.p_value == (1 + np.sum(null >= observed)) / 1000


def test_the_words_hold_the_rate() -> None:
    assert error_rate_words(0.05).startswith("of what is called drifted, 5% at most by chance")
