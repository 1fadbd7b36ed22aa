"""Where every row of the log went."""

from collections.abc import Mapping
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from tidegate.bars.bars import Bars
from tidegate.errors import FiguresRefused
from tidegate.monitoring.outcomes import NO_ROW, bar_of, refused, rows_by_bar
from tidegate.monitoring.predictions import NO_TARGET, Mask, Predictions
from tidegate.monitoring.result import Balance


class Standing(IntEnum):
    """What became of a canonical row; each has one."""

    LOST = 0
    REFUSED = 1
    ABSTAINED = 2
    UNMATCHED = 3
    NOT_YET_KNOWN = 4
    SUPERSEDED = 5
    COUNTED = 6


def standings(predictions: Predictions, window: Mapping[str, Bars]) -> NDArray[np.int8]:
    """(N,) a `Standing` for each row.

    Args:
        predictions: N rows.
        window: the bars of the window by symbol.
    """
    matched, later, counts_at_bar = (np.zeros(len(predictions), dtype=np.bool_) for _ in range(3))
    for at, symbol in enumerate(predictions.symbols):
        bars = window.get(symbol)
        if bars is None or not len(bars):
            continue
        mine = predictions.symbol == at
        _, matched[mine] = bar_of(bars, predictions.closed_at[mine])
        later[mine] = predictions.closed_at[mine] < bars.closed_at[-1]
        row = rows_by_bar(predictions, bars, ~predictions.shadow)
        counts_at_bar[row[row != NO_ROW]] = True
    answer = predictions.target != NO_TARGET
    no = refused(predictions)
    standing = np.full(len(predictions), Standing.LOST, dtype=np.int8)
    standing[no] = Standing.REFUSED
    standing[~answer & ~no] = Standing.ABSTAINED
    standing[answer & ~matched] = Standing.UNMATCHED
    standing[answer & matched & ~later] = Standing.NOT_YET_KNOWN
    known = answer & matched & later
    standing[known & (predictions.shadow | counts_at_bar)] = Standing.COUNTED
    standing[known & ~predictions.shadow & ~counts_at_bar] = Standing.SUPERSEDED
    return standing


def balance(predictions: Predictions, window: Mapping[str, Bars], standing: NDArray[np.int8]) -> Balance:
    """Sum it up, and refuse what does not add up.

    Args:
        predictions: N rows.
        window: the bars of the window by symbol.
        standing: (N,) from `standings`.
    Raises:
        FiguresRefused: the rows read are not those that went somewhere.
    """
    count = np.bincount(standing, minlength=len(Standing)).tolist()
    found = Balance(
        rows=predictions.rows,
        repeated=predictions.repeated,
        without_bar=predictions.without_bar,
        refused=count[Standing.REFUSED],
        abstained=count[Standing.ABSTAINED],
        not_yet_known=count[Standing.NOT_YET_KNOWN],
        unmatched=count[Standing.UNMATCHED],
        counted=count[Standing.COUNTED],
        bars_without_answer=_without_answer(predictions, window),
        damaged=predictions.damaged,
        superseded=count[Standing.SUPERSEDED],
    )
    parts = (
        found.repeated, found.without_bar, found.refused, found.abstained, found.not_yet_known, found.unmatched,
        found.counted, found.superseded,
    )  # fmt: skip
    if sum(parts) != found.rows or min(parts) < 0:
        raise FiguresRefused(
            "rows of the prediction log do not add up",
            expected=f"{found.rows} rows",
            actual=found,
            next_step="keep the log as it is and report this: rows would be counted twice or lost",
        )
    return found


def first_answer(predictions: Predictions, window: Mapping[str, Bars]) -> int | None:
    """Close of the first bar that production answered or abstained at, over all symbols; None without any."""
    found = []
    for bars in window.values():
        there = _there(predictions, bars)
        if there.any():
            found.append(int(bars.closed_at[int(np.argmax(there))]))
    return min(found, default=None)


def _without_answer(predictions: Predictions, window: Mapping[str, Bars]) -> int:
    start = first_answer(predictions, window)
    return sum(
        int(((start is None) | (bars.closed_at >= (start or 0)) & ~_there(predictions, bars)).sum())
        for bars in window.values()
    )


def _there(predictions: Predictions, bars: Bars) -> Mask:
    return np.asarray(rows_by_bar(predictions, bars, ~predictions.shadow) != NO_ROW)
