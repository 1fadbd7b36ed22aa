import numpy as np
import pytest
from scipy.signal import lfilter

from tidegate.backtest.result import Floats
from tidegate.monitoring.blocks import block_length, drawn_counts


def autoregressive(rho: float, n: int, seed: int) -> Floats:
    noise = np.random.default_rng(seed).standard_normal(n + 4000)
    return np.asarray(lfilter([np.sqrt(1 - rho**2)], [1.0, -rho], noise)[4000:], np.float64)


@pytest.mark.parametrize(
    ("rho", "low", "high"),
    # Theory for 12,960 rows: (2 (2 rho / (1 - rho^2))^2 / (4/3) * rows)^(1/3) = 33, 120, 577. The estimate of long memories is noisy.
    [(0.0, 1, 4), (0.5, 25, 40), (0.9, 90, 150), (0.99, 250, 800)],
)
def test_the_length_is_politis_and_whites(rho: float, low: float, high: float) -> None:
    lengths = [block_length(autoregressive(rho, 12_960, seed)) for seed in range(9)]
    assert low <= np.median(lengths) <= high


@pytest.mark.parametrize("series", [np.zeros(100), np.full(500, 3.7), np.array([1.0, 2.0]), np.array([5.0])], ids=len)
def test_what_does_not_vary_or_is_too_short_has_no_memory(series: Floats) -> None:
    assert block_length(series) == 1.0


def test_volatility_is_remembered_where_returns_are_not() -> None:
    returns = np.exp(autoregressive(0.99, 12_960, 1)) * np.random.default_rng(2).standard_normal(12_960)
    assert block_length(np.abs(returns)) > 10 * block_length(np.sign(returns))


def test_a_drawn_window_is_made_of_whole_blocks() -> None:
    # Each step has a bin of its own, so a drawn window shows which steps it took.
    drawn = drawn_counts(np.eye(40, dtype=np.int64), 10, 4, 500, np.random.default_rng(1))
    assert (drawn.sum(axis=1) == 10).all()
    for window in drawn:
        # Blocks of 4, 4 and 2, wherever they overlap or meet, go round the end as well.
        taken = np.flatnonzero(window)
        begins = [step for step in taken if window[step - 1] < window[step]]
        assert 1 <= len(begins) <= 3
    assert (drawn[:, 0] * drawn[:, 39] > 0).any()
    # Round the end, each step is as likely as any other.
    assert drawn.mean(axis=0) == pytest.approx(np.full(40, 0.25), abs=0.1)


def test_blocks_as_long_as_the_window_give_its_contiguous_pieces() -> None:
    drawn = drawn_counts(np.eye(12, dtype=np.int64), 5, 5, 200, np.random.default_rng(1))
    pieces = {tuple(np.roll(np.array([1] * 5 + [0] * 7), shift)) for shift in range(12)}
    assert {tuple(window) for window in drawn.tolist()} == pieces


def test_the_variance_of_a_window_is_kept() -> None:
    series = autoregressive(0.95, 20_000, 3) > 0
    counts = np.stack((~series, series), axis=1).astype(np.int64)
    real = np.array([autoregressive(0.95, 500, seed) > 0 for seed in range(400)]).mean(axis=1).std()
    kept, lost = (
        (drawn_counts(counts, 500, length, 999, np.random.default_rng(1))[:, 1] / 500).std() for length in (250, 3)
    )
    assert kept == pytest.approx(real, rel=0.25)
    assert lost < 0.5 * real
