import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tidegate.bars.bars import Bars, parse_time
from tidegate.bars.commit import locked
from tidegate.bars.interval import Interval
from tidegate.bars.store import BarStore, IngestReport, Revision
from tidegate.errors import StoreError

HOUR = Interval("1h")
MS = HOUR.milliseconds
START = parse_time("2024-02-28")
NOW = parse_time("2024-06-01")


def bars(
    hours: Sequence[int] | range, *, shift: float = 0.0, symbol: str = "BTC/USDT", interval: Interval = HOUR
) -> Bars:
    hour = np.array(hours, np.int64)
    price = 100.0 + hour + shift
    return Bars.of(
        symbol, interval, opened_at=START + hour * interval.milliseconds,
        open=price, high=price + 2, low=price - 2, close=price + 1, volume=hour * 0.5,
    )  # fmt: skip


def values(hour: int, shift: float = 0.0) -> tuple[float, float, float, float, float]:
    price = 100.0 + hour + shift
    return price, price + 2, price - 2, price + 1, hour * 0.5


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_bars_come_back_as_they_were(tmp_path: Path) -> None:
    store = BarStore(tmp_path)
    assert store.ingest(bars(range(100)), NOW) == IngestReport(100, 0, ())
    assert store.load("BTC/USDT", HOUR).equals(bars(range(100)))
    folder = tmp_path / "bars" / "symbol=BTCUSDT" / "interval=1h"
    assert sorted(path.name for path in folder.iterdir()) == [".lock", "month=2024-02.parquet", "month=2024-03.parquet"]
    table = pq.read_table(folder / "month=2024-02.parquet", partitioning=None)
    assert (len(table), table.schema.metadata[b"tidegate.symbol"]) == (48, b"BTC/USDT")
    assert str(table.schema.field("opened_at").type) == "timestamp[ms, tz=UTC]"


def test_ingesting_again_changes_no_byte(tmp_path: Path) -> None:
    store = BarStore(tmp_path)
    store.ingest(bars(range(100)), NOW)
    before = contents(tmp_path)
    assert store.ingest(bars(range(100)), NOW + 1) == IngestReport(0, 100, ())
    assert store.ingest(bars([]), NOW) == IngestReport(0, 0, ())
    assert contents(tmp_path) == before


def test_parts_in_any_order_and_overlap_give_the_same_bytes(tmp_path: Path) -> None:
    whole, parts = BarStore(tmp_path / "whole"), BarStore(tmp_path / "parts")
    whole.ingest(bars(range(100)), NOW)
    reports = [parts.ingest(bars(hours), NOW) for hours in (range(60, 100), range(20), [40, 41, 45], range(10, 70))]
    assert [(report.added, report.unchanged) for report in reports] == [(40, 0), (20, 0), (3, 0), (37, 23)]
    assert contents(parts.root) == contents(whole.root)


@pytest.mark.parametrize(
    ("start", "end", "hours"),
    [
        (None, None, range(100)),
        (START + 10 * MS, None, range(10, 100)),
        (START + 10 * MS + 1, None, range(11, 100)),
        (None, START + 10 * MS, range(10)),
        (None, START + 10 * MS - 1, range(9)),
        (START + 47 * MS, START + 49 * MS, range(47, 49)),
        (START + 48 * MS, START + 60 * MS, range(48, 60)),
        (START, START, range(0)),
        (START + 200 * MS, None, range(0)),
        (None, START - 1, range(0)),
    ],
)
def test_load_cuts(tmp_path: Path, start: int | None, end: int | None, hours: range) -> None:
    store = BarStore(tmp_path)
    store.ingest(bars(range(100)), NOW)
    assert store.load("BTC/USDT", HOUR, start, end).opened_at.tolist() == [START + hour * MS for hour in hours]


def test_what_was_never_stored_is_empty(tmp_path: Path) -> None:
    store = BarStore(tmp_path)
    assert len(store.load("BTC/USDT", HOUR)) == 0
    assert store.newest("BTC/USDT", HOUR) is None
    assert store.revisions("BTC/USDT", HOUR) == ()
    assert list(tmp_path.iterdir()) == []


