"""Rules that only markets need: gaps, stale feeds, runs without trade, jumps. They judge ascending, unique, sound bars."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from tidegate.bars.bars import Bars, iso
from tidegate.bars.interval import DAY_MS
from tidegate.settings.settings import Validation
from tidegate.validation import calendar as calendars
from tidegate.validation.finding import SHOWN_ROWS, Rows, percent, readable_time
from tidegate.validation.runs import Mask, long_runs, starts_of
from tidegate.validation.units import price_mixup

_MAD_TO_SIGMA: Final = 1.4826  # of a normal distribution
_MIN_RETURNS: Final = 20


@dataclass(frozen=True, slots=True)
class Context:
    """What rules need besides the bars.

    Attributes:
        rules: severities and thresholds.
        calendar: `24/7` or `fx`.
        as_of_ms: the time of validation, UTC ms.
    """

    rules: Validation
    calendar: str
    as_of_ms: int


@dataclass(frozen=True, slots=True)
class Flag:
    """What one rule found among n bars.

    Attributes:
        rows: (m,) numbers of the bars it means, ascending.
        count: how much it found; the number of rows unless the rule counts something else.
        share: count over what it looked at, 0 to 1.
        message: one sentence.
        details: for each shown row what else was measured there.
    """

    rows: Rows
    count: int
    share: float
    message: str
    details: tuple[Mapping[str, float | int | str], ...] = field(default=())


def _flag_rows(mask: Mask, message: str) -> Flag | None:
    rows = np.flatnonzero(mask)
    if not len(rows):
        return None
    share = len(rows) / len(mask)
    return Flag(rows, len(rows), share, f"{message}; {len(rows)} of {len(mask)} bars ({percent(share)})")


def unit_mixup(bars: Bars, _context: Context) -> Flag | None:
    """Prices in another unit than the rest: see `units.price_mixup`."""
    mixup = price_mixup(bars)
    if mixup is None:
        return None
    mask = np.zeros(len(bars), np.bool_)
    mask[mixup.rows] = True
    return _flag_rows(mask, mixup.message)


def jumps(bars: Bars, context: Context) -> Flag | None:
    """Log returns from close to close beyond `jump_sigmas` robust standard deviations.

    Sigma is 1.4826 times the median absolute deviation, of the returns that are not zero if most of them are.
    """
    if len(bars) <= _MIN_RETURNS:
        return None
    returns = np.diff(np.log(bars.close))
    sigma = _robust_sigma(returns)
    if sigma == 0.0:
        moved = returns[returns != 0]
        sigma = _robust_sigma(moved) if len(moved) >= _MIN_RETURNS else 0.0
    if sigma == 0.0:
        return None
    mask = np.zeros(len(bars), np.bool_)
    mask[1:] = np.abs(returns) > context.rules.jump_sigmas * sigma
    if not mask.any():
        return None
    largest = int(np.argmax(np.abs(returns)))
    return _flag_rows(
        mask,
        f"returns beyond {context.rules.jump_sigmas:g} robust standard deviations of {sigma:.3g}, the largest "
        f"{np.expm1(returns[largest]):+.2%} at {iso(int(bars.opened_at[largest + 1]))}",
    )


def _robust_sigma(returns: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
    return float(_MAD_TO_SIGMA * np.median(np.abs(returns - np.median(returns))))


def zero_volume(bars: Bars, context: Context) -> Flag | None:
    """Runs of at least `run_bars` bars without volume."""
    silent = bars.volume == 0
    return _flag_runs(bars, silent, starts_of(silent), context.rules.run_bars, "without volume")


def flat(bars: Bars, context: Context) -> Flag | None:
    """Runs of at least `run_bars` bars in which every price is one and the same."""
    still = bars.high == bars.low  # open and close lie between
    starts = still.copy()
    starts[1:] &= ~(still[:-1] & (bars.close[1:] == bars.close[:-1]))
    return _flag_runs(bars, still, starts, context.rules.run_bars, "at one and the same price")


def _flag_runs(bars: Bars, mask: Mask, starts: Mask, minimum: int, what: str) -> Flag | None:
    members, firsts, lengths = long_runs(mask, starts, minimum)
    if not len(firsts):
        return None
    longest = int(np.argmax(lengths))
    began = iso(int(bars.opened_at[firsts[longest]]))
    runs = "1 run" if len(firsts) == 1 else f"{len(firsts)} runs"
    return _flag_rows(members, f"{runs} {what}, the longest {lengths[longest]} bars from {began}")


def outside_calendar(bars: Bars, context: Context) -> Flag | None:
    """Bars during all of which the market is closed."""
    return _flag_rows(
        calendars.outside(bars, context.calendar), f"bars while the market is closed (calendar {context.calendar})"
    )


def gaps(bars: Bars, context: Context) -> Flag | None:
    """Bars that the market's calendar has between the first and the last, and the series has not."""
    found = calendars.missing(bars, context.calendar)
    if not found:
        return None
    expected = calendars.expected_count(bars, context.calendar)
    missing = sum(gap.bars for gap in found)
    longest = max(found, key=lambda gap: gap.bars)
    return Flag(
        np.array([gap.row for gap in found], np.intp),
        len(found),
        missing / expected,
        f"{'1 gap' if len(found) == 1 else f'{len(found)} gaps'} with {missing} of {expected} bars missing "
        f"({percent(missing / expected)}), the longest {longest.bars} bars from {iso(longest.start_ms)} "
        f"to {iso(longest.end_ms)} (calendar {context.calendar})",
        _gap_details(found),
    )


