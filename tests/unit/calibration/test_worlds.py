"""Whole lives in small worlds: what must hold whatever the chance."""

from dataclasses import replace

import numpy as np
import pytest
from tests.calibration_worlds import FIGURES, plan, strategy

from tidegate.calibration.calibrate import CHUNK, Options, calibrate
from tidegate.calibration.endurance import endurance, endure
from tidegate.calibration.outcome import edges_for, outcome, spread, years_share
from tidegate.calibration.production import FIRST, LATER, Stints
from tidegate.calibration.result import Calibration, share_of
from tidegate.calibration.tally import Tally, Truth, added
from tidegate.calibration.worlds import plan_for, simulate, worlds_of
from tidegate.errors import ConfigurationError, FiguresRefused
from tidegate.strategy.policies import built_in

NO_SKILL, EQUAL, BETTER, LOST = worlds_of(0.0, 2.0, 1.0, 2.0)
SMALL = Options(worlds=60, years=1, checked=6, workers=2)


@pytest.fixture(scope="module")
def found() -> Calibration:
    policies = built_in()
    chosen = {name: policies[name] for name in ("balanced", "checklist", "strict")}
    return calibrate(strategy(), FIGURES, chosen, SMALL)


def test_the_same_seed_gives_the_same_worlds() -> None:
    one, again = (simulate(EQUAL, plan(), 20, (3, 1)) for _ in range(2))
    for name in one:
        assert np.array_equal(one[name].earned, again[name].earned)
        assert one[name].failed == again[name].failed
    other = simulate(EQUAL, plan(), 20, (3, 2))
    assert not np.array_equal(one["checklist"].earned, other["checklist"].earned)


def test_days_and_looks_add_up() -> None:
    for world in (NO_SKILL, EQUAL, BETTER, LOST):
        for tally in simulate(world, plan(), 20, (4,)).values():
            assert tally.looks == 20 * 12
            assert sum(tally.days.values()) == 20 * 12 * 30
            assert tally.promoted >= int(tally.years_promoted.sum())
            traded = sum(int(stints.days.sum()) for stints in tally.stints)
            # A month before the first look belongs to the champion's stint and is not counted as a day of the worlds.
            assert traded == tally.days["first"] + tally.days["later"]
            earned = sum(float(stints.earned.sum()) for stints in tally.stints)
            assert earned == pytest.approx(float(tally.earned.sum()), abs=1e-4)


def test_without_skill_every_promotion_is_wrong_and_no_refusal_is() -> None:
    tally = simulate(NO_SKILL, plan(), 60, (5,))["checklist"]
    assert tally.promoted > 0  # luck passes the checklist
    assert tally.wrong_promotions == tally.promoted
    assert (tally.wrong_refusals, tally.wrong_rollbacks, tally.days["first"]) == (0, 0, 0)


def test_with_skill_no_promotion_is_wrong() -> None:
    for world in (EQUAL, BETTER):
        for tally in simulate(world, plan(), 20, (6,)).values():
            assert (tally.wrong_promotions, tally.right_rollbacks) == (0, 0)
            assert 0 < tally.wrong_refusals <= tally.looks - tally.promoted


def test_stricter_policies_promote_less(found: Calibration) -> None:
    for point in found.curve:
        assert point.look["strict"].value <= point.look["balanced"].value <= point.look["checklist"].value
        assert point.year["strict"].value <= point.year["balanced"].value <= point.year["checklist"].value


def test_skill_helps(found: Calibration) -> None:
    by_sharpe = {point.sharpe: point for point in found.curve}
    assert by_sharpe[0.0].skill_year.value < by_sharpe[2.0].skill_year.value < by_sharpe[4.0].skill_year.value
    assert by_sharpe[2.0].year["checklist"].value > by_sharpe[0.0].year["checklist"].value


def test_closed_forms_agree_with_the_simulation(found: Calibration) -> None:
    assert len(found.closed) == 8
    for one in found.closed:
        # 60 worlds of twelve overlapping looks: wide intervals, and a little more for nine comparisons at once.
        assert one.simulated.low - 0.05 <= one.computed <= one.simulated.high + 0.05, one.what


def test_the_full_statistics_agree(found: Calibration) -> None:
    by_formula = [one for one in found.agreements if "bootstrap" not in one.note]
    assert len(by_formula) == 4
    for one in by_formula:
        assert (one.agree, one.n) == (6, 6)
        assert one.largest_difference < 1e-4
    for one in found.agreements:
        assert one.largest_difference < 1.0


def test_what_is_told_is_complete(found: Calibration) -> None:
    assert [world.name for world in found.results] == ["no_skill", "equal", "better", "lost"]
    assert found.policies == ("balanced", "checklist", "strict")
    assert found.level == pytest.approx({"balanced": 0.05 / 12, "checklist": 0.05 / 12, "strict": 0.01 / 12})
    assert set(found.modelled) & set(found.left_out) == set()
    assert found.world("lost").champion == 0.0
    plain = found.plain()
    assert plain["results"][0]["outcomes"][0]["until_noticed"] is None  # not a number
    assert Calibration(**{name: getattr(found, name) for name in Calibration.__slots__}).to_json() == found.to_json()


