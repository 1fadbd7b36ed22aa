import json
from pathlib import Path

import numpy as np
import pytest

from tidegate.bars.bars import Bars, parse_time
from tidegate.bars.interval import Interval
from tidegate.bars.snapshot import rebuild, take
from tidegate.bars.store import BarStore
from tidegate.errors import StoreError

HOUR = Interval("1h")
MS = HOUR.milliseconds
START = parse_time("2024-02-28")
NOW = parse_time("2024-06-01")


def bars(hours: range | list[int], shift: float = 0.0) -> Bars:
    hour = np.array(hours, np.int64)
    price = 100.0 + hour + shift
    return Bars.of(
        "BTC/USDT",
        HOUR,
        opened_at=START + hour * MS,
        open=price,
        high=price + 2,
        low=price - 2,
        close=price,
        volume=hour,
    )


@pytest.fixture
def store(tmp_path: Path) -> BarStore:
    store = BarStore(tmp_path)
    store.ingest(bars([*range(60), *range(70, 100)]), NOW)
    return store


def test_a_snapshot_names_bars_by_their_content(store: BarStore) -> None:
    held = store.load("BTC/USDT", HOUR)
    snapshot = take(store, held)
    assert json.loads((store.root / "snapshots" / f"{held.content_hash()}.json").read_text()) == {
        "hash": held.content_hash(),
        "symbol": "BTC/USDT",
        "interval": "1h",
        "first": "2024-02-28T00:00:00Z",
        "last": "2024-03-03T03:00:00Z",
        "bars": 90,
        "revision_events": 0,
        "runs": [[START, 60], [START + 70 * MS, 30]],
        "version": 1,
    }
    assert snapshot.hash == held.content_hash()
    assert rebuild(store, snapshot.hash).equals(held)


def test_taking_again_changes_nothing(store: BarStore) -> None:
    held = store.load("BTC/USDT", HOUR)
    first = take(store, held)
    path = store.root / "snapshots" / f"{first.hash}.json"
    before = path.read_bytes(), path.stat().st_mtime_ns
    assert take(store, held) == first
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


def test_a_part_and_a_selection_can_be_taken(store: BarStore) -> None:
    held = store.load("BTC/USDT", HOUR)
    for chosen in (held.take(slice(10, 20)), held.take(np.arange(0, 90, 7)), held.take(slice(5, 6))):
        assert rebuild(store, take(store, chosen).hash).equals(chosen)


def test_it_is_rebuilt_after_bars_were_added_and_revisions_accepted(store: BarStore) -> None:
    held = store.load("BTC/USDT", HOUR)
    names = [take(store, held).hash]
    states = [held]
    for shift in (0.5, 0.75, 0.0):
        store.ingest(bars(range(0, 80, 3), shift), NOW + 1)
        store.accept_revisions("BTC/USDT", HOUR, NOW + 2)
        states.append(store.load("BTC/USDT", HOUR))
        names.append(take(store, states[-1]).hash)
    store.ingest(bars(range(120)), NOW + 3)
    assert len(set(names)) == 4
    for name, state in zip(names, states, strict=True):
        assert rebuild(store, name).equals(state)


def test_open_revisions_do_not_touch_a_snapshot(store: BarStore) -> None:
    store.ingest(bars(range(5), 0.5), NOW)
    held = store.load("BTC/USDT", HOUR)
    name = take(store, held).hash
    store.ingest(bars(range(5), 0.75), NOW)
    assert rebuild(store, name).equals(held)
    store.accept_revisions("BTC/USDT", HOUR, NOW)
    assert rebuild(store, name).equals(held)


@pytest.mark.parametrize(
    ("unfit", "message"),
    [
        (bars([]), "expected at least one bar"),
        (bars([3, 2]), "expected at least one bar, strictly ascending"),
        (bars([58, 59, 60]), "holds other bars for that span"),
        (bars(range(5), 0.25), "holds other bars for that span"),
        (bars([500]), "holds other bars for that span"),
        (bars([3]).with_symbol("ETH/USDT"), "holds other bars for that span"),
    ],
)
def test_what_is_not_stored_like_that_cannot_be_taken(store: BarStore, unfit: Bars, message: str) -> None:
    with pytest.raises(StoreError, match=message):
        take(store, unfit)
    assert not (store.root / "snapshots").exists()


def test_a_snapshot_that_is_not_there_is_refused(store: BarStore) -> None:
    with pytest.raises(StoreError, match="there is no snapshot 000000000000"):
        rebuild(store, "0" * 64)
    for name in ("", "../" * 20 + "etc", "G" * 64):
        with pytest.raises(StoreError, match="is no name"):
            rebuild(store, name)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"bars": 90', '"bars": 91'),
        ('"version": 1', '"version": 2'),
        ('"hash": "', '"hash": "0'),
        ("{", ""),
        ('"runs"', '"ran"'),
    ],
)
def test_a_damaged_snapshot_file_is_refused(store: BarStore, old: str, new: str) -> None:
    name = take(store, store.load("BTC/USDT", HOUR)).hash
    path = store.root / "snapshots" / f"{name}.json"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(StoreError, match=r"snapshot file .* (is damaged|contradicts itself)"):
        rebuild(store, name)


def test_a_store_that_lost_what_it_needs_is_refused(store: BarStore) -> None:
    held = store.load("BTC/USDT", HOUR)
    name = take(store, held).hash
    store.ingest(bars([3], 0.5), NOW)
    store.accept_revisions("BTC/USDT", HOUR, NOW)
    (store.folder("BTC/USDT", HOUR) / "revisions.parquet").unlink()
    with pytest.raises(StoreError, match=r"cannot be rebuilt, expected 90 bars of that hash, was bars of hash"):
        rebuild(store, name)
    (store.folder("BTC/USDT", HOUR) / "month=2024-03.parquet").unlink()
    with pytest.raises(StoreError, match=r"cannot be rebuilt.*was missing bars"):
        rebuild(store, name)
