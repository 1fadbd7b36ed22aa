"""What is in production: it trades, alarms, expires and is replaced, world by world."""

from dataclasses import replace

import numpy as np
import pytest
from tests.calibration_worlds import FIGURES, strategy

from tidegate.calibration.draws import Days, draw_together
from tidegate.calibration.production import FIRST, LATER, NOTHING, Production
from tidegate.calibration.watching import Watch, designed, designs, watch_of
from tidegate.monitoring import sequential
from tidegate.strategy.strategy import Rollback

DAYS, MANY = 30, 4
WATCH = Watch(0.1, 2.0, 365.0, 1.0, 45, True)
# A pool of 900 wins in 1,000: half as many are noticed soon.
GREAT = np.array([[900.0, 100.0, 900 * 0.0015, 100 * 0.002]])
SUMS = np.array([[430.0, 290.0, 430 * 0.0015, 290 * 0.002]])


def path(returns: list[float], losses: list[int] | None = None) -> Days:
    """One world whose days have these returns, and so many losses each."""
    net = np.array([returns], np.float32)
    lost = np.array([losses or [0] * len(returns)], np.float32)
    slots = np.stack((np.zeros_like(lost), lost))[:, np.newaxis]
    return Days(np.zeros_like(lost), lost, np.maximum(net, 0), np.maximum(-net, 0), slots)


def started(watch: Watch = WATCH, what: int = FIRST) -> Production:
    production = Production.empty(1, watch)
    production.promote(np.ones(1, bool), SUMS, what)
    return production


def test_nothing_is_in_production_at_first() -> None:
    production = Production.empty(1, WATCH)
    month = production.trade((path([0.01] * DAYS),) * 2)
    assert month.returns.sum() == 0
    assert not month.traded.any()
    assert production.stints == []


def test_a_version_trades_its_own_path() -> None:
    first, later = path([0.01] * DAYS), path([0.02] * DAYS)
    assert started().trade((first, later)).returns.sum() == pytest.approx(0.3)
    assert started(what=LATER).trade((first, later)).returns.sum() == pytest.approx(0.6)


def test_each_world_has_its_versions_path() -> None:
    rng = np.random.default_rng(1)
    first, later = draw_together(rng, (FIGURES,) * 3, 3, DAYS)[1:]
    production = Production.empty(3, replace(WATCH, acts=False))
    production.promote(np.array([True, False, True]), np.repeat(SUMS, 3, axis=0), FIRST)
    production.promote(np.array([False, False, True]), np.repeat(SUMS, 3, axis=0), LATER)
    month = production.trade((first, later))
    assert np.array_equal(month.returns[0], first.returns[0])
    assert not month.traded[1].any()
    assert np.array_equal(month.returns[2], later.returns[2])


def test_a_version_expires_in_the_middle_of_its_second_month() -> None:
    production, days = started(), (path([0.01] * DAYS),) * 2
    assert production.trade(days).traded.sum() == DAYS
    second = production.trade(days)
    assert second.traded.tolist() == [[True] * 15 + [False] * 15]
    (stints,) = production.stints
    assert (stints.how, stints.days.tolist()) == ("expired", [45])
    assert stints.earned == pytest.approx([0.45])
    # It stays the one that a challenger meets, and expires once.
    assert production.what.tolist() == [FIRST]
    assert not production.trade(days).traded.any()
    production.finish()
    assert len(production.stints) == 1


def test_a_new_version_begins_anew() -> None:
    production, days = started(), (path([0.01] * DAYS, [MANY] * DAYS),) * 2
    production.watch = replace(WATCH, acts=False)
    production.trade(days)
    assert production.statistic[0] > 0
    production.promote(np.ones(1, bool), SUMS)
    assert [stints.how for stints in production.stints] == ["replaced"]
    assert (production.what[0], production.age[0], production.statistic[0], production.days[0]) == (LATER, 0, 0, 0)
    production.finish()
    assert production.stints[-1].how == "there still"


