"""Walk-forward windows, and time-ordered folds inside a training window."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tidegate.bars.bars import Times, iso
from tidegate.bars.interval import DAY_MS, Interval
from tidegate.dataset.windows import FoldWindows, Window
from tidegate.errors import NotEnoughHistory
from tidegate.strategy.strategy import Windows

MINIMUM_TRAIN_DAYS: Final = 60
# Share of a training window that precedes its first inner validation block.
_FIRST_INNER_SHARE: Final = 0.4


def walk_forward(first_at: int, end_at: int, windows: Windows, interval: Interval) -> tuple[FoldWindows, ...]:
    """Folds of `train_days`, embargo, `test_days`, rolled back from the end by one test window each; oldest first.

    When not even one fold has its whole training window, one fold with a shorter one of at least 60 days is made.

    Args:
        first_at: open of the first bar that has all its features, UTC ms.
        end_at: close of the newest bar, UTC ms.
        windows: the strategy's windows.
        interval: the bars' interval, which the embargo counts in.
    Raises:
        NotEnoughHistory: less than 60 days of training and one test window.
    """
    train_ms, test_ms = windows.train_days * DAY_MS, windows.test_days * DAY_MS
    embargo_ms = windows.embargo_bars * interval.milliseconds
    folds: list[FoldWindows] = []
    for back in range(windows.max_folds):
        test = Window(start_at=end_at - (back + 1) * test_ms, end_at=end_at - back * test_ms)
        train = Window(start_at=test.start_at - embargo_ms - train_ms, end_at=test.start_at - embargo_ms)
        if train.start_at < first_at:
            if folds or train.end_at - first_at < MINIMUM_TRAIN_DAYS * DAY_MS:
                break
            train = Window(start_at=first_at, end_at=train.end_at)
        folds.append(FoldWindows(train=train, test=test))
    if not folds:
        needed = first_at + MINIMUM_TRAIN_DAYS * DAY_MS + embargo_ms + test_ms
        raise NotEnoughHistory(
            "too few bars for one fold",
            expected=f"{MINIMUM_TRAIN_DAYS} days of training, {windows.embargo_bars} bars of embargo and {windows.test_days} days of test, so bars until {iso(needed)}",
            actual=f"usable bars from {iso(first_at)} to {iso(end_at)}",
            setting="windows",
            next_step="ingest more bars",
        )
    return tuple(reversed(folds))


@dataclass(frozen=True, slots=True, eq=False)
class InnerFold:
    """Row numbers of one fold inside a training window."""

    fit: NDArray[np.intp]
    validate: NDArray[np.intp]


def inner_folds(known_at: Times, ends_at: Times, count: int, embargo_ms: int) -> tuple[InnerFold, ...]:
    """Split training rows into `count` expanding, purged and embargoed folds in time order.

    The first 40 % of the time are only ever fitted on; the rest is cut into `count` equal validation blocks, each predicted by a
    model that saw only rows whose outcome was known `embargo_ms` before the block.

    Args:
        known_at: (m,) int64 UTC ms at which each row's signal was known.
        ends_at: (m,) int64 UTC ms at which each row's outcome was known.
        count: number of folds.
        embargo_ms: gap before each block.
    Returns:
        folds whose row numbers index the m rows.
    Raises:
        NotEnoughHistory: a fold would have no rows to fit or to validate.
    """
    start, end = int(known_at.min()), int(known_at.max()) + 1
    edges = np.linspace(start + _FIRST_INNER_SHARE * (end - start), end, count + 1).astype(np.int64)
    folds = []
    for low, high in pairwise(edges.tolist()):
        fit = np.flatnonzero(ends_at <= low - embargo_ms)
        validate = np.flatnonzero((known_at >= low) & (known_at < high))
        if len(fit) == 0 or len(validate) == 0:
            raise NotEnoughHistory(
                "a training window is too short for its inner folds",
                expected=f"{count} folds",
                actual=f"{len(known_at)} rows",
                setting="model.inner_folds",
            )
        folds.append(InnerFold(fit, validate))
    return tuple(folds)
