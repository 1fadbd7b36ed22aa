"""What is in production, in many worlds at once: it trades, expires, alarms and leaves, and the next version takes its place."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tidegate.calibration.draws import Days, Values
from tidegate.calibration.pool import Sums
from tidegate.calibration.series import Row
from tidegate.calibration.watching import Steps, Watch, designs

Mask = NDArray[np.bool_]
Numbers = NDArray[np.int64]
Kind = NDArray[np.int8]
How = Literal["replaced", "expired", "rolled back", "there still"]
NOTHING, FIRST, LATER = range(3)


@dataclass(frozen=True, slots=True, eq=False)
class Stints:
    """Versions that stopped trading.

    Attributes:
        how: why.
        what: (k,) FIRST, the champion of the start, or LATER, one promoted since.
        days: (k,) market days on which they were in production.
        earned: (k,) their net return.
    """

    how: How
    what: Kind
    days: Numbers
    earned: Row


@dataclass(frozen=True, slots=True, eq=False)
class Month:
    """A month of production.

    Attributes:
        returns: (w, d) what production earned; 0 where nothing traded.
        traded: (w, d) whether a version was in production that had not expired.
        rolled_back: (w,) whether it was gone back from.
    """

    returns: Values
    traded: Mask
    rolled_back: Mask


@dataclass(slots=True)
class Production:
    """w worlds under one policy.

    Attributes:
        watch: the rules.
        what: (w,) NOTHING, FIRST or LATER; an expired version stays the one that the next contest is held against.
        age: (w,) market days since its promotion.
        statistic: (w,) of its sequential test, in steps.
        steps: (w, 3) see `watching.designs`.
        went_back: (w,) whether there is nothing because of a rollback.
        days, earned: (w,) of the version in production so far.
        stints: all that have ended.
    """

    watch: Watch
    what: Kind
    age: Numbers
    statistic: Numbers
    steps: Steps
    went_back: Mask
    days: Numbers
    earned: Row
    stints: list[Stints] = field(default_factory=list)

    @classmethod
    def empty(cls, worlds: int, watch: Watch) -> "Production":
        """Nothing in production anywhere."""
        zero = np.zeros(worlds, np.int64)
        return cls(
            watch,
            np.zeros(worlds, np.int8),
            zero.copy(),
            zero.copy(),
            np.zeros((worlds, 3), np.int64),
            np.zeros(worlds, bool),
            zero.copy(),
            np.zeros(worlds),
        )

    @property
    def trading(self) -> Mask:
        """(w,) whether a version is there that has not expired."""
        alive: Mask = (self.what != NOTHING) & (self.age < self.watch.age_days)
        return alive

    def promote(self, chosen: Mask, sums: Sums, what: int = LATER) -> None:
        """Put new versions into production in the chosen worlds; `sums` are (w, 4) of their pools."""
        if not chosen.any():
            return
        self._end("replaced", chosen & self.trading)
        self.what[chosen] = what
        self.steps[chosen] = designs(sums[chosen], self.watch)
        for values in (self.age, self.statistic, self.days):
            values[chosen] = 0
        self.earned[chosen] = 0.0
        self.went_back[chosen] = False

    def trade(self, paths: Sequence[Days]) -> Month:
        """A month of days.

        Args:
            paths: of FIRST and LATER.
        """
        shape = paths[0].wins.shape
        month = Month(np.zeros(shape, np.float32), np.zeros(shape, bool), np.zeros(shape[0], bool))
        rows = np.flatnonzero(self.trading)
        if not len(rows):
            self.age += shape[1]
            return month
        later = self.what[rows] == LATER
        alive = self.age[rows, np.newaxis] + np.arange(shape[1]) < self.watch.age_days
        first, other = paths
        slots = [np.moveaxis(path.slots, 2, 0) for path in (first, other)]
        chosen = _of_each(later, slots[0], slots[0] if first is other else slots[1], rows)
        alarm_day = self._watch(rows, chosen, alive)
        gone = (alarm_day < shape[1]) & self.watch.acts
        if self.watch.acts:
            alive &= np.arange(shape[1]) <= alarm_day[:, np.newaxis]
        earned = first.returns
        returns = _of_each(later, earned, earned if first is other else other.returns, rows) * alive
        month.returns[rows], month.traded[rows], month.rolled_back[rows] = returns, alive, gone
        self.days[rows] += alive.sum(axis=1)
        self.earned[rows] += returns.sum(axis=1, dtype=np.float64)
        self.age += shape[1]
        self._end("rolled back", month.rolled_back)
        self._end("expired", self._within(rows[~gone]) & (self.age >= self.watch.age_days))
        self.what[month.rolled_back] = NOTHING
        self.went_back |= month.rolled_back
        return month

    def finish(self) -> None:
        """Count what is there still."""
        self._end("there still", self.trading)

    def _watch(self, rows: Numbers, slots: Values, alive: Mask) -> Numbers:
        """(k,) the day of the first alarm, the number of days where there is none; moves the statistics on."""
        # Steps are whole and their sums stay far below 2^24, so that float32 holds them exactly.
        steps = self.steps[rows].astype(np.float32)
        up, down, threshold = (steps[:, at, np.newaxis] for at in range(3))
        moves = slots[:, 1] * up[:, np.newaxis] - slots[:, 0] * down[:, np.newaxis]
        moves *= alive[:, np.newaxis]
        path = np.cumsum(np.moveaxis(moves, 1, 2).reshape(len(rows), -1), axis=1)
        path += self.statistic[rows, np.newaxis].astype(np.float32)
        path -= np.minimum(np.minimum.accumulate(path, axis=1), 0)
        self.statistic[rows] = np.rint(path[:, -1]).astype(np.int64)
        above = (path >= threshold) & (threshold > 0)
        first = np.where(above.any(axis=1), above.argmax(axis=1), above.shape[1])
        return np.asarray(first // slots.shape[2], np.int64)

    def _within(self, rows: Numbers) -> Mask:
        mask = np.zeros(len(self.what), bool)
        mask[rows] = True
        return mask

    def _end(self, how: How, chosen: Mask) -> None:
        if chosen.any():
            self.stints.append(Stints(how, self.what[chosen], self.days[chosen], self.earned[chosen]))


def _of_each(later: Mask, first: Values, other: Values, rows: Numbers) -> Values:
    """The chosen rows, each of its version's path."""
    if first is other or not later.any():
        return first[rows]
    if later.all():
        return other[rows]
    found = other[rows]
    found[~later] = first[rows[~later]]
    return found
