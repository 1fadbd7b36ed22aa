"""The one table of what every bar must satisfy: read by the validation, by Great Expectations and by the serving code.

A constraint is a relation (data, not code), so that its numpy predicate and its expectation both come from one description. A NaN
breaks `Present` and no other relation; an infinity breaks `Finite`.
"""

from dataclasses import dataclass
from math import inf
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tidegate.bars.bars import COLUMNS, PRICES, Bars
from tidegate.bars.interval import Interval

Mask = NDArray[np.bool_]
FLOAT_COLUMNS: Final = COLUMNS[1:]
_FURTHEST_MS: Final = 2**61


@dataclass(frozen=True, slots=True)
class Present:
    """A float column holds no NaN."""

    column: str

    def broken(self, bars: Bars) -> Mask:
        """(n,) bool, the rows with a NaN."""
        return np.isnan(_floats(bars, self.column))


@dataclass(frozen=True, slots=True)
class Finite:
    """A float column holds no infinity."""

    column: str

    def broken(self, bars: Bars) -> Mask:
        """(n,) bool, the rows with an infinity."""
        return np.isinf(_floats(bars, self.column))


@dataclass(frozen=True, slots=True)
class Bounded:
    """A column lies between two bounds, either of which may be absent; `above` excludes the minimum itself."""

    column: str
    minimum: int | None = None
    maximum: int | None = None
    above: bool = False

    def broken(self, bars: Bars) -> Mask:
        """(n,) bool, the rows outside the bounds."""
        values = getattr(bars, self.column)
        broken = np.zeros(len(bars), np.bool_)
        if self.minimum is not None:
            broken |= values <= self.minimum if self.above else values < self.minimum
        if self.maximum is not None:
            broken |= values > self.maximum
        return broken


@dataclass(frozen=True, slots=True)
class AtLeast:
    """One column is never under another in the same row."""

    greater: str
    lesser: str

    def broken(self, bars: Bars) -> Mask:
        """(n,) bool, the rows in which `greater` is under `lesser`."""
        return np.asarray(_floats(bars, self.greater) < _floats(bars, self.lesser))


@dataclass(frozen=True, slots=True)
class OnGrid:
    """Opening times are multiples of the interval, counted from 1970."""

    step_ms: int

    def broken(self, bars: Bars) -> Mask:
        """(n,) bool, the rows between two grid points."""
        return np.asarray(bars.opened_at % self.step_ms != 0)


@dataclass(frozen=True, slots=True)
class Ascending:
    """Every opening time is later than the row before it: sorted, and none twice.

    Times more than 70 million years from 1970 count as equal, so that no difference of two times can overflow.
    """

    def broken(self, bars: Bars) -> Mask:
        """(n,) bool, the rows that do not open later than the row before them."""
        times = comparable_times(bars)
        broken = np.zeros(len(bars), np.bool_)
        broken[1:] = times[1:] <= times[:-1]
        return broken


Relation = Present | Finite | Bounded | AtLeast | OnGrid | Ascending


