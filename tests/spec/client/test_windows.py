"""Which bars are sent: only the new ones where the bot's bars are those that the service has seen, else the whole window."""

import numpy as np
import pytest
from tests.unit.client.records import HOUR_MS, LOOKBACK, START_MS, columns

from tidegate.client.columns import Columns
from tidegate.client.series import to_send


def sent(window: Columns, known: Columns | None) -> tuple[list[int], int | None]:
    """Which bars, by their number from the first one of all, and after which one."""
    found = to_send(window, known, LOOKBACK)
    after = None if found.after is None else (found.after - START_MS) // HOUR_MS
    return ((found.bars["opened_at"] - START_MS) // HOUR_MS).tolist(), after


def without(window: Columns, row: int) -> Columns:
    return {name: np.delete(column, row) for name, column in window.items()}


def changed(window: Columns, row: int, name: str = "close") -> Columns:
    column = window[name].copy()
    column[row] += 0.25
    return {**window, name: column}


# Bars of the window: from, count; of the known one: from, count; what is sent.
CASES = [
    ("the first time", (0, 5), None, [2, 3, 4], None),
    ("one new bar", (0, 6), (2, 3), [5], 4),
    ("two new bars", (0, 7), (2, 3), [5, 6], 4),
    ("as many new bars as the lookback", (0, 8), (2, 3), [5, 6, 7], 4),
    ("more new bars than the lookback", (0, 9), (2, 3), [6, 7, 8], None),
    ("no new bar", (0, 5), (2, 3), [4], 3),
    ("no bar in common", (10, 5), (2, 3), [12, 13, 14], None),
    ("next to it, with no bar in common", (5, 5), (2, 3), [7, 8, 9], None),
    ("one bar in common", (4, 3), (2, 3), [5, 6], 4),
    ("an earlier bar again", (0, 4), (2, 3), [3], 2),
    ("a single bar, known already", (4, 1), (4, 1), [4], None),
]


@pytest.mark.parametrize(
    ("window", "known", "expected", "after"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_what_is_sent(
    window: tuple[int, int], known: tuple[int, int] | None, expected: list[int], after: int | None
) -> None:
    start, count = window
    seen = None if known is None else columns(known[1], start=known[0])
    assert sent(columns(count, start=start), seen) == (expected, after)


@pytest.mark.parametrize("name", ["open", "high", "low", "close", "volume"])
@pytest.mark.parametrize("row", [2, 3, 4])
def test_a_bar_that_changed_sends_the_whole_window(row: int, name: str) -> None:
    assert sent(changed(columns(6), row, name), columns(3, start=2)) == ([3, 4, 5], None)


def test_a_model_that_looks_further_back_than_the_known_window_gets_all_of_its_own() -> None:
    window, known = columns(6), columns(3, start=2)
    assert to_send(window, known, 3).after == START_MS + 4 * HOUR_MS
    assert (to_send(window, known, 4).after, len(to_send(window, known, 4).bars["opened_at"])) == (None, 4)


def test_a_change_before_the_known_window_changes_nothing() -> None:
    assert sent(changed(columns(6), 1), columns(3, start=2)) == ([5], 4)


def test_a_bar_that_is_missing_or_new_inside_sends_the_whole_window() -> None:
    assert sent(without(columns(6), 3), columns(3, start=2)) == ([2, 4, 5], None)
    assert sent(columns(6), without(columns(4, start=1), 2)) == ([3, 4, 5], None)


def test_after_is_the_bar_before_in_the_bots_own_bars_also_over_a_gap() -> None:
    window = without(columns(7), 5)
    assert sent(window, columns(3, start=2)) == ([6], 4)
