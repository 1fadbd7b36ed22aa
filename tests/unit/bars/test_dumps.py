import hashlib
import io
import zipfile
from pathlib import Path

import pytest

from tidegate.bars.bars import iso, parse_time
from tidegate.bars.interval import Interval
from tidegate.bars.sources import RawBars, dumps, open_source
from tidegate.errors import SourceError
from tidegate.strategy.strategy import DumpSource

MINUTE = Interval("1m")
HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
)


def day(
    start: str, minutes: range = range(5), *, unit: int = 1, volume: str = "1.50000000", header: bool = False
) -> str:
    """Rows as the exchange writes them; `unit` 1000 is microseconds."""
    first = parse_time(start)
    rows = []
    for minute in minutes:
        stamp = (first + minute * 60_000) * unit
        price = f"{100 + minute}.00000000"
        rows.append(
            f"{stamp},{price},{101 + minute}.0,{99 + minute}.0,{price},{volume},{stamp + 59_999 * unit},0.0,0,0.0,0.0,0"
        )
    return "\n".join([HEADER, *rows] if header else rows) + "\n"


def zipped(content: str, member: str = "klines.csv") -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, content)
    return packed.getvalue()


def write(folder: Path, name: str, content: str) -> None:
    (folder / name).write_bytes(zipped(content) if name.endswith(".zip") else content.encode())


def fetch(folder: Path, path: str, symbol: str = "BTC/USDT", interval: Interval = MINUTE) -> RawBars:
    return open_source(DumpSource(type="dump", path=path), folder).fetch(symbol, interval, None, None, 0)


@pytest.mark.parametrize("ending", ["csv", "zip"])
def test_milliseconds_before_2025_and_microseconds_after(tmp_path: Path, ending: str) -> None:
    write(tmp_path, f"BTCUSDT-1m-2024-12-31.{ending}", day("2024-12-31T23:55Z"))
    write(tmp_path, f"BTCUSDT-1m-2025-01-01.{ending}", day("2025-01-01T00:00Z", unit=1000))
    raw = fetch(tmp_path, ".")
    assert [iso(time) for time in raw.bars.opened_at.tolist()] == [
        *(f"2024-12-31T23:5{minute}:00Z" for minute in range(5, 10)),
        *(f"2025-01-01T00:0{minute}:00Z" for minute in range(5)),
    ]
    assert raw.bars.close.tolist() == [100, 101, 102, 103, 104] * 2
    assert {note.partition(" (")[0] for note in raw.notes} == {"time stamps in ms", "time stamps in us"}
    assert raw.origin.startswith("2 dump files, ")


def test_milliseconds_and_microseconds_in_one_file(tmp_path: Path) -> None:
    write(tmp_path, "BTCUSDT-1m-2025-01.zip", day("2024-12-31T23:55Z") + day("2025-01-01T00:00Z", unit=1000))
    raw = fetch(tmp_path, "BTCUSDT-1m-2025-01.zip")
    assert (raw.bars.opened_at[1:] - raw.bars.opened_at[:-1] == 60_000).all()
    assert raw.notes == ("time stamps in ms and us",)


def test_header_lines_come_and_go_within_one_month(tmp_path: Path) -> None:
    for number in range(1, 5):
        content = day(f"2024-03-0{number}", header=number % 2 == 0)
        write(tmp_path, f"BTCUSDT-1m-2024-03-0{number}.zip", content)
    raw = fetch(tmp_path, "*.zip")
    assert len(raw.bars) == 20
    assert raw.notes == ("time stamps in ms", "header line (2 of 4 files)")


def test_an_outage_across_two_days(tmp_path: Path) -> None:
    """As on 2018-02-08: 29 bars, then nothing until 10:00 of the next day."""
    write(tmp_path, "BTCUSDT-1m-2018-02-08.csv", day("2018-02-08", range(29)))
    write(tmp_path, "BTCUSDT-1m-2018-02-09.csv", day("2018-02-09", range(600, 1440)))
    bars = fetch(tmp_path, ".").bars
    assert len(bars) == 29 + 840
    assert int(bars.opened_at[29] - bars.opened_at[28]) == (33 * 60 + 32) * 60_000


def test_flat_runs_zero_volume_and_irregular_closing_times_are_kept(tmp_path: Path) -> None:
    rows = day("2021-02-11", volume="0.00000000").splitlines()
    rows[3] = rows[3].replace("1613001839999", "1613001801234")
    write(tmp_path, "BTCUSDT-1m-2021-02-11.csv", "\n".join(rows))
    bars = fetch(tmp_path, ".").bars
    assert bars.volume.tolist() == [0] * 5
    assert (bars.closed_at - bars.opened_at).tolist() == [60_000] * 5


