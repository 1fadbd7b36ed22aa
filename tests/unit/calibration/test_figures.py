"""A strategy's figures, and what they mean for a day."""

import math
from dataclasses import replace

import pytest
from tests.calibration_worlds import FIGURES

from tidegate.calibration.figures import Figures, day_moments, shared_trades, true_sharpe, with_sharpe
from tidegate.errors import FiguresRefused

# A win earns 2 %, a loss loses 1 %, always: mean 0.5 %, variance 0.25 * (3 %)^2 = 0.000225 a trade.
PLAIN = Figures("hand", 4.0, 0.5, 0.02, 0.0, 0.01, 0.0)


def test_a_day_of_plain_trades() -> None:
    day = day_moments(PLAIN)
    assert day.mean == pytest.approx(4 * 0.005)
    assert day.variance == pytest.approx(4 * 0.000225 + 4 * 0.005**2)
    assert true_sharpe(PLAIN) == pytest.approx(0.02 / math.sqrt(0.001) * math.sqrt(365))


def test_scatter_adds_variance() -> None:
    day = day_moments(replace(PLAIN, gain_spread=0.01, loss_spread=0.02))
    assert day.variance == pytest.approx(0.001 + 4 * (0.5 * 0.01**2 + 0.5 * 0.02**2))


def test_trades_that_come_and_win_together_add_variance() -> None:
    # Var N = 2 * 4; E[N (N - 1)] = 16 + 4; any two trades have covariance 0.1 * 0.000225.
    day = day_moments(replace(PLAIN, count_dispersion=2.0, clustering=0.1))
    assert day.counts == pytest.approx(8 * 0.005**2)
    assert day.shared == pytest.approx(20 * 0.1 * 0.000225)
    assert day.variance == pytest.approx(4 * 0.000225 + day.counts + day.shared)


def test_payoff_and_the_win_rate_that_pays() -> None:
    assert PLAIN.payoff == 2.0
    assert PLAIN.break_even == pytest.approx(1 / 3)


@pytest.mark.parametrize("sharpe", [-1.0, 0.0, 0.7, 2.0, 4.0])
def test_a_win_rate_is_found_for_a_true_sharpe_ratio(sharpe: float) -> None:
    found = with_sharpe(replace(FIGURES, clustering=0.05, count_dispersion=1.5), sharpe)
    assert true_sharpe(found) == pytest.approx(sharpe, abs=1e-6)
    assert (found.gain, found.loss, found.trades_per_day) == (FIGURES.gain, FIGURES.loss, FIGURES.trades_per_day)


def test_no_skill_is_the_win_rate_that_pays_nothing() -> None:
    assert with_sharpe(FIGURES, 0.0).win_rate == pytest.approx(FIGURES.break_even)


def test_a_ratio_that_no_win_rate_gives_is_refused() -> None:
    rare = Figures("rare", 0.01, 0.5, 0.01, 0.01, 0.01, 0.01)
    with pytest.raises(FiguresRefused, match="no win rate gives"):
        with_sharpe(rare, 5.0)


def test_common_trades_are_the_correlation_where_trades_are_independent() -> None:
    # With Poisson numbers, own trades of either side add nothing in common.
    assert shared_trades(replace(FIGURES, correlation=0.5)) == pytest.approx(0.5)
    assert shared_trades(replace(FIGURES, correlation=0.0)) == 0.0


def test_days_that_all_trades_share_leave_less_for_common_trades() -> None:
    clustered = replace(FIGURES, correlation=0.5, clustering=0.2)
    assert shared_trades(clustered) < 0.5
    assert shared_trades(replace(clustered, clustering=0.9)) == 0.0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("trades_per_day", 0.0),
        ("trades_per_day", math.nan),
        ("trades_per_day", math.inf),
        ("win_rate", 1.0),
        ("win_rate", math.nan),
        ("gain", -0.1),
        ("loss", 0.0),
        ("gain_spread", math.nan),
        ("count_dispersion", 0.9),
        ("clustering", 1.0),
        ("correlation", 1.0),
        ("cost", -1e-9),
        ("drawdown_factor", 0.5),
        ("days_per_year", math.inf),
    ],
)
def test_figures_that_no_strategy_has_are_refused(name: str, value: float) -> None:
    with pytest.raises(FiguresRefused, match=name):
        replace(FIGURES, **{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("regimes", [(0.5, 0.5, 0.5), (-0.1, 0.5, 0.5), (math.nan, 0.1, 0.1)])
def test_shares_of_regimes_add_up(regimes: tuple[float, float, float]) -> None:
    with pytest.raises(FiguresRefused, match="regimes"):
        replace(FIGURES, regimes=regimes)
