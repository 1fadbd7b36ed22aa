"""The year's budget of error, look by look: 12 looks, 5 %."""

import math

import pytest

from tidegate.bars.interval import DAY_MS
from tidegate.errors import DataError
from tidegate.statistics.spending import Look, allowance

SHARE = 0.05 / 12
HOUR = DAY_MS // 24


def of(day: float, key: str, level: float = SHARE) -> Look:
    return Look(round(day * DAY_MS), key, level)


MONTHLY = tuple(of(30 * month, f"m{month}") for month in range(12))
SPENT = tuple(of(10, f"again {number}") for number in range(12))


@pytest.mark.parametrize(
    ("looks", "key", "day", "level", "charged", "returns"),
    [
        pytest.param((), "a", 0, SHARE, 0.0, None, id="the first look"),
        pytest.param((of(0, "b"),), "a", 1, SHARE, SHARE, None, id="another look was charged"),
        pytest.param(MONTHLY[:11], "m11", 330, SHARE, 11 * SHARE, None, id="the last of a year"),
        pytest.param(MONTHLY, "m12", 360, 0.0, 0.05, 365, id="a thirteenth within the year"),
        pytest.param(MONTHLY, "m12", 365, SHARE, 11 * SHARE, None, id="the first is a year old"),
        pytest.param(
            (*MONTHLY[:11], of(331, "m11b", SHARE / 2)), "m12", 340, SHARE / 2, 11.5 * SHARE, 365, id="half a share"
        ),
        pytest.param(SPENT, "b", 20, 0.0, 0.05, 375, id="all spent on one day"),
        pytest.param(SPENT, "again 3", 20, SHARE, 11 * SHARE, None, id="the same look again is free"),
        pytest.param((*SPENT, of(12, "late", 0.0)), "late", 20, 0.0, 0.05, 375, id="an empty look stays empty"),
        pytest.param((of(0, "a"), of(5, "a", 0.04)), "b", 20, SHARE, SHARE, None, id="one key is charged once"),
        pytest.param((of(50, "b", 0.05),), "a", 20, 0.0, 0.05, 415, id="a look of the future is charged"),
        pytest.param((of(0, "b", 0.2),), "a", 20, 0.0, 0.2, 365, id="more was charged than there is"),
    ],
)
def test_what_a_look_may_err(
    looks: tuple[Look, ...], key: str, day: int, level: float, charged: float, returns: int | None
) -> None:
    found = allowance(looks, key, day * DAY_MS, yearly_error=0.05, looks_per_year=12)
    assert (found.level, found.charged, found.budget) == pytest.approx((level, charged, 0.05))
    assert found.returns_at == (None if returns is None else returns * DAY_MS)


def test_a_budget_is_not_left_to_rounding() -> None:
    found = allowance(MONTHLY[:11], "m11", 330 * DAY_MS, yearly_error=0.05, looks_per_year=12)
    assert found.level == SHARE
    assert allowance(MONTHLY, "m12", 331 * DAY_MS, yearly_error=0.05, looks_per_year=12).level == 0.0


@pytest.mark.parametrize("error", [0.05, 0.01, 0.1, 0.07])
def test_whatever_the_share_the_planned_looks_fit_and_no_more(error: float) -> None:
    for planned in range(1, 61):
        ledger: list[Look] = []
        for number in range(planned + 1):
            found = allowance(ledger, str(number), DAY_MS, yearly_error=error, looks_per_year=planned)
            assert found.level == (error / planned if number < planned else 0.0)
            ledger.append(Look(DAY_MS, str(number), found.level))


def test_the_hour_of_the_day_does_not_matter() -> None:
    late = tuple(Look(look.at_ms + 5 * HOUR, look.key, look.level) for look in MONTHLY)
    assert allowance(late, "m12", 365 * DAY_MS, yearly_error=0.05, looks_per_year=12).level == SHARE
    assert allowance(late, "m12", 365 * DAY_MS - 1, yearly_error=0.05, looks_per_year=12).level == 0.0


def test_at_the_time_named_the_share_is_back() -> None:
    empty = allowance(MONTHLY, "m12", 340 * DAY_MS, yearly_error=0.05, looks_per_year=12)
    assert empty.returns_at is not None
    assert allowance(MONTHLY, "m12", empty.returns_at, yearly_error=0.05, looks_per_year=12).level == SHARE
    assert allowance(MONTHLY, "m12", empty.returns_at - 1, yearly_error=0.05, looks_per_year=12).level == 0.0


@pytest.mark.parametrize(
    ("error", "looks", "recorded"),
    [(0.0, 12, 0.01), (1.0, 12, 0.01), (math.nan, 12, 0.01), (0.05, 0, 0.01), (0.05, 12, -0.01), (0.05, 12, math.nan)],
)
def test_figures_out_of_range_are_refused(error: float, looks: int, recorded: float) -> None:
    with pytest.raises(DataError):
        allowance((of(0, "b", recorded),), "a", DAY_MS, yearly_error=error, looks_per_year=looks)