def test_newest_first_and_duplicates(tmp_path: Path) -> None:
    rows = day("2021-02-11").splitlines()
    write(tmp_path, "BTCUSDT-1m-2021-02-11.csv", "\n".join(rows[::-1]))
    assert fetch(tmp_path, ".").bars.close.tolist() == [100, 101, 102, 103, 104]
    write(tmp_path, "BTCUSDT-1m-2021-02-11.csv", "\n".join([*rows, rows[-1].replace("104.0", "777.0")]))
    assert fetch(tmp_path, ".").bars.close.tolist() == [100, 101, 102, 103, 104, 777]


def test_other_symbols_and_intervals_are_left_out_of_a_folder(tmp_path: Path) -> None:
    write(tmp_path, "BTCUSDT-1m-2024-01-01.zip", day("2024-01-01"))
    write(tmp_path, "ETHUSDT-1m-2024-01-01.zip", day("2024-01-01"))
    write(tmp_path, "BTCUSDT-5m-2024-01-01.zip", day("2024-01-01"))
    raw = fetch(tmp_path, ".")
    assert len(raw.bars) == 5
    assert raw.notes[-1] == "2 files of other symbols or intervals left out"


def test_the_symbol_stands_in_the_path(tmp_path: Path) -> None:
    (tmp_path / "btcusdt").mkdir()
    write(tmp_path / "btcusdt", "any-name.zip", day("2024-01-01"))
    assert len(fetch(tmp_path, "{symbol}/*").bars) == 5
    assert len(fetch(tmp_path / "elsewhere", str(tmp_path / "{symbol}")).bars) == 5


def test_a_file_of_another_symbol_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "ETHUSDT-1m-2024-01-01.zip", day("2024-01-01"))
    with pytest.raises(SourceError, match=r"no dump file of BTC/USDT 1m.*was ETHUSDT-1m-2024-01-01.zip"):
        fetch(tmp_path, "ETHUSDT-1m-2024-01-01.zip")


def _without_tail(content: bytes) -> bytes:
    return content[:-30]


def _flipped(content: bytes) -> bytes:
    return content[:60] + bytes([content[60] ^ 0xFF]) + content[61:]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (_without_tail(zipped(day("2024-01-01"))), "zip file .*BTCUSDT-1m-2024-01-01.zip cannot be read"),
        (_flipped(zipped(day("2024-01-01"))), "zip file .*BTCUSDT-1m-2024-01-01.zip cannot be read"),
        (b"<html>404</html>", "zip file .*BTCUSDT-1m-2024-01-01.zip cannot be read"),
        (b"", "zip file .*BTCUSDT-1m-2024-01-01.zip cannot be read"),
        (zipped("x", "README.txt"), "holds no csv file"),
        (zipped("1,2,3\n"), "holds no rows of bars"),
        (zipped(day("2024-01-01").replace(",0\n", "\n")), "no dump of bars, expected 12 columns, was 11 columns"),
        (zipped(day("2024-01-01") + "1704067500000,1,2\n"), "line 6: Expected 12 columns, got 3"),
        (zipped(day("2024-01-01").replace("103.0,101", "abc,101")), "'abc'"),
    ],
)
def test_damaged_files_are_refused_by_name(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "BTCUSDT-1m-2024-01-01.zip").write_bytes(content)
    with pytest.raises(SourceError, match=message) as caught:
        fetch(tmp_path, ".")
    assert "BTCUSDT-1m-2024-01-01.zip" in str(caught.value)


def test_a_bomb_is_refused_before_and_while_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "BTCUSDT-1m-2024-01-01.zip", day("2024-01-01") + "\n" * 3_000_000)
    with pytest.raises(SourceError, match=r"unpacks to 30\d+ bytes, expected at most .* and 200 times its packed size"):
        fetch(tmp_path, ".")
    monkeypatch.setattr(dumps, "MAX_RATIO", 5000)
    monkeypatch.setattr("tidegate.bars.sources.paths.MAX_BYTES", 1000)
    with pytest.raises(SourceError, match="is too large"):
        fetch(tmp_path, ".")


def test_a_checksum_file_beside_a_dump_must_be_right(tmp_path: Path) -> None:
    name = "BTCUSDT-1m-2024-01-01.zip"
    write(tmp_path, name, day("2024-01-01"))
    digest = hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    (tmp_path / f"{name}.CHECKSUM").write_text(f"{digest}  {name}\n")
    assert len(fetch(tmp_path, ".").bars) == 5
    (tmp_path / f"{name}.CHECKSUM").write_text(f"{'0' * 64}  {name}\n")
    with pytest.raises(SourceError, match="differs from its checksum file"):
        fetch(tmp_path, ".")
