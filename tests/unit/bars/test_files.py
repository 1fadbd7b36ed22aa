import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tidegate.bars.bars import Bars, iso, parse_time
from tidegate.bars.interval import Interval
from tidegate.bars.sources import RawBars, open_source, paths
from tidegate.errors import SourceError
from tidegate.strategy.strategy import FileSource

HOUR = Interval("1h")
FIRST = parse_time("2017-04-23T21:00Z")
TIMES = [FIRST + row * 3_600_000 for row in range(3)]
VALUES = [(1.05, 1.07, 1.04, 1.06, 10.5), (1.06, 1.08, 1.05, 1.07, 20.25), (1.07, 1.09, 1.06, 1.08, 0.0)]
EXPECTED = Bars.of(
    "EUR/USD",
    HOUR,
    opened_at=TIMES,
    **dict(zip(("open", "high", "low", "close", "volume"), zip(*VALUES, strict=True), strict=True)),
)


def rows(style: str = "ms", delimiter: str = ",", decimal: str = ".") -> list[str]:
    stamps = {
        "ms": [str(time) for time in TIMES],
        "iso": [iso(time) for time in TIMES],
        "mixed": [str(TIMES[0] // 1000), str(TIMES[1]), str(TIMES[2] * 1000)],
        "day first": ["23.04.2017 21:00", "23.04.2017 22:00", "23.04.2017 23:00"],
        "month first": ["4/23/2017 9:00 PM", "4/23/2017 10:00 PM", "4/23/2017 11:00 PM"],
        "date and clock": [f"2017.04.23{delimiter}{clock}" for clock in ("21:00", "22:00", "23:00")],
    }[style]
    return [
        delimiter.join([stamp, *(str(value).replace(".", decimal) for value in values)])
        for stamp, values in zip(stamps, VALUES, strict=True)
    ]


HEADER = "time,open,high,low,close,volume"


def fetch(
    folder: Path, content: str | bytes, name: str = "eurusd.csv", interval: Interval = HOUR, **settings: object
) -> RawBars:
    return fetch_with(settings, folder, content, name, interval)


def fetch_with(
    settings: dict[str, object], folder: Path, content: str | bytes, name: str = "eurusd.csv", interval: Interval = HOUR
) -> RawBars:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    source = FileSource.model_validate({"type": "file", "path": name} | settings)
    return open_source(source, folder).fetch("EUR/USD", interval, None, None, 0)


def lines(*texts: str, end: str = "\n") -> str:
    return end.join(texts) + end


@pytest.mark.parametrize(
    ("content", "notes"),
    [
        (lines(HEADER, *rows()), ("time stamps in ms",)),
        (lines(HEADER, *rows(), end="\r\n"), ("time stamps in ms",)),
        (lines(HEADER, *rows())[:-1], ("time stamps in ms",)),
        (lines(HEADER, "", *rows(), ""), ("time stamps in ms",)),
        (lines(*rows()), ("no column names: taken as time, open, high, low, close, volume", "time stamps in ms")),
        (lines(HEADER, *rows("iso")), ()),
        (lines(HEADER, *rows("mixed")), ("time stamps in s and ms and us",)),
        (lines(HEADER, *rows("day first")), ("day-first dates",)),
        (lines(HEADER, *rows("month first")), ("month-first dates",)),
        (lines(HEADER, *rows()[::-1]), ("time stamps in ms", "newest first")),
        (lines(HEADER.replace(",", ";"), *rows(delimiter=";")), ("delimiter ';'", "time stamps in ms")),
        (lines(HEADER.replace(",", "\t"), *rows(delimiter="\t")), (r"delimiter '\t'", "time stamps in ms")),
        (lines(HEADER.replace(",", "|"), *rows(delimiter="|")), ("delimiter '|'", "time stamps in ms")),
        (lines(HEADER.replace(",", ";"), *rows("day first", ";", ",")), ("delimiter ';'", "decimal comma", "day-first dates")),
        (lines(HEADER, *(",".join(f'"{cell}"' for cell in row.split(",")) for row in rows())), ("time stamps in ms",)),
        (lines(HEADER, *('"' + '","'.join(row.split(";")) + '"' for row in rows(delimiter=";", decimal=","))), ("decimal comma", "time stamps in ms")),
        (lines("https://data.example", HEADER, *rows()), ("1 lines above the column names skipped", "time stamps in ms")),
        (b"\xef\xbb\xbf" + lines(HEADER, *rows()).encode(), ("byte order mark", "time stamps in ms")),
        (lines(HEADER, *rows()).encode("utf-16"), ("UTF-16", "time stamps in ms")),
        (
            lines("<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<TICKVOL>", *rows("date and clock")),
            ("volume counts ticks", "date and time of day joined from DATE and TIME"),
        ),
        (lines(*rows("date and clock")), ("no column names: taken as time, open, high, low, close, volume",)),
    ],
)  # fmt: skip
def test_layouts_are_detected(tmp_path: Path, content: str | bytes, notes: tuple[str, ...]) -> None:
    raw = fetch(tmp_path, content)
    assert raw.bars.equals(EXPECTED)
    assert raw.notes == notes
    assert raw.origin == "eurusd.csv"


@pytest.mark.parametrize(
    "header",
    [
        "opened_at,open,high,low,close,volume",
        "Open time,Open,High,Low,Close,Volume",
        "OPEN_TIME,OPEN,HIGH,LOW,CLOSE,VOLUME",
        "timestamp,o,h,l,c,v",
        "Date,Open,High,Low,Close,Vol",
        "datetime,openPrice,highPrice,lowPrice,closePrice,baseVolume",
        "unix_timestamp,Open,High,Low,Close,Volume EUR",
        "Gmt time,Open,High,Low,Close,Volume ",
        ",open,high,low,close,volume",
        "Unnamed: 0,open,high,low,close,volume",
        " time , open , high , low , close , volume ",
    ],
)
def test_names_in_many_spellings(tmp_path: Path, header: str) -> None:
    assert fetch(tmp_path, lines(header, *rows())).bars.equals(EXPECTED)


@pytest.mark.parametrize(
    ("header", "place", "extra", "note"),
    [
        ("unix,date,symbol,open,high,low,close,Volume EUR,Volume USD", 0, ("2017-04-23 21:00", "EUR/USD"), "time taken from unix, not from date"),
        ("open_time,date,close_time,open,high,low,close,volume,quote_volume", 0, ("2017-04-23", "9"), "time stamps in ms"),
    ],
)  # fmt: skip
def test_several_times_and_volumes(tmp_path: Path, header: str, place: int, extra: tuple[str, str], note: str) -> None:
    content = []
    for row in rows():
        cells = row.split(",")
        content.append(",".join([cells[place], *extra, *cells[1:], "7"]))
    raw = fetch(tmp_path, lines(header, *content))
    assert raw.bars.equals(EXPECTED)
    assert note in raw.notes


@pytest.mark.parametrize(
    ("content", "settings", "message"),
    [
        ("", {}, "holds no rows of bars"),
        (lines(HEADER), {}, "holds no rows of bars"),
        ("<html>not found</html>", {}, "holds no rows of bars"),
        (lines("a,b,c", "1,2,3"), {}, "holds no rows of bars"),
        (b"\xff\xfe\x00", {}, "damaged UTF-16"),
        (b"caf\xe9," + lines(*rows()).encode(), {}, "is not UTF-8 text"),
        (lines("time,open,high,low,close,volume,more", *rows()), {}, "line 1 names 7 columns, expected 6"),
        (lines("time,open,high,low,close,turnover", *rows()), {}, "no column for volume.*source.columns.*name it"),
        (lines("when,open,high,low,close,volume", *rows()), {}, "no column for opened_at"),
        (lines("close_time,open,high,low,close,volume", *rows()), {}, "names only the closing time"),
        (lines("time,open,open,low,close,volume", *rows()), {}, "several columns could be open.*was open, open"),
        (lines("time,date,high,low,close,volume,open", *(f"{row},1" for row in rows("iso"))), {}, "several columns could be opened_at"),
        (lines(*(f"{row},5" for row in rows())), {}, "has 7 columns without names"),
        (lines(*(",".join(row.split(",")[:5]) for row in rows())), {}, "has 5 columns without names"),
        (lines("1492981200000,1.06,1.05,1.07,1.04,10"), {}, r"columns are not open, high, low, close.*0 of 1 rows"),
        (lines(HEADER, *rows(), "1492992000000,1.05,1.0"), {}, r"line 5: Expected 6 columns, got 3"),
        (lines(HEADER, rows()[0], rows()[1].replace("1.08", "n.a.")), {}, r"column 3: line 3: .*'n.a.'"),
        (lines(HEADER, rows()[0], "," + rows()[1].partition(",")[2]), {}, "row 3: the time is missing"),
        (lines(HEADER, rows()[0], "12345" + rows()[1][13:]), {}, "row 3: 12345 is no time"),
        (lines(HEADER, "03.04.2017 01:00,1,2,1,2,5"), {}, "day and month cannot be told apart.*source.day_first"),
        (lines(HEADER.replace(",", ";"), "1492981200000;1,050;1,070;1,040;1,060;10"), {}, "the comma in '1,050' may be a decimal or a thousands mark"),
        (lines(HEADER.replace(",", ";"), "1492981200000;1.234,50;1,07;1,04;1,06;10"), {}, "holds no rows of bars|holds a point and a comma"),
        (lines(HEADER.replace(",", ";"), "1492981200000;1,05;1,07;1,04;1,06;10", "1492984800000;1.05;1.07;1.04;1.06;10"), {}, "some numbers have a decimal point and others a comma"),
        (lines("symbol," + HEADER, *(f"GBP/USD,{row}" for row in rows())), {}, "names another symbol.*expected EUR/USD, was gbpusd"),
        (lines("symbol," + HEADER, f"EURUSD,{rows()[0]}", f"GBPUSD,{rows()[1]}"), {}, "was eurusd, gbpusd"),
        (lines(HEADER, *rows()), {"columns": {"time": "x"}}, "source.columns names 'time'"),
        (lines(HEADER, *rows()), {"columns": {"open": "Open"}}, "no column for open, expected Open"),
        (lines(*rows()), {"columns": {"open": "2"}}, "has no column names, expected the position of every column"),
        (lines(HEADER, *rows("iso")).replace("Z", ""), {"time_zone": "Mars/Base"}, "cannot be read in the zone Mars/Base"),
    ],
)  # fmt: skip
def test_what_cannot_be_told_is_refused(
    tmp_path: Path, content: str | bytes, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        fetch_with(settings, tmp_path, content)
    assert "eurusd.csv" in str(caught.value) or "source.columns" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_own_names_and_own_positions(tmp_path: Path) -> None:
    named = lines("when,open,high,low,close,volume,open time", *(f"{row},1" for row in rows()))
    assert fetch(tmp_path, named, columns={"opened_at": "when"}).bars.equals(EXPECTED)
    positions = {"opened_at": "1", "open": "2", "high": "3", "low": "4", "close": "5", "volume": "6"}
    assert fetch(tmp_path, lines(*(f"{row},5" for row in rows())), columns=positions).bars.equals(EXPECTED)


def test_disorder_duplicates_and_impossible_prices_are_kept(tmp_path: Path) -> None:
    content = lines(
        HEADER,
        rows()[1],
        rows()[0],
        rows()[0].replace("1.06", "9"),
        rows()[2].replace("1.09", ""),
        rows()[2].replace("1.09", "NaN"),
    )
    bars = fetch(tmp_path, content).bars
    assert bars.opened_at.tolist() == [TIMES[1], TIMES[0], TIMES[0], TIMES[2], TIMES[2]]
    assert bars.close.tolist() == [1.07, 1.06, 9.0, 1.08, 1.08]
    assert np.isnan(bars.high).tolist() == [False, False, False, True, True]


def test_crashes_survive(tmp_path: Path) -> None:
    bars = fetch(tmp_path, lines(HEADER, "1492981200000,1.05,1.07,0.94,1.06,1", *rows()[1:])).bars
    assert bars.low[0] == 0.94


def test_gzip(tmp_path: Path) -> None:
    assert fetch(tmp_path, gzip.compress(lines(HEADER, *rows()).encode()), "eurusd.csv.gz").bars.equals(EXPECTED)
    with pytest.raises(SourceError, match=r"eurusd\.csv\.gz cannot be read"):
        fetch(tmp_path, gzip.compress(lines(HEADER, *rows()).encode())[:-12], "eurusd.csv.gz")
    with pytest.raises(SourceError, match=r"eurusd\.csv\.gz cannot be read"):
        fetch(tmp_path, lines(HEADER, *rows()), "eurusd.csv.gz")


def test_a_packed_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "MAX_BYTES", 1000)
    with pytest.raises(SourceError, match="is too large"):
        fetch(tmp_path, gzip.compress(b"0" * 1001), "eurusd.csv.gz")


def test_another_interval_is_refused(tmp_path: Path) -> None:
    content = lines(HEADER, *(f"{FIRST + minute * 60_000},1,2,1,2,5" for minute in range(50)))
    with pytest.raises(SourceError, match=r"expected 5m \(interval\), was 1m"):
        fetch(tmp_path, content, interval=Interval("5m"))
    with pytest.raises(SourceError, match=r"expected 1s \(interval\), was 1m"):
        fetch(tmp_path, content, interval=Interval("1s"))


def test_a_series_full_of_gaps_is_not_another_interval(tmp_path: Path) -> None:
    minutes = [0, 1, 3, 4, 9, 12, 13, 20, 27, 31]
    content = lines(HEADER, *(f"{FIRST + minute * 60_000},1,2,1,2,5" for minute in minutes))
    assert len(fetch(tmp_path, content, interval=Interval("1m")).bars) == 10


def test_the_files_of_a_folder_come_in_the_order_of_their_bars(tmp_path: Path) -> None:
    folder = tmp_path / "eurusd"
    folder.mkdir()
    (folder / "april.csv").write_text(lines(HEADER, rows()[2]))
    (folder / "february.csv").write_text(lines(HEADER, *rows()[:2]))
    (folder / ".hidden.csv").write_text("x")
    (folder / "README.md").write_text("x")
    raw = fetch(tmp_path, "", "unused.csv", path="{symbol}")
    assert raw.bars.equals(EXPECTED)
    assert raw.origin == "2 files, eurusd/april.csv to february.csv"
    assert fetch(tmp_path, "", "unused.csv", path="{symbol}/*.csv").bars.equals(EXPECTED)
    assert fetch(tmp_path, "", "unused.csv", path=str(folder)).bars.equals(EXPECTED)


def test_one_file_tells_the_order_of_day_and_month_for_the_others(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(lines(HEADER, "03.04.2017 01:00,1,2,1,2,5"))
    (tmp_path / "b.csv").write_text(lines(HEADER, "13.04.2017 01:00,1,2,1,2,5"))
    raw = fetch(tmp_path, "", "unused.txt", path="?.csv")
    assert [iso(time) for time in raw.bars.opened_at.tolist()] == ["2017-04-03T01:00:00Z", "2017-04-13T01:00:00Z"]
    (tmp_path / "c.csv").write_text(lines(HEADER, "04/14/2017 01:00,1,2,1,2,5"))
    with pytest.raises(SourceError, match=r"day-first in .*b.csv and month-first in .*c.csv"):
        fetch(tmp_path, "", "unused.txt", path="?.csv")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nothing.csv", r"no file for EUR/USD: looked for a file or folder .*nothing.csv.*was nothing there"),
        ("{symbol}-1m.csv", r"looked for a file or folder .*eurusd-1m.csv"),
        ("*.csv", r"looked for a pattern .*\*.csv, expected files ending in .csv,"),
        ("empty", r"looked for a file or folder .*empty.*an empty selection"),
    ],
)
def test_missing_files_say_what_was_looked_for(tmp_path: Path, path: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match=message):
        fetch(tmp_path, "", "unused.dat", path=path)


def test_start_and_end_cut(tmp_path: Path) -> None:
    (tmp_path / "eurusd.csv").write_text(lines(HEADER, *rows()))
    source = open_source(FileSource(type="file", path="eurusd.csv"), tmp_path)
    assert source.fetch("EUR/USD", HOUR, TIMES[1], None, 0).bars.opened_at.tolist() == TIMES[1:]
    assert source.fetch("EUR/USD", HOUR, None, TIMES[2], 0).bars.opened_at.tolist() == TIMES[:2]
    assert source.fetch("EUR/USD", HOUR, None, TIMES[2] - 1, 0).bars.opened_at.tolist() == TIMES[:1]


def table(times: pa.Array, name: str = "opened_at") -> pa.Table:
    columns = dict(zip(("Open", "High", "Low", "Close", "Volume"), zip(*VALUES, strict=True), strict=True))
    return pa.table({name: times} | {key: pa.array(value) for key, value in columns.items()})


def parquet(folder: Path, content: pa.Table, **settings: object) -> RawBars:
    pq.write_table(content, folder / "eurusd.parquet")
    source = FileSource.model_validate({"type": "file", "path": "{symbol}.parquet"} | settings)
    return open_source(source, folder).fetch("EUR/USD", HOUR, None, None, 0)


@pytest.mark.parametrize(
    ("times", "settings"),
    [
        (pa.array(TIMES, pa.int64()), {}),
        (pa.array([time * 1000 for time in TIMES], pa.int64()), {}),
        (pa.array(TIMES, pa.timestamp("ms", "UTC")), {}),
        (pa.array(TIMES, pa.timestamp("ms", "America/New_York")), {}),
        (pa.array(TIMES, pa.timestamp("ms")).cast(pa.timestamp("ns")), {}),
        (pa.array([time // 1000 for time in TIMES], pa.timestamp("s")), {}),
        (pa.array([time + 7_200_000 for time in TIMES], pa.timestamp("us")).cast(pa.int64()).cast(pa.timestamp("ms")), {"time_zone": "Europe/Berlin"}),
        (pa.array(["2017-04-23T21:00Z", "2017-04-23T22:00Z", "2017-04-23T23:00Z"]), {}),
        (pa.array(["23.04.2017 21:00", "23.04.2017 22:00", "23.04.2017 23:00"]), {}),
    ],
)  # fmt: skip
def test_parquet_times_of_any_kind(tmp_path: Path, times: pa.Array, settings: dict[str, object]) -> None:
    assert parquet(tmp_path, table(times), **settings).bars.equals(EXPECTED)


def test_parquet_index_float32_decimal_and_null(tmp_path: Path) -> None:
    content = table(pa.array(TIMES, pa.timestamp("ms", "UTC")), "__index_level_0__")
    content = content.set_column(5, "Volume", pa.array([10.5, None, 0], pa.float32()))
    content = content.set_column(1, "Open", content["Open"].cast(pa.decimal128(9, 4)))
    bars = parquet(tmp_path, content).bars
    assert bars.open.tolist() == EXPECTED.open.tolist()
    assert bars.volume[[0, 2]].tolist() == [10.5, 0]
    assert np.isnan(bars.volume[1])


def test_parquet_newest_first_is_turned(tmp_path: Path) -> None:
    raw = parquet(tmp_path, table(pa.array(TIMES)).take([2, 1, 0]))
    assert raw.bars.equals(EXPECTED)
    assert raw.notes == ("time stamps in ms", "newest first")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (table(pa.array(TIMES)).drop_columns("Volume"), "no column for volume"),
        (table(pa.array(["a", "b", "c"])), "time 'a' cannot be read"),
        (table(pa.array(TIMES)).set_column(2, "High", pa.array([["x"]] * 3)), "holds no numbers"),
        (table(pa.array([TIMES[0], None, TIMES[2]])), "row 2: the time is missing"),
        (table(pa.array(TIMES)).append_column("pair", pa.array(["GBPUSD"] * 3)), "names another symbol"),
    ],
)
def test_parquet_that_cannot_be_told_is_refused(tmp_path: Path, content: pa.Table, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        parquet(tmp_path, content)


@pytest.mark.parametrize("cut", [0, 4, 500, -1])
def test_damaged_parquet_is_refused_by_name(tmp_path: Path, cut: int) -> None:
    pq.write_table(table(pa.array(TIMES)), tmp_path / "good.parquet")
    with pytest.raises(SourceError, match=r"file .*eurusd.parquet cannot be read as Parquet"):
        fetch(tmp_path, (tmp_path / "good.parquet").read_bytes()[:cut], "eurusd.parquet")


def test_a_large_file_is_read_like_a_small_one(tmp_path: Path) -> None:
    """Arrow splits files of more than a megabyte into blocks; a fault's line must still be right."""
    many = 60_000
    body = [f"{FIRST + row * 60_000},1.05,1.07,1.04,1.06,{row}" for row in range(many)]
    bars = fetch(tmp_path, lines(HEADER, *body), interval=Interval("1m")).bars
    assert bars.volume.tolist() == list(range(many))
    body[55_555] = f"{FIRST},1.05,oops,1.04,1.06,1"
    with pytest.raises(SourceError, match=r"line 55557: .*'oops'"):
        fetch(tmp_path, lines(HEADER, *body), interval=Interval("1m"))
