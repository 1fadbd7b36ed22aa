"""Whatever bars a bot has, the service ends up with its window, or is asked with a whole one."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.client.records import HOUR_MS, START_MS, columns

from tidegate.client.columns import Columns, newest
from tidegate.client.series import Sent, to_send, whole

ALL = columns(40)


def taken(kept: Columns | None, sent: Sent, longest: int) -> Columns | None:
    """What a service has after a request: the kept bars up to `after`, and those that were sent; None where it does not know that bar."""
    if sent.after is None:
        return sent.bars
    assert kept is not None
    if sent.after not in kept["opened_at"]:
        return None
    until = int(np.searchsorted(kept["opened_at"], sent.after, side="right"))
    return newest({name: np.concatenate([kept[name][:until], sent.bars[name]]) for name in kept}, longest)


@st.composite
def windows(draw: st.DrawFn) -> Columns:
    """Bars of one market with some missing, and at times one that differs."""
    rows = sorted(draw(st.sets(st.integers(0, 39), min_size=1, max_size=20)))
    window = {name: column[rows].copy() for name, column in ALL.items()}
    if draw(st.booleans()):
        window["close"][draw(st.integers(0, len(rows) - 1))] += 0.5
    return window


@given(st.lists(windows(), min_size=1, max_size=6), st.integers(1, 8))
def test_the_service_has_the_newest_bars_of_the_bot(asked: list[Columns], lookback: int) -> None:
    known: Columns | None = None
    kept: Columns | None = None
    for window in asked:
        if len(window["opened_at"]) < lookback:
            continue
        sent = to_send(window, known, lookback)
        assert 1 <= len(sent.bars["opened_at"]) <= lookback
        kept = taken(kept, sent, lookback + 32) or whole(window, lookback).bars
        known = newest(window, lookback)
        have = newest(kept, lookback)
        assert all(np.array_equal(have[name], known[name]) for name in known)


def test_a_window_that_the_bot_mended_at_its_edge_is_sent_whole() -> None:
    # The bar before the first one that both have is new to the service: only the whole window tells it.
    first, second = newest(columns(5), 3), columns(6)
    assert to_send(second, first, 3).after == START_MS + 4 * HOUR_MS
