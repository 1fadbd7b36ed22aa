import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.bars.bars import Bars, parse_time
from tidegate.bars.interval import Interval
from tidegate.bars.snapshot import rebuild, take
from tidegate.bars.store import BarStore

SPAN = Interval("12h")
Rows = dict[int, tuple[float, float, float, float, float]]
START = parse_time("2024-01-30")
NOW = parse_time("2024-06-01")

hours = st.sets(st.integers(0, 90), min_size=1, max_size=25)
price = st.floats(1e-6, 1e6, allow_subnormal=False)
series = st.dictionaries(
    st.integers(0, 90), st.tuples(price, price, price, price, st.floats(0, 1e12)), min_size=1, max_size=25
)


def bars(rows: Rows) -> Bars:
    places = sorted(rows)
    columns = np.array([rows[place] for place in places], float).reshape(-1, 5).T
    opened_at = START + np.array(places, np.int64) * SPAN.milliseconds
    return Bars("BTC/USDT", SPAN, opened_at, *columns)


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@settings(max_examples=25, deadline=None)
@given(series)
def test_stored_bars_come_back_bit_for_bit_and_twice_is_once(rows: Rows) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = BarStore(Path(folder))
        store.ingest(bars(rows), NOW)
        before = contents(store.root)
        assert store.load("BTC/USDT", SPAN).equals(bars(rows))
        report = store.ingest(bars(rows), NOW + 1)
        assert (report.added, report.unchanged, report.revised) == (0, len(rows), ())
        assert contents(store.root) == before


@settings(max_examples=20, deadline=None)
@given(series, st.randoms(use_true_random=False), st.integers(1, 5))
def test_any_split_in_any_order_gives_the_same_content(rows: Rows, random: Random, parts: int) -> None:
    places = list(rows)
    random.shuffle(places)
    with tempfile.TemporaryDirectory() as folder:
        whole, split = BarStore(Path(folder) / "whole"), BarStore(Path(folder) / "split")
        whole.ingest(bars(rows), NOW)
        for part in range(parts):
            chosen = places[part::parts] + places[:2]  # parts overlap
            split.ingest(bars({place: rows[place] for place in chosen}), NOW)
        assert contents(split.root) == contents(whole.root)


step = st.tuples(st.sampled_from(["revise", "accept", "accept some", "add"]), hours, st.integers(1, 4))


@settings(max_examples=25, deadline=None)
@given(series, st.lists(step, min_size=1, max_size=6))
def test_every_snapshot_is_rebuilt_after_whatever_came_later(
    rows: Rows, steps: Sequence[tuple[str, set[int], int]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = BarStore(Path(folder))
        store.ingest(bars(rows), NOW)
        taken: dict[str, Bars] = {}
        for kind, places, factor in [("add", {0}, 1), *steps]:
            held = store.load("BTC/USDT", SPAN)
            taken[take(store, held).hash] = held
            changed = {place: (1.0 * factor, 2.0, 0.5, 1.0, float(place)) for place in places}
            if kind == "accept":
                store.accept_revisions("BTC/USDT", SPAN, NOW)
            elif kind == "accept some":
                waiting = [item.opened_at for item in store.open_revisions("BTC/USDT", SPAN)]
                store.accept_revisions("BTC/USDT", SPAN, NOW, waiting[::2])
            elif kind == "revise":
                store.ingest(bars({place: values for place, values in changed.items() if place in rows} or rows), NOW)
                assert store.load("BTC/USDT", SPAN).equals(held), "a revision never changes a stored bar by itself"
            else:
                store.ingest(bars(changed), NOW)
        for name, held in taken.items():
            assert rebuild(store, name).equals(held)