def test_symbols_and_intervals_are_kept_apart(tmp_path: Path) -> None:
    store = BarStore(tmp_path)
    store.ingest(bars(range(5)), NOW)
    store.ingest(bars(range(7), symbol="ETH/USDT"), NOW)
    store.ingest(bars(range(9), interval=Interval("5m")), NOW)
    assert [
        len(store.load(symbol, Interval(span)))
        for symbol, span in (("BTC/USDT", "1h"), ("ETH/USDT", "1h"), ("BTC/USDT", "5m"))
    ] == [5, 7, 9]
    assert store.newest("ETH/USDT", HOUR) == START + 6 * MS


def test_symbols_of_the_same_short_name_are_not_mixed(tmp_path: Path) -> None:
    store = BarStore(tmp_path)
    store.ingest(bars(range(5)), NOW)
    with pytest.raises(StoreError, match=r"belongs to another symbol.*expected BTC-USDT, was BTC/USDT"):
        store.ingest(bars(range(5), symbol="BTC-USDT"), NOW)
    with pytest.raises(StoreError, match="belongs to another symbol"):
        store.load("BTC-USDT", HOUR)


def _with(name: str, value: float) -> Bars:
    series = bars(range(5))
    column = getattr(series, name).copy()
    column[3] = value
    columns = {key: getattr(series, key) for key in ("open", "high", "low", "close", "volume")} | {name: column}
    return Bars.of("BTC/USDT", HOUR, opened_at=series.opened_at, **columns)


@pytest.mark.parametrize(
    ("unfit", "message"),
    [
        (bars([0, 2, 1]), r"are unsorted at row 2, 2024-02-28T01:00:00Z"),
        (bars([0, 1, 1]), r"are duplicated at row 2"),
        (bars([3, 2, 1]), r"are unsorted at row 1"),
        (_with("close", float("nan")), r"close of BTC/USDT 1h at 2024-02-28T03:00:00Z is not finite"),
        (_with("volume", float("inf")), r"volume of BTC/USDT 1h at 2024-02-28T03:00:00Z is not finite"),
        (bars([3000]), r"the bar of BTC/USDT 1h at .* is not finished"),
    ],
)
def test_unfit_bars_are_refused_and_nothing_is_written(tmp_path: Path, unfit: Bars, message: str) -> None:
    with pytest.raises(StoreError, match=message):
        BarStore(tmp_path).ingest(unfit, NOW)
    assert list(tmp_path.iterdir()) == []


def test_the_last_bar_may_close_just_now(tmp_path: Path) -> None:
    store = BarStore(tmp_path)
    with pytest.raises(StoreError, match="not finished"):
        store.ingest(bars(range(5)), START + 5 * MS - 1)
    assert store.ingest(bars(range(5)), START + 5 * MS).added == 5


def test_a_revision_is_reported_and_recorded_but_the_stored_bar_stays(tmp_path: Path) -> None:
    store = BarStore(tmp_path)
    store.ingest(bars(range(50)), NOW)
    report = store.ingest(Bars.concatenate([bars([3, 49], shift=0.5), bars([50, 51])]), NOW + 7)
    found = tuple(Revision(START + hour * MS, values(hour), values(hour, 0.5), "found", NOW + 7) for hour in (3, 49))
    assert report == IngestReport(added=2, unchanged=0, revised=found)
    assert store.load("BTC/USDT", HOUR).equals(bars(range(52)))
    assert store.revisions("BTC/USDT", HOUR) == store.open_revisions("BTC/USDT", HOUR) == found


def test_the_same_revision_is_recorded_once_and_reported_each_time(tmp_path: Path) -> None:
    store = BarStore(tmp_path)
    store.ingest(bars(range(5)), NOW)
    store.ingest(bars([3], shift=0.5), NOW + 1)
    before = contents(tmp_path)
    assert [item.opened_at for item in store.ingest(bars([3], shift=0.5), NOW + 2).revised] == [START + 3 * MS]
    assert contents(tmp_path) == before


