"""Days that are drawn have the moments that were asked for."""

from dataclasses import replace

import numpy as np
import pytest
from tests.calibration_worlds import FIGURES

from tidegate.calibration.draws import Days, common_share, draw_alone, draw_together, slots_a_day
from tidegate.calibration.figures import Figures, day_moments, with_sharpe

WORLDS, DAYS = 2000, 60
MIXED = replace(FIGURES, count_dispersion=1.8, clustering=0.08, correlation=0.6)


def within(observed: float, expected: float, standard_error: float) -> bool:
    return abs(observed - expected) < 4.5 * standard_error


@pytest.mark.parametrize("figures", [FIGURES, MIXED, replace(FIGURES, gain_spread=0.0, loss_spread=0.0)])
def test_a_days_mean_and_variance(figures: Figures) -> None:
    days = draw_alone(np.random.default_rng(1), figures, WORLDS, DAYS)
    returns, expected, n = days.returns.astype(np.float64), day_moments(figures), WORLDS * DAYS
    assert within(float(returns.mean()), expected.mean, np.sqrt(expected.variance / n))
    fourth = float(np.mean((returns - returns.mean()) ** 4))
    assert within(float(returns.var()), expected.variance, np.sqrt((fourth - expected.variance**2) / n))
    trades = (days.wins + days.losses).astype(np.float64)
    assert within(float(trades.mean()), figures.trades_per_day, float(trades.std()) / np.sqrt(n))
    assert float(trades.var() / trades.mean()) == pytest.approx(figures.count_dispersion, rel=0.03)


def test_wins_of_a_day_come_together_where_they_are_to() -> None:
    days = draw_alone(np.random.default_rng(2), replace(FIGURES, clustering=0.2), 4000, DAYS)
    trades = days.wins + days.losses
    off = (days.wins - FIGURES.win_rate * trades).astype(np.float64)
    p = FIGURES.win_rate
    pairs = float(np.mean(trades * (trades - 1)))
    correlation = (float(np.mean(off**2)) - p * (1 - p) * float(trades.mean())) / (p * (1 - p) * pairs)
    assert correlation == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize("figures", [FIGURES, MIXED, replace(FIGURES, correlation=0.9)])
def test_paths_together_correlate_and_each_has_its_own_skill(figures: Figures) -> None:
    better, worse = with_sharpe(figures, 2.0), with_sharpe(figures, 1.0)
    found = draw_together(np.random.default_rng(3), (better, better, worse), WORLDS, DAYS)
    for days, own in zip(found, (better, better, worse), strict=True):
        error = np.sqrt(day_moments(own).variance / (WORLDS * DAYS))
        assert within(float(days.returns.mean(dtype=np.float64)), day_moments(own).mean, error)
    for other in found[1:]:
        observed = np.corrcoef(found[0].returns.ravel(), other.returns.ravel())[0, 1]
        assert observed == pytest.approx(figures.correlation, abs=0.02)


def test_slots_hold_all_trades_of_a_day() -> None:
    own, other = draw_together(np.random.default_rng(4), (FIGURES, FIGURES), 30, 20)
    assert other.slots.shape == (2, slots_a_day(FIGURES), 30, 20)
    assert own.slots.shape == (2, 1, 30, 20)
    for days in (own, other):
        assert np.array_equal(days.slots.sum(axis=1), np.stack((days.wins, days.losses)))


def test_worlds_that_nobody_watches_have_whole_days() -> None:
    watched = np.arange(3000) % 3 == 0
    better, worse = with_sharpe(MIXED, 2.0), with_sharpe(MIXED, 1.0)
    own, other = draw_together(np.random.default_rng(4), (better, worse), 3000, 40, watched)
    assert np.array_equal(other.slots.sum(axis=1)[0][watched], other.wins[watched])
    assert other.slots[:, :, ~watched].sum() == 0
    assert np.array_equal(own.slots.sum(axis=1)[1], own.losses)
    for group in (watched, ~watched):
        for days, figures in ((own, better), (other, worse)):
            returns = days.returns[group].astype(np.float64)
            assert within(float(returns.mean()), day_moments(figures).mean, returns.std() / np.sqrt(returns.size))
        observed = np.corrcoef(own.returns[group].ravel(), other.returns[group].ravel())[0, 1]
        assert observed == pytest.approx(MIXED.correlation, abs=0.03)


def test_amounts_belong_to_trades() -> None:
    days = draw_alone(np.random.default_rng(5), FIGURES, 200, 50)
    assert bool(np.all((days.gained > 0) == (days.wins > 0)))
    assert bool(np.all((days.lost > 0) == (days.losses > 0)))
    assert bool(np.all(days.returns[(days.wins == 0) & (days.losses == 0)] == 0))


@pytest.mark.parametrize(("rate", "slots"), [(0.2, 1), (1.0, 1), (3.5, 4), (50.0, 6)])
def test_a_day_has_as_many_slots_as_trades_up_to_six(rate: float, slots: int) -> None:
    assert slots_a_day(replace(FIGURES, trades_per_day=rate)) == slots


def test_skills_far_apart_leave_fewer_trades_in_common() -> None:
    rare = replace(FIGURES, trades_per_day=0.05, correlation=0.95)
    paths = (with_sharpe(rare, 1.5), with_sharpe(rare, -1.5))
    assert common_share(paths) < 0.95
    one, other = draw_together(np.random.default_rng(6), paths, WORLDS, DAYS)
    shares = [float(days.wins.sum() / (days.wins + days.losses).sum()) for days in (one, other)]
    assert shares == pytest.approx([path.win_rate for path in paths], abs=0.03)


def test_the_same_seed_draws_the_same_days() -> None:
    def drawn() -> Days:
        return draw_alone(np.random.default_rng([7, 1]), MIXED, 20, 10)

    assert np.array_equal(drawn().returns, drawn().returns)
