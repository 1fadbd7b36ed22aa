"""When a market trades, and so which bars must exist.

`24/7` never closes. `fx` is open from Sunday 17:00 to Friday 17:00 New York time: 22:00 UTC in winter, 21:00 in summer, as feeds
really deliver it. Holidays are no part of a calendar: Christmas is a gap that is reported, since each feed keeps its own.

A bar is expected if the market is open for at least half of it, and outside the calendar only if the market is closed for all of it:
a daily feed's short Sunday bar is thus neither missing nor wrong. Every bar longer than a day is expected.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from tidegate.bars.bars import Bars
from tidegate.bars.interval import DAY_MS, Interval
from tidegate.errors import ConfigurationError

Times = NDArray[np.int64]
Mask = NDArray[np.bool_]
CalendarName = Literal["24/7", "fx"]
CALENDARS: Final[tuple[CalendarName, ...]] = ("24/7", "fx")

_FX_WEEKS: Final = 131 * 52


@dataclass(frozen=True, slots=True)
class Gap:
    """Bars missing in a row, as the calendar counts rows: a weekend does not split a gap.

    Attributes:
        start_ms: opening time of the first missing bar, UTC.
        end_ms: closing time of the last missing bar, UTC.
        bars: how many are missing, >= 1.
        row: number of the first bar after the gap.
    """

    start_ms: int
    end_ms: int
    bars: int
    row: int


@dataclass(frozen=True, slots=True, eq=False)
class Sessions:
    """Spans in which a market is open.

    Attributes:
        opens, closes: (m,) int64 UTC ms, ascending and disjoint.
    """

    opens: Times
    closes: Times

    def open_ms(self, times_ms: Times) -> Times:
        """(n,) int64, for how long the market was open before each time, from an arbitrary start."""
        elapsed = np.concatenate(([0], np.cumsum(self.closes - self.opens)))
        session = np.searchsorted(self.opens, times_ms, side="right") - 1
        inside = np.clip(times_ms - self.opens[session], 0, self.closes[session] - self.opens[session])
        return np.where(session < 0, 0, elapsed[session] + inside)

    def on_grid(self, step_ms: int, phase_ms: int) -> "Sessions":
        """The same spans moved to grid points, so that they hold just the bars that are open for half their time or more."""
        first = -((phase_ms - self.opens + step_ms // 2) // step_ms)
        last = (self.closes - step_ms // 2 - phase_ms) // step_ms
        return Sessions(first * step_ms + phase_ms, (last + 1) * step_ms + phase_ms)


def sessions(calendar: str, step_ms: int) -> Sessions:
    """The market's sessions from 1970 on, as they matter to bars of `step_ms`.

    Raises:
        ConfigurationError: no such calendar, or the system has no time zone data.
    """
    if calendar not in CALENDARS:
        raise ConfigurationError(
            f"calendar {calendar!r} is unknown", expected=" or ".join(CALENDARS), setting="calendar"
        )
    if calendar == "24/7" or step_ms > DAY_MS:
        limit = np.iinfo(np.int64).max // 4
        return Sessions(np.array([-limit]), np.array([limit]))
    return _fx_sessions()


@lru_cache(maxsize=1)
def _fx_sessions() -> Sessions:
    """All FX weeks from 1970 to 2100, Sunday 17:00 to Friday 17:00 New York time."""
    try:
        new_york = ZoneInfo("America/New_York")
    except ZoneInfoNotFoundError as error:
        raise ConfigurationError(
            "calendar fx needs time zone data, and this system has none", next_step="install the package tzdata"
        ) from error
    sundays = [datetime(1970, 1, 4, 17, tzinfo=new_york) + timedelta(weeks=week) for week in range(_FX_WEEKS)]
    return Sessions(_utc_ms(sundays), _utc_ms([sunday + timedelta(days=5) for sunday in sundays]))


def _utc_ms(moments: list[datetime]) -> Times:
    # Adding days to an aware datetime keeps its wall-clock time, which is what a market's hours are told in.
    return np.array([int(moment.timestamp()) * 1000 for moment in moments], np.int64)


def expected_opens(calendar: str, interval: Interval, start_ms: int, end_ms: int) -> Times:
    """Opening times of the bars that must exist.

    Args:
        calendar: `24/7` or `fx`.
        interval: the bars' interval; bars open at its multiples since 1970.
        start_ms: UTC ms of the first opening time that counts.
        end_ms: UTC ms before which the last one lies.
    Returns:
        (n,) int64 UTC ms, ascending.
    Raises:
        ConfigurationError: no such calendar, or the system has no time zone data.
    """
    step_ms = interval.milliseconds
    opens = np.arange(-(-start_ms // step_ms) * step_ms, end_ms, step_ms, dtype=np.int64)
    grid = sessions(calendar, step_ms).on_grid(step_ms, 0)
    session = np.searchsorted(grid.opens, opens, side="right") - 1
    return opens[(session >= 0) & (opens < grid.closes[session])]


def expected_count(bars: Bars, calendar: str) -> int:
    """How many bars must exist from the first to the last of n ascending bars, both included; 0 for no bars.

    Raises:
        ConfigurationError: no such calendar, or the system has no time zone data.
    """
    if not len(bars):
        return 0
    step_ms = bars.interval.milliseconds
    slots, phase_ms = _slots(bars)
    ends = np.array([slots[0], slots[-1] + 1]) * step_ms + phase_ms
    before = sessions(calendar, step_ms).on_grid(step_ms, phase_ms).open_ms(ends)
    return int(before[1] - before[0]) // step_ms


def missing(bars: Bars, calendar: str) -> tuple[Gap, ...]:
    """The gaps between n ascending, unique bars.

    Bars need not lie on the grid: a feed whose days begin at 17:00 New York time is counted from its own first bar.

    Raises:
        ConfigurationError: no such calendar, or the system has no time zone data.
    """
    slots, phase_ms = _slots(bars)
    rows = np.flatnonzero(np.diff(slots) > 1) + 1
    if not len(rows):
        return ()
    step_ms = bars.interval.milliseconds
    grid = sessions(calendar, step_ms).on_grid(step_ms, phase_ms)
    starts = (slots[rows - 1] + 1) * step_ms + phase_ms
    ends = slots[rows] * step_ms + phase_ms
    counts = (grid.open_ms(ends) - grid.open_ms(starts)) // step_ms
    rows, starts, ends, counts = (column[counts > 0] for column in (rows, starts, ends, counts))
    # The first missing bar opens within a session or begins the next one; the last closes within or ends the one before.
    before = np.searchsorted(grid.opens, starts, side="right") - 1
    waiting = (before < 0) | (starts >= grid.closes[before])
    starts = np.where(waiting, grid.opens[np.minimum(before + 1, len(grid.opens) - 1)], starts)
    ends = np.minimum(ends, grid.closes[np.searchsorted(grid.opens, ends, side="left") - 1])
    columns = (column.tolist() for column in (starts, ends, counts, rows))
    return tuple(Gap(*gap) for gap in zip(*columns, strict=True))


def outside(bars: Bars, calendar: str) -> Mask:
    """(n,) bool, bars during all of which the market is closed.

    Raises:
        ConfigurationError: no such calendar, or the system has no time zone data.
    """
    market = sessions(calendar, bars.interval.milliseconds)
    return np.asarray(market.open_ms(bars.closed_at) == market.open_ms(bars.opened_at))


def trading_age_bars(bars: Bars, calendar: str, as_of_ms: int) -> int:
    """How many whole bars the market has traded since the last of n >= 1 ascending bars closed: nothing ages on a weekend.

    Raises:
        ConfigurationError: no such calendar, or the system has no time zone data.
    """
    step_ms = bars.interval.milliseconds
    open_ms = sessions(calendar, step_ms).open_ms(
        np.array([bars.closed_at[-1], max(as_of_ms, int(bars.closed_at[-1]))])
    )
    return int(open_ms[1] - open_ms[0]) // step_ms


def _slots(bars: Bars) -> tuple[Times, int]:
    """The bars' places on the grid through the first bar, and that grid's offset from the one through 1970."""
    if not len(bars):
        return np.empty(0, np.int64), 0
    step_ms = bars.interval.milliseconds
    phase_ms = int(bars.opened_at[0]) % step_ms
    return (bars.opened_at - phase_ms + step_ms // 2) // step_ms, phase_ms
