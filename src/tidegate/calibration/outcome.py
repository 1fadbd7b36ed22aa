"""From counts to shares, rates and prices."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tidegate.calibration.production import FIRST, LATER, How, Stints
from tidegate.calibration.result import NAN, Left, Outcome, Price, Share, Spread, share_of
from tidegate.calibration.series import Row
from tidegate.calibration.tally import Tally
from tidegate.calibration.worlds import LOOKS_A_YEAR, Plan

_HOW: Final[tuple[How, ...]] = ("replaced", "expired", "rolled back", "there still")
_BINS: Final = 41


def outcome(policy: str, tally: Tally, plan: Plan, edges: NDArray[np.float64], *, is_lost: bool) -> Outcome:
    """What a policy did in one world.

    Args:
        policy: its name.
        tally: what happened.
        plan: what was simulated.
        edges: of the histogram of yearly earnings.
        is_lost: whether this is the world in which the champion's skill ends at the first look.
    """
    worlds = len(tally.earned)
    world_years = worlds * plan.years
    # Market days to calendar days: a month has thirty of these, whatever the market's calendar.
    calendar = 30.0 / plan.month_days
    alive = tally.days["first"] * (tally.truth.first <= 0) + tally.days["later"] * (tally.truth.later <= 0)
    noticed = [stints for stints in tally.stints if stints.how == "rolled back"]
    firsts = _joined(noticed, FIRST)[0] * calendar
    return Outcome(
        policy=policy,
        looks=share_of(tally.promoted, tally.looks, alike=LOOKS_A_YEAR),
        years=years_share(tally.years_promoted),
        wrong_promotions=tally.wrong_promotions / world_years,
        wrong_refusals=tally.wrong_refusals / world_years,
        wrong_rollbacks=tally.wrong_rollbacks / world_years,
        right_rollbacks=tally.right_rollbacks / world_years,
        days={name: number / sum(tally.days.values()) for name, number in tally.days.items()},
        unskilled_days=alive * calendar / world_years,
        until_noticed=float(np.median(firsts)) if is_lost and len(firsts) else NAN,
        noticed=len(firsts) / worlds if is_lost else NAN,
        left=tuple(_left(how, tally.stints, world_years, calendar) for how in _HOW),
        price=_price(tally, plan, world_years),
        earned=spread(tally.earned.ravel().astype(np.float64), edges),
        failed={name: number / tally.looks for name, number in tally.failed.items()},
        refused={name: number / tally.looks for name, number in tally.refused.items()},
    )


def years_share(promoted: NDArray[np.bool_]) -> Share:
    """Share of years with a promotion; years of one world are alike, and count for less as far as they are.

    The number of years is divided by the variance of the worlds' means over that of independent years (a design effect, Kish 1965).
    """
    worlds, years = promoted.shape
    share = float(promoted.mean()) if promoted.size else NAN
    alone = share * (1.0 - share) / years
    alike = float(np.var(promoted.mean(axis=1))) / alone if alone > 0 else 1.0
    return share_of(float(promoted.sum()), worlds * years, alike)


def edges_for(tallies: Sequence[Tally]) -> NDArray[np.float64]:
    """Edges that the histograms of all policies of a world share: the middle 99 % of what was earned, zero in the middle of no bin."""
    values = np.concatenate([tally.earned.ravel() for tally in tallies])
    values = values[values != 0] if np.any(values != 0) else values
    low, high = (float(end) for end in np.quantile(values, (0.005, 0.995)))
    reach = max(high, 0.0) - min(low, 0.0)
    step = reach / (_BINS - 1) if reach > 0 else 0.01
    first = np.floor(min(low, 0.0) / step)
    return np.asarray((first + np.arange(_BINS + 1)) * step, np.float64)


def spread(values: Row, edges: NDArray[np.float64]) -> Spread:
    """Mean, quantiles and counts."""
    q05, median, q95 = (float(value) for value in np.quantile(values, (0.05, 0.5, 0.95)))
    return Spread(
        float(values.mean()),
        q05,
        median,
        q95,
        float(np.mean(values == 0)),
        tuple(float(edge) for edge in edges),
        tuple(int(number) for number in np.histogram(values[values != 0], edges)[0]),
        int((values < edges[0]).sum()),
        int((values > edges[-1]).sum()),
    )


def _price(tally: Tally, plan: Plan, world_years: int) -> Price:
    truth, days, figures = tally.truth, tally.days, plan.figures
    year = world_years * plan.month_days * LOOKS_A_YEAR / figures.days_per_year
    unskilled = days["later"] if truth.later <= 0 else 0
    earned = _joined([stints for stints in tally.stints if stints.how != "there still"], LATER)[1]
    wrong = earned if truth.later <= 0 else np.array([])
    worse = days["first"] * (truth.best - truth.first) if truth.later > 0 else 0.0
    return Price(
        promotion=unskilled * max(0.0, -truth.later) / year,
        promotion_without_edge=unskilled * figures.trades_per_day * figures.cost / year,
        promotion_mean=float(wrong.mean()) if len(wrong) else NAN,
        promotion_q05=float(np.quantile(wrong, 0.05)) if len(wrong) else NAN,
        refusal=(days["after_refusal"] * truth.best + worse) / year,
        rollback=days["after_rollback"] * truth.best / year,
    )


def _left(how: How, stints: Sequence[Stints], world_years: int, calendar: float) -> Left:
    days, earned = _joined([one for one in stints if one.how == how])
    if not len(days):
        return Left(how, 0.0, NAN, NAN, NAN)
    return Left(
        how,
        len(days) / world_years,
        float(days.mean()) * calendar,
        float(np.median(days)) * calendar,
        float(earned.mean()),
    )


def _joined(stints: Sequence[Stints], what: int | None = None) -> tuple[Row, Row]:
    """Days and earnings of all these versions, or of those of one kind."""
    if not stints:
        return np.zeros(0), np.zeros(0)
    kind = np.concatenate([one.what for one in stints])
    chosen = np.ones(len(kind), bool) if what is None else kind == what
    days = np.concatenate([one.days for one in stints]).astype(np.float64)
    return days[chosen], np.concatenate([one.earned for one in stints])[chosen]