def test_losses_alarm_and_the_version_leaves_on_the_next_day() -> None:
    production = started()
    up, _, threshold = production.steps[0].tolist()
    needed = -(-threshold // (MANY * up))
    assert 5 < needed < DAYS
    month = production.trade((path([-0.01] * DAYS, [MANY] * DAYS),) * 2)
    assert month.traded.sum() == needed
    assert month.returns.sum() == pytest.approx(-0.01 * needed)
    assert month.rolled_back.tolist() == [True]
    assert (production.what[0], production.went_back[0]) == (NOTHING, True)
    assert [(stints.how, stints.days.tolist()) for stints in production.stints] == [("rolled back", [needed])]
    assert not production.trade((path([0.01] * DAYS),) * 2).traded.any()


def test_an_alarm_that_only_tells_people_leaves_the_version_there() -> None:
    month = started(replace(WATCH, acts=False)).trade((path([-0.01] * DAYS, [MANY] * DAYS),) * 2)
    assert month.traded.all()
    assert not month.rolled_back.any()


def test_losses_after_its_expiry_alarm_nobody() -> None:
    production = started(replace(WATCH, age_days=5))
    month = production.trade((path([-0.01] * DAYS, [MANY] * DAYS),) * 2)
    assert month.traded.sum() == 5
    assert [stints.how for stints in production.stints] == ["expired"]


def test_the_statistic_is_that_of_the_sequential_test() -> None:
    worlds, months = 40, 3
    won = np.random.default_rng(2).random((worlds, months * DAYS)) < 0.6  # a trade a day
    production = Production.empty(worlds, replace(WATCH, age_days=10**6))
    production.promote(np.ones(worlds, bool), np.repeat(GREAT, worlds, axis=0))
    left = np.full(worlds, months * DAYS)
    for number in range(months):
        wins = won[:, number * DAYS : (number + 1) * DAYS].astype(np.float32)
        slots = np.stack((wins, 1 - wins))[:, np.newaxis]
        days = Days(wins, 1 - wins, wins, 1 - wins, slots)
        month = production.trade((days, days))
        left[month.rolled_back] = number * DAYS + month.traded[month.rolled_back].sum(axis=1)
    up, down, threshold = designs(GREAT, production.watch)[0].tolist()
    for world in range(worlds):
        alarms = np.flatnonzero(sequential.cusum(np.where(won[world], -down, up)) >= threshold)
        assert left[world] == (alarms[0] + 1 if len(alarms) else months * DAYS)
    assert len(set(left.tolist())) > 10
    assert max(left.tolist()) > DAYS  # the statistic is carried over months


def test_designs_are_those_of_the_manifests_figures_rounded() -> None:
    wins, losses = 1240.0, 760.0
    sums = np.array([[wins, losses, wins * 0.0015, losses * 0.002]])
    found = designs(sums, WATCH)[0].tolist()
    low = sequential.design(
        {"win_rate": 0.62, "trades": 2000.0, "payoff_ratio": 0.75, "trades_per_day": 2.0}, 0.1
    ).healthy
    rounded = designed(round(low * 200) / 200, round((low - 0.03) * 200) / 200, WATCH)
    assert found == [rounded.loss_steps, rounded.win_steps, rounded.threshold_steps]
    assert rounded.healthy == pytest.approx(low, abs=0.0026)


@pytest.mark.parametrize("sums", [[0.0, 0, 0, 0], [50.0, 0, 0.1, 0], [0.0, 50, 0, 0.1]])
def test_a_version_without_wins_or_losses_has_no_test(sums: list[float]) -> None:
    assert designs(np.array([sums]), WATCH)[0].tolist() == [0, 0, 0]


def test_the_strategys_rules_are_watched() -> None:
    file = strategy()
    found = watch_of(file, FIGURES)
    assert (found.yearly_false_alarms, found.age_days, found.acts, found.dispersion) == (0.1, 45, True, 1.0)
    alerting = file.model_copy(update={"rollback": Rollback(sequential_action="alert")})
    assert not watch_of(alerting, FIGURES).acts
    # Of two trades a day, any two winning together with 0.1: 1 + 0.1 * (2 + 1 - 1) with counts of dispersion 1.
    assert watch_of(file, replace(FIGURES, clustering=0.1)).dispersion == pytest.approx(1.2)
    assert watch_of(file, replace(FIGURES, days_per_year=260.0)).age_days == 32
