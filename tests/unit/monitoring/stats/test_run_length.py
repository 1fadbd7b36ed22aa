"""Run lengths against cases solved by hand, and against simulation."""

import math

import numpy as np
import pytest

from tidegate.monitoring.run_length import Chain, average_run_length, run_length_quantile
from tidegate.monitoring.sequential import between, cusum

Q = 0.4  # losses


@pytest.mark.parametrize(
    ("chain", "mean"),
    [
        (Chain(1 - Q, 1, 1, 1), 1 / Q),  # the first loss
        (Chain(1 - Q, 5, 1, 3), 1 / Q),
        (Chain(1 - Q, 1, 1, 2), (1 + Q) / Q**2),  # two losses running
        (Chain(1 - Q, 1, 9, 3), (1 + Q + Q**2) / Q**3),  # three, as a win takes everything off
        (Chain(0.0, 2, 1, 5), 3.0),  # only losses
        # Up 2, down 1, alarm at 3: x0 = 1 + .6 x0 + .4 x2; x1 = 1 + .6 x0; x2 = 1 + .6 x1.
        (Chain(1 - Q, 2, 1, 3), (1 + Q * (1 + (1 - Q))) / (Q - Q * (1 - Q) ** 2)),
        (Chain(1.0, 1, 1, 4), math.inf),
    ],
    ids=str,
)
def test_the_mean_is_the_hand_computed_one(chain: Chain, mean: float) -> None:
    assert average_run_length(chain) == pytest.approx(mean, rel=1e-12)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_the_first_loss_comes_geometrically(share: float) -> None:
    expected = math.ceil(math.log(1 - share) / math.log(1 - Q))
    assert run_length_quantile(Chain(1 - Q, 1, 1, 1), share, 100) == expected


def test_quantiles_of_two_losses_running_by_enumeration() -> None:
    # Not yet after n trades: F(n) = .6 F(n-1) + .24 F(n-2).
    alive = [1.0, 1.0]
    while alive[-1] > 0.5:
        alive.append((1 - Q) * alive[-1] + Q * (1 - Q) * alive[-2])
    assert run_length_quantile(Chain(1 - Q, 1, 1, 2), 0.5, 100) == len(alive) - 1


def test_what_takes_longer_than_asked_for_is_infinite() -> None:
    assert run_length_quantile(Chain(0.9, 1, 3, 40), 0.5, 1000) == math.inf


def test_simulation_agrees_on_the_mean_and_on_the_median() -> None:
    design = between(0.62, 0.5, 1.0, 1.0, days_per_year=365)
    generator = np.random.default_rng(3)
    for rate, quantile, trades in ((0.62, None, 6000), (0.5, design.median_trades_to_detection, 800)):
        won = generator.random((trades, 3000)) < rate
        steps = cusum(np.where(won, -design.win_steps, design.loss_steps))
        alarmed = steps >= design.threshold_steps
        first = np.where(alarmed.any(axis=0), alarmed.argmax(axis=0) + 1, trades)
        if quantile is None:
            # Means of runs cut off at `trades`; a geometric tail is what is missing, far below the standard error.
            expected = design.average_run_length
            assert abs(first.mean() - expected) < 4 * first.std() / math.sqrt(3000)
        else:
            assert float(np.mean(first <= quantile)) == pytest.approx(0.5, abs=0.04)


def test_many_trades_leave_the_statistic_exact() -> None:
    won = np.random.default_rng(1).random(500_000) < 0.6
    steps = np.where(won, -9, 11)
    level, worst = 0, 0
    for step in steps.tolist():
        level = max(0, level + step)
        worst = max(worst, level)
    found = cusum(steps)
    assert (int(found[-1]), int(found.max())) == (level, worst)