def test_threads_change_nothing() -> None:
    policies = {name: built_in()[name] for name in ("balanced", "checklist", "strict")}
    few = replace(SMALL, worlds=CHUNK // 100, checked=2)
    one, three = (calibrate(strategy(), FIGURES, policies, replace(few, workers=workers)) for workers in (1, 3))
    assert one.to_json() == three.to_json()


def test_chunks_are_added() -> None:
    chunks = [simulate(EQUAL, plan(), size, (7, size))["checklist"] for size in (5, 8)]
    total = added(chunks)
    assert total.looks == 13 * 12
    assert total.earned.shape == (13, 1)
    assert total.failed == {name: sum(chunk.failed[name] for chunk in chunks) for name in total.failed}
    assert CHUNK >= 100


@pytest.mark.parametrize(
    "options",
    [
        replace(SMALL, worlds=0),
        replace(SMALL, years=0),
        replace(SMALL, checked=-1),
        replace(SMALL, workers=0),
        replace(SMALL, seed=-1),
    ],
)
def test_numbers_out_of_range_are_refused(options: Options) -> None:
    with pytest.raises(ConfigurationError, match="calibration"):
        calibrate(strategy(), FIGURES, built_in(), options)


def test_a_truth_that_such_trades_cannot_have_is_refused() -> None:
    with pytest.raises(FiguresRefused, match="no win rate"):
        calibrate(strategy(), replace(FIGURES, trades_per_day=0.005), built_in(), SMALL)


def test_the_plan_follows_the_strategys_windows() -> None:
    file = strategy()
    windows = file.windows.model_copy(update={"max_folds": 6, "test_days": 60})
    fx = replace(FIGURES, days_per_year=260.0)
    made = plan_for(file.model_copy(update={"windows": windows}), fx, plan().watch, built_in(), years=2, trials=(5, 6))
    assert (made.pool_months, made.fold_months, made.month_days, made.months) == (12, 2, 21, 24)
    assert made.trial_variance == pytest.approx(365 / (90 * 260))


def test_an_equal_that_is_always_replaced_has_no_wrong_refusal() -> None:
    tally = Tally.empty(2, 1, Truth(0.001, 0.001))
    assert tally.truth.best == 0.001
    assert Truth(-0.1, -0.2).best == 0.0


def test_prices_by_hand() -> None:
    made = plan(replace(FIGURES, cost=0.002))
    tally = Tally.empty(1, 1, Truth(0.001, 0.003))
    tally.looks, tally.days = 12, {"first": 100, "later": 60, "after_rollback": 50, "after_refusal": 150}
    price = outcome("balanced", tally, made, np.linspace(-1, 1, 5), is_lost=False).price
    year = 365 / 360
    assert price.refusal == pytest.approx((150 * 0.003 + 100 * 0.002) * year)
    assert price.rollback == pytest.approx(50 * 0.003 * year)
    assert (price.promotion, price.promotion_without_edge) == (0.0, 0.0)
    tally.truth = Truth(-0.001, -0.002)
    tally.stints = [Stints("expired", np.array([FIRST, LATER, LATER], np.int8), np.array([45, 30, 45]), np.array([9.0, 0.1, -0.3]))]  # fmt: skip
    price = outcome("balanced", tally, made, np.linspace(-1, 1, 5), is_lost=False).price
    assert price.promotion == pytest.approx(60 * 0.002 * year)
    assert price.promotion_without_edge == pytest.approx(60 * 2.0 * 0.002 * year)
    assert price.promotion_mean == pytest.approx(-0.1)
    assert (price.refusal, price.rollback) == (0.0, 0.0)


def test_years_of_one_world_that_are_alike_count_for_less() -> None:
    together = np.array([[True] * 3, [False] * 3] * 50)
    mixed = np.array([[True, False, True], [False, True, False]] * 50)
    assert years_share(together).n == pytest.approx(100)
    assert years_share(mixed).n == pytest.approx(300)
    assert years_share(together).value == years_share(mixed).value == 0.5
    assert years_share(np.zeros((10, 3), bool)).n == 30


def test_shares_of_nothing_are_unknown() -> None:
    assert np.isnan(share_of(0, 0).value)
    assert share_of(0, 100).low == 0.0
    assert share_of(50, 100, 4.0).n == 25


def test_a_histogram_leaves_idle_years_out() -> None:
    tally = Tally.empty(4, 1, Truth(0.0, 0.0))
    tally.earned[:, 0] = [0.0, 0.1, -0.1, 0.2]
    edges = edges_for([tally])
    found = spread(tally.earned.ravel().astype(np.float64), edges)
    assert found.idle == 0.25
    assert sum(found.counts) + found.below + found.above == 3
    assert float(np.min(np.abs(edges))) == pytest.approx(0.0, abs=1e-12)
    assert edges_for([Tally.empty(2, 1, Truth(0.0, 0.0))]).shape == edges.shape


def test_alarms_come_sooner_without_skill() -> None:
    made = plan(years=2)
    healthy, lost = (endure(made, 2.0, truth, 60, (8, number)) for number, truth in enumerate((2.0, -1.0)))
    assert np.isfinite(lost).sum() > np.isfinite(healthy).sum()
    found = endurance(made, 2.0, -1.0, lost)
    assert 0 <= found.within[30] <= found.within[90] <= found.within[365] <= 1
    assert found.alarms_a_year > endurance(made, 2.0, 2.0, healthy).alarms_a_year
    none = endurance(made, 2.0, 2.0, np.full(5, np.inf))
    assert none.alarms_a_year == 0.0
    assert np.isinf(none.median_days)
