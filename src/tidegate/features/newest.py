"""The newest bar's features alone, for the service: the operations of `Window` on plain floats, as many as possible in one call.

For one row, numpy's price for a call is many times the arithmetic's. So the sums and standard deviations that a set of features asks
for are noted once, in a `Plan`; from then on all of them come from a handful of calls over windows laid end to end.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from tidegate.bars.bars import COLUMNS, Bars, Floats
from tidegate.errors import NotEnoughHistory
from tidegate.features.view import View, ratio
from tidegate.features.window import Window

_Indices = NDArray[np.intp]
_Key = tuple[int, int]  # a series' id, a length
_ALL: Final = slice(None)
_FIRST: Final[_Indices] = np.zeros(1, np.intp)


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """The sums and standard deviations to work out together for any row of n bars.

    The windows of all of them lie end to end, those of the standard deviations first.

    Attributes:
        bars: n.
        series: the K series they are of, by name.
        sums: of each of w windows, which series it is of and its length.
        spreads: how many of them, from the first, want a standard deviation.
        places: where in the K series laid end to end the numbers of the windows are.
        starts: (w,) where each window begins.
        lengths: (spreads,) float64.
        owners: of each number of the first windows, which window it belongs to.
        parts: (spreads) the place of each of the first windows.
    """

    bars: int
    series: tuple[str, ...]
    sums: tuple[tuple[int, int], ...]
    spreads: int
    places: _Indices
    starts: _Indices
    lengths: Floats
    owners: _Indices
    parts: tuple[slice, ...]

    @classmethod
    def of(cls, bars: int, spreads: Iterable[tuple[str, int]], sums: Iterable[tuple[str, int]]) -> Self:
        """Lay the windows out.

        Args:
            bars: n.
            spreads: series and length of each standard deviation.
            sums: series and length of each sum; those that the standard deviations need are among them.
        """
        first = list(dict.fromkeys(spreads))
        asked = list(dict.fromkeys((*first, *sums)))
        series = tuple(dict.fromkeys(name for name, _ in asked))
        windows = tuple((series.index(name), length) for name, length in asked)
        ends = np.cumsum([length for _, length in windows], dtype=np.intp)
        starts = np.concatenate((_FIRST, ends[:-1])) if asked else ends
        lengths = np.array([length for _, length in windows[: len(first)]], np.intp)
        return cls(
            bars,
            series,
            windows,
            len(first),
            np.concatenate([_FIRST[:0], *(np.arange(-length, 0) + (at + 1) * bars for at, length in windows)]),
            starts,
            lengths.astype(np.float64),
            np.repeat(np.arange(len(first)), lengths),
            tuple(slice(int(start), int(end)) for start, end in zip(starts, ends[: len(first)], strict=False)),
        )


class _Spread(NamedTuple):
    """A standard deviation, and where the distances from the mean and their squares lie."""

    std: float
    centred: Floats
    squares: Floats
    part: slice


class NewestRow(View[float]):
    """Looks at n bars from the newest one.

    Args:
        bars: n bars, ascending, validated.
        plan: what to work out at once, for just as many bars; anything else is worked out when asked for.
    """

    def __init__(self, bars: Bars, plan: Plan | None = None) -> None:
        super().__init__(bars)
        self._sums: dict[_Key, float] = {}
        self._spreads: dict[_Key, _Spread] = {}
        # Held, so that no other array takes the id of one whose reductions are known.
        self._held: list[Floats] = []
        if plan is not None and plan.sums and plan.bars == len(bars):
            self._work_out(plan)

    @cached_property
    def window(self) -> Window:
        """The same bars as a window of one row."""
        return Window(self.bars, 1)

    def plan(self) -> Plan:
        """A plan of what has been asked for so far, as far as it is of series with a name."""
        names = {id(series): name for name, series in vars(self).items() if isinstance(series, np.ndarray)}
        names |= {id(getattr(self.bars, name)): name for name in COLUMNS}
        asked = [[(names[at], length) for at, length in known if at in names] for known in (self._spreads, self._sums)]
        return Plan.of(len(self.bars), *asked)

    def now(self, series: Floats) -> float:
        """The series at the newest bar."""
        return series.item(-1)

    def lag(self, series: Floats, bars: int) -> float:
        """The series `bars` before the newest."""
        try:
            return series.item(-1 - bars)
        except IndexError:
            raise _too_short(bars + 1, series) from None

    def sum(self, series: Floats, length: int) -> float:
        """Sum over the last `length` bars."""
        key = (id(series), length)
        known = self._sums.get(key)
        if known is None:
            self._held.append(series)
            known = self._sums[key] = _total(_last(series, length))
        return known

    def mean(self, series: Floats, length: int) -> float:
        """Mean over the last `length` bars."""
        return self.sum(series, length) / length

    def std(self, series: Floats, length: int) -> float:
        """Population standard deviation over the last `length` bars."""
        return self._spread(series, length).std

    def max(self, series: Floats, length: int) -> float:
        """Maximum over the last `length` bars."""
        # Looking its place up takes a third of the time of `np.maximum.reduce`.
        last = _last(series, length)
        return last.item(last.argmax())

    def min(self, series: Floats, length: int) -> float:
        """Minimum over the last `length` bars."""
        last = _last(series, length)
        return last.item(last.argmin())

    def bars_since_max(self, series: Floats, length: int) -> float:
        """Bars since the newest maximum of the last `length` bars, 0..length-1."""
        return float(_last(series, length)[::-1].argmax())

    def bars_since_min(self, series: Floats, length: int) -> float:
        """Bars since the newest minimum of the last `length` bars, 0..length-1."""
        return float(_last(series, length)[::-1].argmin())

    def weighted(self, series: Floats, weights: Floats) -> float:
        """Sum of the last len(weights) bars times `weights`, the last weight on the newest bar."""
        return _total(_last(series, len(weights)) * weights)

    def moment(self, series: Floats, length: int, power: Literal[3, 4]) -> float:
        """Standardised central moment, the third or fourth, over the last `length` bars; 0 where the series is constant."""
        known = self._spread(series, length)
        squares = known.squares[known.part]
        raised = _total(squares * (known.centred[known.part] if power == 3 else squares)) / length
        variance = known.std * known.std
        return ratio(raised, variance * (known.std if power == 3 else variance))

    def turn(self, span_ms: int) -> float:
        """How far the newest bar's close lies into spans of `span_ms` counted from 1970, in radians."""
        closed_at = self.bars.opened_at.item(-1) + self.bars.interval.milliseconds
        return float(closed_at % span_ms) * (2.0 * math.pi / span_ms)

    def _spread(self, series: Floats, length: int) -> _Spread:
        key = (id(series), length)
        known = self._spreads.get(key)
        if known is None:
            centred = _last(series, length) - self.sum(series, length) / length
            squares = centred * centred
            known = self._spreads[key] = _Spread(math.sqrt(_total(squares) / length), centred, squares, _ALL)
        return known

    def _work_out(self, plan: Plan) -> None:
        columns = [getattr(self.bars if name in COLUMNS else self, name) for name in plan.series]
        ids = [id(column) for column in columns]
        windows = np.concatenate(columns).take(plan.places)
        sums = np.add.reduceat(windows, plan.starts)
        self._sums = {(ids[at], length): value for (at, length), value in zip(plan.sums, sums.tolist(), strict=True)}
        if plan.spreads:
            means = sums[: plan.spreads] / plan.lengths
            centred = windows[: len(plan.owners)] - means.take(plan.owners)
            squares = centred * centred
            stds = np.sqrt(np.add.reduceat(squares, plan.starts[: plan.spreads]) / plan.lengths)
            self._spreads = {
                (ids[at], length): _Spread(std, centred, squares, part)
                for (at, length), std, part in zip(plan.sums, stds.tolist(), plan.parts, strict=False)
            }


def _total(numbers: Floats) -> float:
    total: float = np.add.reduceat(numbers, _FIRST).item()
    return total


def _last(series: Floats, length: int) -> Floats:
    if not 0 < length <= len(series):
        raise _too_short(length, series)
    return series[-length:]


def _too_short(bars: int, series: Floats) -> NotEnoughHistory:
    return NotEnoughHistory("a feature looks back too far", expected=f"{bars} bars", actual=len(series))
