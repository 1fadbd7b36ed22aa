import math

import numpy as np
import pytest

from tidegate.backtest.ratios import sharpe, sharpe_standard_error
from tidegate.backtest.result import Floats
from tidegate.errors import DataError
from tidegate.statistics import paired
from tidegate.statistics.paired import sharpe_difference


def pair(n: int, seed: int, correlation: float = 0.6, first: float = 0.1, second: float = 0.0) -> tuple[Floats, Floats]:
    chance = np.random.default_rng(seed)
    shared, one, other = chance.standard_normal((3, n))
    own, common = math.sqrt(1.0 - correlation), math.sqrt(correlation)
    return own * one + common * shared + first, 2.0 * (own * other + common * shared + second)


@pytest.mark.parametrize("correlation", [0.0, 0.6, 0.95])
def test_the_standard_error_is_that_of_normal_returns(correlation: float) -> None:
    # Jobson, Korkie 1981, as corrected by Memmel 2003.
    one, other = pair(20_000, 1, correlation)
    first, second = sharpe(one, 1.0), sharpe(other, 1.0)
    rho = float(np.corrcoef(one, other)[0, 1])
    variance = 2 - 2 * rho + 0.5 * (first**2 + second**2 - 2 * first * second * rho**2)
    found = sharpe_difference(one, other, 252.0, seed=1, draws=10)
    assert found.difference == pytest.approx((first - second) * math.sqrt(252.0))
    assert found.standard_error == pytest.approx(math.sqrt(variance / 20_000 * 252.0), rel=0.05)


def test_against_a_flat_ratio_it_is_the_error_of_one() -> None:
    # A champion of so many alternating returns has a ratio that hardly errs.
    one = np.random.default_rng(4).normal(0.05, 1.0, 5000)
    other = np.tile([1.0, -1.0], 2500)
    found = sharpe_difference(one, other, 365.0, seed=1, draws=10)
    assert found.standard_error == pytest.approx(sharpe_standard_error(one, 365.0), rel=0.05)


def plainly(one: Floats, other: Floats, starts: Floats, block: int) -> float:
    """One resample's distance in its own standard errors, written down step by step."""
    n = len(one)
    rows = np.concatenate([(start + np.arange(block)) % n for start in starts])
    moments = np.stack((one, other, one**2, other**2), axis=1)[rows]
    mean = moments.mean(axis=0)
    sigma = [math.sqrt(mean[2] - mean[0] ** 2), math.sqrt(mean[3] - mean[1] ** 2)]
    gradient = np.array(
        [
            mean[2] / sigma[0] ** 3,
            -mean[3] / sigma[1] ** 3,
            -0.5 * mean[0] / sigma[0] ** 3,
            0.5 * mean[1] / sigma[1] ** 3,
        ]
    )
    sums = [(moments[at : at + block] - mean).sum(axis=0) / math.sqrt(block) for at in range(0, len(rows), block)]
    psi = np.mean([np.outer(each, each) for each in sums], axis=0)
    error = math.sqrt(gradient @ psi @ gradient / len(rows))
    observed = np.mean(one) / np.std(one) - np.mean(other) / np.std(other)
    return float(abs(mean[0] / sigma[0] - mean[1] / sigma[1] - observed) / error)


@pytest.mark.parametrize("block", [1, 3, 7])
def test_each_resample_is_studentised_by_its_blocks(block: int) -> None:
    one, other = pair(50, 2)
    found = paired._studentised(np.stack((one, other)), block, 5, np.random.default_rng(9))
    starts = np.random.default_rng(9).integers(50, size=(5, 50 // block))
    assert found == pytest.approx([plainly(one, other, each, block) for each in starts])


def test_draws_in_parts_are_the_same_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = pair(50, 2)
    whole = sharpe_difference(one, other, 365.0, seed=3, draws=40)
    monkeypatch.setattr(paired, "_CHUNK", 1000)
    assert sharpe_difference(one, other, 365.0, seed=3, draws=40) == whole


def test_on_a_long_record_it_is_a_z_test() -> None:
    one, other = pair(9000, 6, first=0.01)
    found = sharpe_difference(one, other, 365.0, seed=1, draws=2000)
    z = abs(found.difference) / found.standard_error
    p = math.erfc(z / math.sqrt(2.0))
    assert 0.05 < p < 0.95, "a seed that tells nothing"
    assert found.p_value == pytest.approx(p, abs=0.05)


def test_p_value_and_interval_tell_the_same() -> None:
    # At 1,000 draws the 950th of a thousand distances bounds the interval, and 5 % of them lie at or beyond it.
    for seed in range(30):
        one, other = pair(100, seed, first=0.2)
        found = sharpe_difference(one, other, 365.0, seed=seed, draws=1000)
        assert (found.low > 0 or found.high < 0) == (found.p_value < 0.0505), found


def test_a_clear_difference_is_seen_and_its_sign_turns() -> None:
    one, other = pair(500, 3, first=0.5)
    found, turned = (sharpe_difference(*each, 365.0, seed=1) for each in ((one, other), (other, one)))
    assert found.p_value == pytest.approx(1 / 1001)
    assert found.low > 0
    assert (turned.difference, turned.low, turned.high) == pytest.approx((-found.difference, -found.high, -found.low))


@pytest.mark.parametrize("kind", ["normal", "t", "following"])
def test_equal_strategies_differ_no_oftener_than_said(kind: str) -> None:
    chance, worlds = np.random.default_rng(11), 120
    seen = 0
    for seed in range(worlds):
        noise = chance.standard_t(4, (3, 250)) if kind == "t" else chance.standard_normal((3, 250))
        if kind == "following":
            noise[:, 1:] += 0.2 * noise[:, :-1]
        one, other = noise[0] + noise[2], noise[1] + noise[2]
        seen += sharpe_difference(one, other, 365.0, seed=seed, draws=100).p_value <= 0.05
    # Four standard errors of a count above 5 %.
    assert seen <= worlds * 0.05 + 4 * math.sqrt(worlds * 0.05 * 0.95)


@pytest.mark.parametrize(
    ("challenger", "champion"),
    [
        ([], []),
        ([0.1], [0.2]),
        ([0.1] * 9, [0.1, 0.2, 0.3] * 3),
        ([0.1, math.nan, 0.2], [0.1, 0.2, 0.3]),
        ([0.1, 0.2, 0.3], [0.1, math.inf, 0.3]),
        ([0.1, 0.2, 0.4], [0.1, 0.2, 0.4]),
        ([0.1, 0.2, 0.4], [1.0, 2.0, 4.0]),
    ],
)
def test_nothing_to_stand_on_is_nan(challenger: list[float], champion: list[float]) -> None:
    found = sharpe_difference(np.array(challenger), np.array(champion), 365.0, seed=1)
    values = (found.difference, found.standard_error, found.p_value, found.low, found.high)
    assert all(math.isnan(value) for value in values)
    assert found.n == len(challenger)


def test_two_returns_cannot_tell() -> None:
    found = sharpe_difference(np.array([0.1, 0.3]), np.array([0.2, 0.1]), 365.0, seed=1, draws=50)
    assert found.p_value > 0.3
    assert (found.low, found.high) == (-math.inf, math.inf)


def test_series_of_different_lengths_are_refused() -> None:
    with pytest.raises(DataError, match="differ in length"):
        sharpe_difference(np.ones(3), np.ones(4), 365.0, seed=1)
