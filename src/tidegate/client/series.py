"""Which bars to send: the whole window, or only those that the service has not seen."""

from dataclasses import dataclass

import numpy as np

from tidegate.client.columns import Columns, newest


@dataclass(frozen=True, slots=True, eq=False)
class Sent:
    """What a request carries.

    Attributes:
        bars: the bars.
        after: opening time of the bar before them, UTC ms; None for a whole window.
    """

    bars: Columns
    after: int | None


def whole(window: Columns, lookback: int) -> Sent:
    """The newest `lookback` bars."""
    return Sent(newest(window, lookback), None)


def to_send(window: Columns, known: Columns | None, lookback: int) -> Sent:
    """The bars after those of `known`, or the whole window where the two do not fit together.

    `after` is taken from `window`, the bot's own bars now: the service believes it, so it must never come from what was sent last.

    Args:
        window: the bot's bars, at least one.
        known: the window whose answer was understood last.
        lookback: bars of a whole window, >= 1.
    """
    found = None if known is None else _newer(window, known, lookback)
    return whole(window, lookback) if found is None else found


def _newer(window: Columns, known: Columns, lookback: int) -> Sent | None:
    times, known_times = window["opened_at"], known["opened_at"]
    if len(known_times) < lookback:
        return None  # a model that looks further back reads bars that nobody has compared
    # What each has of the span that both cover: bars missing on either side make the parts differ.
    first, last = max(times[0], known_times[0]), min(times[-1], known_times[-1])
    ours, theirs = _span(window, first, last), _span(known, first, last)
    if not len(ours["opened_at"]) or any(not np.array_equal(ours[name], theirs[name]) for name in window):
        return None
    count = int(np.count_nonzero(times > known_times[-1])) or 1
    if count > lookback or count == len(times):
        return None
    return Sent(newest(window, count), int(times[-count - 1]))


def _span(columns: Columns, first: int, last: int) -> Columns:
    times = columns["opened_at"]
    rows = slice(int(np.searchsorted(times, first)), int(np.searchsorted(times, last, side="right")))
    return {name: column[rows] for name, column in columns.items()}