def test_a_second_revision_of_a_bar_takes_the_place_of_the_first(tmp_path: Path) -> None:
    store = BarStore(tmp_path)
    store.ingest(bars(range(5)), NOW)
    store.ingest(bars([3], shift=0.5), NOW + 1)
    store.ingest(bars([3], shift=0.75), NOW + 2)
    assert [item.revised for item in store.revisions("BTC/USDT", HOUR)] == [values(3, 0.5), values(3, 0.75)]
    assert [item.revised for item in store.open_revisions("BTC/USDT", HOUR)] == [values(3, 0.75)]


def test_a_source_that_goes_back_withdraws_its_revision(tmp_path: Path) -> None:
    store = BarStore(tmp_path)
    store.ingest(bars(range(5)), NOW)
    store.ingest(bars([2, 3], shift=0.5), NOW + 1)
    report = store.ingest(bars(range(3, 5)), NOW + 2)
    assert report == IngestReport(0, 2, ())
    assert [item.opened_at for item in store.open_revisions("BTC/USDT", HOUR)] == [START + 2 * MS]
    assert [(item.kind, item.at_ms) for item in store.revisions("BTC/USDT", HOUR)][-1] == ("withdrawn", NOW + 2)
    assert store.accept_revisions("BTC/USDT", HOUR, NOW + 3)[0].opened_at == START + 2 * MS
    assert store.load("BTC/USDT", HOUR).open.tolist() == [100, 101, 102.5, 103, 104]


def test_accepting_makes_the_revised_values_the_stored_ones(tmp_path: Path) -> None:
    store = BarStore(tmp_path)
    store.ingest(bars(range(60)), NOW)
    store.ingest(bars([3, 4, 55], shift=0.5), NOW + 1)
    accepted = store.accept_revisions("BTC/USDT", HOUR, NOW + 2, opened_at=[START + 55 * MS, START + 3 * MS])
    assert accepted == tuple(
        Revision(START + hour * MS, values(hour), values(hour, 0.5), "accepted", NOW + 2) for hour in (3, 55)
    )
    changed = store.load("BTC/USDT", HOUR)
    assert np.flatnonzero(changed.open != bars(range(60)).open).tolist() == [3, 55]
    assert changed.close[[3, 55]].tolist() == [104.5, 156.5]
    assert [item.opened_at for item in store.open_revisions("BTC/USDT", HOUR)] == [START + 4 * MS]
    assert store.ingest(bars([3, 55], shift=0.5), NOW + 3) == IngestReport(0, 2, ())


def test_what_has_no_open_revision_cannot_be_accepted(tmp_path: Path) -> None:
    store = BarStore(tmp_path)
    store.ingest(bars(range(5)), NOW)
    assert store.accept_revisions("BTC/USDT", HOUR, NOW) == ()
    before = contents(tmp_path)
    with pytest.raises(StoreError, match="bar 2024-02-28T02:00:00Z of BTC/USDT 1h has no open revision"):
        store.accept_revisions("BTC/USDT", HOUR, NOW, opened_at=[START + 2 * MS])
    assert contents(tmp_path) == before


def test_minus_zero_is_no_revision_of_zero(tmp_path: Path) -> None:
    store = BarStore(tmp_path)
    store.ingest(bars(range(5)), NOW)
    flipped = bars([0])
    flipped = Bars.of(
        "BTC/USDT",
        HOUR,
        opened_at=flipped.opened_at,
        **{name: getattr(flipped, name) for name in ("open", "high", "low", "close")},
        volume=[-0.0],
    )
    assert store.ingest(flipped, NOW).revised == ()


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _foreign(path: Path) -> None:
    table = pq.read_table(path, partitioning=None)
    pq.write_table(table.replace_schema_metadata(None), path)


def _altered(path: Path) -> None:
    table = pq.read_table(path, partitioning=None)
    opened = table["open"].to_numpy().copy()
    opened[1] += 0.01
    pq.write_table(table.set_column(1, "open", [opened]), path)


def _renamed(path: Path) -> None:
    path.write_bytes(path.with_name("month=2024-03.parquet").read_bytes())