def missing_share(bars: Bars, context: Context) -> Flag | None:
    """The missing bars' share of those the calendar has, if over `max_missing_share` in a series that is long enough to tell."""
    if not len(bars) or bars.closed_at[-1] - bars.opened_at[0] < context.rules.missing_share_min_days * DAY_MS:
        return None
    expected = calendars.expected_count(bars, context.calendar)
    found = calendars.missing(bars, context.calendar)
    missing = sum(gap.bars for gap in found)
    limit = context.rules.max_missing_share
    if not missing or missing / expected <= limit:
        return None
    share = missing / expected
    message = (
        f"{missing} of {expected} bars are missing ({percent(share)}), at most {percent(limit)} may be "
        f"(validation.max_missing_share)"
    )
    return Flag(np.array([gap.row for gap in found], np.intp), missing, share, message, _gap_details(found))


def _gap_details(found: tuple[calendars.Gap, ...]) -> tuple[Mapping[str, float | int | str], ...]:
    return tuple(
        {"missing_bars": gap.bars, "missing_from": iso(gap.start_ms), "missing_to": iso(gap.end_ms)}
        for gap in found[:SHOWN_ROWS]
    )


def stale(bars: Bars, context: Context) -> Flag | None:
    """A newest bar that closed more than `stale_after_bars` trading bars ago; a closed market does not age."""
    if not len(bars):
        return None
    age = calendars.trading_age_bars(bars, context.calendar, context.as_of_ms)
    limit = context.rules.stale_after_bars
    if age <= limit:
        return None
    message = (
        f"the newest bar closed {age} trading bars before {readable_time(context.as_of_ms)}, at most {limit} may lie between "
        f"(validation.stale_after_bars)"
    )
    return Flag(np.array([len(bars) - 1], np.intp), 1, 1 / len(bars), message, ({"age_bars": age},))


Rule = Callable[[Bars, Context], Flag | None]

ROW_RULES: Final[Mapping[str, Rule]] = {
    "unit_mixup": unit_mixup,
    "jumps": jumps,
    "zero_volume": zero_volume,
    "flat": flat,
    "outside_calendar": outside_calendar,
}
"""Rules about single bars, which can be set aside."""

SERIES_RULES: Final[Mapping[str, Rule]] = {"gaps": gaps, "missing_share": missing_share, "stale": stale}
"""Rules about what is left when bars have been set aside."""
