"""However a series is cut into requests, and however often they are repeated, the windows are those of the series."""

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.property.backtest.markets import random_bars

from tidegate.bars.bars import COLUMNS
from tidegate.serving.windows import KeptWindow

LOOKBACK = 7


@settings(deadline=None, max_examples=150)
@given(
    seed=st.integers(0, 2**31),
    capacity=st.integers(LOOKBACK, 40),
    first=st.integers(LOOKBACK, 30),
    steps=st.lists(st.tuples(st.integers(1, 30) | st.just(1), st.integers(0, 5)), max_size=25),
)
def test_windows_are_those_of_the_series(seed: int, capacity: int, first: int, steps: list[tuple[int, int]]) -> None:
    series = random_bars(seed, first + sum(new for new, _ in steps))
    kept, known = KeptWindow(series.take(slice(0, first)), capacity), first
    for new, repeated in steps:
        end = known + new
        # Bars that were sent before are sent again, as far back as they are surely kept.
        start = known - min(repeated, len(kept) - 1)
        after, sent = int(series.opened_at[start - 1]), series.take(slice(start, end))
        one = tuple(float(getattr(sent, name)[0]) for name in COLUMNS[1:])
        # The quick way may decline, and must never differ.
        window = kept.accept_one(after, int(sent.opened_at[0]), one, LOOKBACK) if len(sent) == 1 else None
        assert (window is None) == (len(sent) > 1 or start < known)
        window = window or kept.accept(after, sent, LOOKBACK, LOOKBACK)
        assert window.equals(series.take(slice(end - LOOKBACK, end)))
        assert len(kept) <= capacity
        known = end