@pytest.mark.parametrize("damage", [_cut, _empty, _foreign, _altered, _renamed])
def test_a_damaged_month_is_named_with_the_next_step(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    store = BarStore(tmp_path)
    store.ingest(bars(range(100)), NOW)
    path = store.folder("BTC/USDT", HOUR) / "month=2024-02.parquet"
    damage(path)
    for use in (
        lambda: store.load("BTC/USDT", HOUR),
        lambda: store.ingest(bars(range(100)), NOW),
    ):
        with pytest.raises(
            StoreError, match=r"month=2024-02.parquet is damaged: .*; move it away and ingest that month again"
        ):
            use()
    assert len(store.load("BTC/USDT", HOUR, parse_time("2024-03-01"))) == 52
    path.unlink()
    assert store.ingest(bars(range(100)), NOW).added == 48


@pytest.mark.parametrize("damage", [_cut, _empty, _foreign])
def test_a_damaged_record_of_revisions_is_named(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    store = BarStore(tmp_path)
    store.ingest(bars(range(5)), NOW)
    store.ingest(bars(range(5), shift=1), NOW)
    path = store.folder("BTC/USDT", HOUR) / "revisions.parquet"
    if damage is _foreign:
        pq.write_table(pq.read_table(path, partitioning=None).slice(1), path)
    else:
        damage(path)
    with pytest.raises(StoreError, match=r"revisions.parquet is damaged"):
        store.revisions("BTC/USDT", HOUR)
    with pytest.raises(StoreError, match=r"revisions.parquet is damaged"):
        store.ingest(bars(range(7)), NOW)


@pytest.mark.parametrize("name", ["month=2024-02.parquet", "revisions.parquet"])
def test_a_flipped_byte_is_refused_or_changes_nothing(tmp_path: Path, name: str) -> None:
    store = BarStore(tmp_path)
    store.ingest(bars(range(40)), NOW)
    store.ingest(bars(range(5), shift=1), NOW)
    path = store.folder("BTC/USDT", HOUR) / name
    content = path.read_bytes()
    recorded = store.revisions("BTC/USDT", HOUR)
    refused: list[str] = []
    for place in range(0, len(content), len(content) // 100):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :])
        try:
            assert store.load("BTC/USDT", HOUR).equals(bars(range(40)))
            assert store.revisions("BTC/USDT", HOUR) == recorded
        except StoreError as error:
            refused.append(str(error))
    assert len(refused) > 20
    assert all(name in message for message in refused)


def test_a_stray_file_among_the_months_is_refused(tmp_path: Path) -> None:
    store = BarStore(tmp_path)
    store.ingest(bars(range(5)), NOW)
    (store.folder("BTC/USDT", HOUR) / "month=2024-02-copy.parquet").write_bytes(b"x")
    with pytest.raises(StoreError, match="is no month of bars"):
        store.load("BTC/USDT", HOUR)


def test_a_series_in_use_is_waited_for_and_then_given_up(tmp_path: Path) -> None:
    store = BarStore(tmp_path, lock_timeout_s=0.1)
    store.ingest(bars(range(5)), NOW)
    with locked(store.folder("BTC/USDT", HOUR), 1):
        for use in (lambda: store.ingest(bars(range(6)), NOW), lambda: store.load("BTC/USDT", HOUR)):
            with pytest.raises(StoreError, match=r"is in use by .*expected its end within 0.1 s"):
                use()
    assert store.ingest(bars(range(6)), NOW).added == 1


def test_two_ingests_at_once_lose_nothing(tmp_path: Path) -> None:
    reports: list[IngestReport] = []

    def ingest(hours: range) -> None:
        store = BarStore(tmp_path)
        reports.extend(store.ingest(bars(range(start, start + 15)), NOW) for start in hours)

    threads = [threading.Thread(target=ingest, args=(hours,)) for hours in (range(0, 100, 10), range(50, 150, 10))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert BarStore(tmp_path).load("BTC/USDT", HOUR).equals(bars(range(155)))
    assert sum(report.added for report in reports) == 155
    assert not any(report.revised for report in reports)
