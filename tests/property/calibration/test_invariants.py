"""What holds for any figures and any measurement."""

import math
from dataclasses import replace

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tidegate.calibration.draws import draw_alone
from tidegate.calibration.figures import Figures, day_moments, shared_trades, true_sharpe, with_sharpe
from tidegate.calibration.measuring import MODELLED, Measured
from tidegate.calibration.result import share_of
from tidegate.calibration.series import ratios
from tidegate.calibration.verdicts import bars, judge
from tidegate.gates.evaluation import Measurement, evaluate
from tidegate.gates.result import Verdict
from tidegate.strategy.policies import built_in

POLICIES = built_in()
ASKED = {name: bars(policy) for name, policy in POLICIES.items()}
amounts = st.floats(1e-4, 0.05)
figures = st.builds(
    Figures,
    source=st.just("any"),
    trades_per_day=st.floats(0.5, 50.0),
    win_rate=st.floats(0.2, 0.8),
    gain=amounts,
    gain_spread=amounts,
    loss=amounts,
    loss_spread=amounts,
    count_dispersion=st.floats(1.0, 4.0),
    clustering=st.floats(0.0, 0.3),
    correlation=st.floats(0.0, 0.99),
    cost=st.floats(0.0, 0.01),
)
values = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True), st.sampled_from([0.0, 0.05, 0.58, 0.62, 0.95, 1.0, 1.5, 2.0])
)


@given(figures, st.floats(0.3, 0.7), st.floats(0.001, 0.1))
def test_more_wins_are_a_higher_ratio(any_figures: Figures, win_rate: float, more: float) -> None:
    assert true_sharpe(any_figures.winning(win_rate + more)) > true_sharpe(any_figures.winning(win_rate))


@given(figures, st.floats(0.1, 10.0))
def test_ratios_know_no_scale(any_figures: Figures, factor: float) -> None:
    scaled = {name: getattr(any_figures, name) * factor for name in ("gain", "gain_spread", "loss", "loss_spread")}
    other = replace(any_figures, **scaled)
    assert math.isclose(true_sharpe(other), true_sharpe(any_figures), rel_tol=1e-9, abs_tol=1e-9)
    assert math.isclose(shared_trades(other), shared_trades(any_figures), rel_tol=1e-6, abs_tol=1e-9)


@given(figures, st.floats(-2.0, 4.0))
def test_skill_is_found_and_no_skill_pays_nothing(any_figures: Figures, sharpe: float) -> None:
    # Losses hundreds of times as large as profits leave no win rate that makes a good strategy.
    assume(true_sharpe(any_figures.winning(1e-5)) < sharpe < true_sharpe(any_figures.winning(1 - 1e-5)))
    assert math.isclose(true_sharpe(with_sharpe(any_figures, sharpe)), sharpe, abs_tol=1e-5)
    assert math.isclose(with_sharpe(any_figures, 0.0).win_rate, any_figures.break_even, abs_tol=1e-9)
    assert 0.0 <= shared_trades(any_figures) < 1.0
    assert day_moments(any_figures).variance > 0


@settings(max_examples=25)
@given(figures, st.integers(0, 2**32))
def test_days_are_never_impossible(any_figures: Figures, seed: int) -> None:
    days = draw_alone(np.random.default_rng(seed), any_figures, 4, 6)
    for drawn in (days.wins, days.losses, days.gained, days.lost):
        assert drawn.shape == (4, 6)
        assert bool(np.isfinite(drawn).all())
        assert bool((drawn >= 0).all())


@settings(max_examples=300)
@given(
    st.sampled_from(MODELLED),
    st.sampled_from(sorted(POLICIES)),
    values,
    st.integers(-1, 200),
    values,
    st.floats(0.0, 0.4),
)
def test_any_measurement_is_judged_as_evaluate_judges_it(
    name: str, policy: str, value: float, n: int, error: float, level: float
) -> None:
    single = Measurement(value, n=n, standard_error=error, bound=level or None)
    expected = next(each for each in evaluate({name: single}, POLICIES[policy]) if each.name == name)
    made = Measured(np.array([value]), np.array([float(n)]), np.array([error]))
    found = judge({name: made}, ASKED[policy], level)
    assert bool(found.passed[name][0]) == (expected.verdict is Verdict.PASS)
    assert bool(found.refuses[name][0]) == expected.refuses
    assert bool(found.promote[0]) == (not expected.refuses)


@given(st.integers(0, 2**32), st.sampled_from([0.25, 4.0, 64.0]))
def test_a_series_ratio_knows_no_scale(seed: int, factor: float) -> None:
    returns = np.random.default_rng(seed).normal(0.001, 0.01, (3, 60)).astype(np.float32)
    one, other = ratios(returns, 365.0), ratios(returns * np.float32(factor), 365.0)
    for name in ("annual", "error", "skewness", "kurtosis"):
        assert np.allclose(getattr(one, name), getattr(other, name), rtol=1e-5, atol=1e-5)


@given(st.integers(0, 500), st.integers(1, 500), st.floats(1.0, 50.0))
def test_a_share_lies_in_its_interval(count: int, n: int, alike: float) -> None:
    found = share_of(min(count, n), n, alike)
    assert 0.0 <= found.low <= found.value <= found.high <= 1.0
    narrow = share_of(min(count, n), n)
    assert narrow.high - narrow.low <= found.high - found.low + 1e-12