@dataclass(frozen=True, slots=True)
class Constraint:
    """One thing that every row must satisfy.

    Attributes:
        name: unique and stable; the expectation carries it too.
        rule: the validation setting that says what a violation means.
        field: the column to name when a request is refused for it.
        description: what must hold, for people.
        relation: what must hold, for machines.
    """

    name: str
    rule: str
    field: str
    description: str
    relation: Relation

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it looks at."""
        match self.relation:
            case AtLeast(greater, lesser):
                return greater, lesser
            case _:
                return (self.field,)

    def broken(self, bars: Bars) -> Mask:
        """(n,) bool, the violating rows."""
        return self.relation.broken(bars)


@dataclass(frozen=True, slots=True)
class Violation:
    """A constraint, the field to name, and the rows that violate it, counted from 0, ascending, at least one."""

    constraint: Constraint
    field: str
    rows: NDArray[np.intp]


def constraints(interval: Interval, as_of_ms: int) -> tuple[Constraint, ...]:
    """The table for bars of one interval, judged at one time.

    Args:
        interval: the bars' interval, which decides the grid and when a bar has closed.
        as_of_ms: the time of judgement, UTC ms.
    """
    step_ms = interval.milliseconds
    return (
        Constraint(
            "opened_at_present",
            "non_finite",
            "opened_at",
            "opening time is known and not before 1970",
            Bounded("opened_at", minimum=0),
        ),
        *(
            Constraint(f"{name}_present", "non_finite", name, f"{name} is a number", Present(name))
            for name in FLOAT_COLUMNS
        ),
        *(
            Constraint(f"{name}_finite", "non_finite", name, f"{name} is not infinite", Finite(name))
            for name in FLOAT_COLUMNS
        ),
        *(
            Constraint(
                f"{name}_positive",
                "non_positive_price",
                name,
                f"{name} is above zero",
                Bounded(name, minimum=0, above=True),
            )
            for name in PRICES
        ),
        Constraint(
            "volume_not_negative", "negative_volume", "volume", "volume is not under zero", Bounded("volume", minimum=0)
        ),
        *(
            Constraint(
                f"high_over_{name}",
                "high_low",
                "high",
                f"high is not under {name}",
                AtLeast(greater="high", lesser=name),
            )
            for name in ("open", "close", "low")
        ),
        *(
            Constraint(
                f"low_under_{name}", "high_low", "low", f"low is not over {name}", AtLeast(greater=name, lesser="low")
            )
            for name in ("open", "close")
        ),
        Constraint(
            "on_grid", "off_grid", "opened_at", f"opening time is a multiple of {interval} since 1970", OnGrid(step_ms)
        ),
        Constraint(
            "not_in_future",
            "future",
            "opened_at",
            "bar does not open after the time of validation",
            Bounded("opened_at", maximum=as_of_ms),
        ),
        Constraint(
            "finished",
            "unfinished",
            "opened_at",
            "bar has closed at the time of validation",
            Bounded("opened_at", maximum=as_of_ms - step_ms),
        ),
        Constraint("ascending", "order", "opened_at", "opening times ascend, none twice", Ascending()),
    )


def violations(bars: Bars, as_of_ms: int) -> list[Violation]:
    """All violated constraints, in the table's order; empty if the bars are sound.

    Args:
        bars: n bars in any state.
        as_of_ms: the time of judgement, UTC ms.
    """
    found = []
    for constraint in constraints(bars.interval, as_of_ms):
        broken = constraint.broken(bars)
        if broken.any():
            found.append(Violation(constraint, constraint.field, np.flatnonzero(broken)))
    return found


def all_hold(bars: Bars, as_of_ms: int) -> bool:
    """Whether sound bars are sound: `not violations(bars, as_of_ms)`, told in a tenth of the time and without reasons.

    Each comparison is written so that a NaN fails it. What follows from the others is not asked: times that ascend from one that is
    not before 1970 to one that has closed all lie between, and a low above zero under a finite high bounds all four prices.

    Args:
        bars: n bars in any state.
        as_of_ms: the time of judgement, UTC ms.
    """
    count = len(bars)
    if count == 0:
        return True
    opened_at, low, high = bars.opened_at, bars.low, bars.high
    step_ms = bars.interval.milliseconds
    newest_at = opened_at.item(-1)
    if newest_at > _FURTHEST_MS:
        return not violations(bars, as_of_ms)
    return bool(
        opened_at.item(0) >= 0
        and newest_at <= as_of_ms - step_ms
        and low.item(low.argmin()) > 0.0
        and high.item(high.argmax()) < inf
        and bars.volume.item(bars.volume.argmin()) >= 0.0
        and bars.volume.item(bars.volume.argmax()) < inf
        and np.count_nonzero(opened_at[1:] > opened_at[:-1]) == count - 1
        and np.count_nonzero(opened_at % step_ms) == 0
        and np.count_nonzero(bars.open >= low) == count
        and np.count_nonzero(bars.close >= low) == count
        and np.count_nonzero(bars.open <= high) == count
        and np.count_nonzero(bars.close <= high) == count
    )


def bar_holds(
    interval_ms: int,
    previous_opened_at: int | None,
    opened_at: int,
    open: float,  # noqa: A002  the column's name everywhere
    high: float,
    low: float,
    close: float,
    volume: float,
    as_of_ms: int,
) -> bool:
    """Whether one new bar is sound: what `violations` says of its row, without arrays.

    Args:
        interval_ms: the bar's span.
        previous_opened_at: when the bar before it opened, UTC ms; None for the first of all.
        opened_at: when it opened, UTC ms.
        open: first price, in the quote currency as are the next three.
        high: highest price.
        low: lowest price.
        close: last price.
        volume: in the base currency.
        as_of_ms: the time of judgement, UTC ms.
    """
    return (
        0 <= opened_at <= as_of_ms - interval_ms
        and opened_at % interval_ms == 0
        # A time past the furthest one counts as equal to it, as in `Ascending`.
        and (previous_opened_at is None or previous_opened_at < min(opened_at, _FURTHEST_MS))
        and 0.0 < low <= open <= high < inf
        and low <= close <= high
        and 0.0 <= volume < inf
    )


def comparable_times(bars: Bars) -> NDArray[np.int64]:
    """(n,) int64, the opening times limited to what can be subtracted from one another in 64 bits."""
    return np.clip(bars.opened_at, -_FURTHEST_MS, _FURTHEST_MS)


def _floats(bars: Bars, name: str) -> NDArray[np.float64]:
    column: NDArray[np.float64] = getattr(bars, name)
    return column
