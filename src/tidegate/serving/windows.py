"""The windows of bars that the service keeps, so that a bot sends only the new ones.

A window belongs to the API key that sent it: one bot's bars never enter another bot's prediction.
"""

from collections import OrderedDict
from typing import Final

import numpy as np

from tidegate.bars.bars import COLUMNS, Bars, Floats, Times
from tidegate.bars.interval import Interval
from tidegate.serving.problems import Problem

Key = tuple[str, str, str]  # API key's id, strategy, symbol
_FLOATS: Final = COLUMNS[1:]


class KeptWindow:
    """The newest bars of one symbol, in arrays with room for as many again, so that a new bar moves no old one most of the time.

    Args:
        bars: a validated window.
        capacity: how many bars are kept, at least.
    """

    def __init__(self, bars: Bars, capacity: int) -> None:
        self.symbol = bars.symbol
        self.interval: Interval = bars.interval
        self.capacity = capacity
        kept = bars.take(slice(max(0, len(bars) - capacity), None))
        self._times: Times = np.empty(2 * capacity, np.int64)
        self._floats: Floats = np.empty((len(_FLOATS), 2 * capacity))
        self._end = 0
        self._start = 0
        self._put(kept)

    def __len__(self) -> int:
        return self._end - self._start

    @property
    def newest_opened_at(self) -> int:
        """Opening time of the newest bar."""
        return int(self._times[self._end - 1])

    def accept(self, after: int, new: Bars, lookback: int, longest: int) -> Bars:
        """Append what is new of `new`, and give the window that ends at its last bar.

        Sending bars that are kept already changes nothing, so a retry gets the same answer.

        Args:
            after: opening time of the bar before `new`, as the sender knows it.
            new: at least one validated bar.
            lookback: bars that the window must have.
            longest: bars that it has at most.
        Returns:
            A view; what is kept later does not change it.
        Raises:
            Problem: `after` is not kept, kept bars differ from those sent, or too few bars are kept.
        """
        at = self._end - 1
        if self._times[at] != after:
            at = self._find(after)
        known = min(self._end - 1 - at, len(new))
        if known:
            self._require_same(at + 1, new, known)
        end = at + 1 + len(new)
        if end - self._start < lookback:
            raise Problem("window_gapped", f"{end - self._start} bars are kept up to there, the model needs {lookback}")
        if known < len(new):
            self._put(new if not known else new.take(slice(known, None)))
            end = self._end
        return self._view(max(self._start, end - longest), end)

    def accept_one(self, after: int, opened_at: int, values: tuple[float, ...], longest: int) -> Bars | None:
        """The same for the usual question, one validated bar behind the newest one, without making bars of it first.

        Args:
            after: opening time of the bar before, as the sender knows it.
            opened_at: of the new bar.
            values: open, high, low, close, volume.
            longest: bars that the window has at most.
        Returns:
            The window, or None where `accept` has to look closer.
        """
        end = self._end
        if self._times[end - 1] != after:
            return None
        if end == len(self._times):
            self._compact(1)
            end = self._end
        self._times[end] = opened_at
        self._floats[:, end] = values
        self._end = end = end + 1
        self._start = max(self._start, end - self.capacity)
        return self._view(max(self._start, end - longest), end)

    def _find(self, after: int) -> int:
        times = self._times[self._start : self._end]
        at = int(np.searchsorted(times, after))
        if at == len(times) or times[at] != after:
            raise Problem(
                "window_gapped",
                f"the kept window ends with the bar that opened at {self.newest_opened_at}; no bar that opened at {after} is kept",
            )
        return self._start + at

    def _require_same(self, start: int, new: Bars, known: int) -> None:
        same = np.array_equal(self._times[start : start + known], new.opened_at[:known]) and all(
            np.array_equal(self._floats[row, start : start + known], getattr(new, name)[:known])
            for row, name in enumerate(_FLOATS)
        )
        if not same:
            raise Problem("window_conflict", f"bars after {int(self._times[start - 1])} are kept with other values")

    def _put(self, new: Bars) -> None:
        count = len(new)
        if self._end + count > len(self._times):
            self._compact(count)
        new_end = self._end + count
        self._times[self._end : new_end] = new.opened_at
        for row, name in enumerate(_FLOATS):
            self._floats[row, self._end : new_end] = getattr(new, name)
        self._end = new_end
        self._start = max(self._start, new_end - self.capacity)

    def _compact(self, room: int) -> None:
        """Move the newest bars to the front; `room` more bars must then fit, however many they are."""
        keep = min(len(self), self.capacity)
        size = max(2 * self.capacity, keep + room)
        first = self._end - keep
        times, floats = np.empty(size, np.int64), np.empty((len(_FLOATS), size))
        times[:keep] = self._times[first : self._end]
        floats[:, :keep] = self._floats[:, first : self._end]
        # New arrays, not the old ones moved: a view that was given out stays what it was.
        self._times, self._floats, self._start, self._end = times, floats, 0, keep

    def _view(self, start: int, end: int) -> Bars:
        floats = self._floats[:, start:end]
        return Bars(self.symbol, self.interval, self._times[start:end], *floats)


class Windows:
    """All kept windows, the least recently used one leaving first.

    Args:
        most: how many are kept.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[Key, KeptWindow] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def replace(self, key: Key, bars: Bars, capacity: int) -> None:
        """Keep a whole window in place of whatever was kept."""
        self._kept[key] = KeptWindow(bars, capacity)
        self._kept.move_to_end(key)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def find(self, key: Key, interval: Interval) -> KeptWindow:
        """The kept window.

        Raises:
            Problem: none is kept, or one of another interval (the strategy was changed).
        """
        kept = self._kept.get(key)
        if kept is None or kept.interval != interval:
            raise Problem("window_unknown", f"no window of {key[2]} is kept for this API key")
        self._kept.move_to_end(key)
        return kept
