from datetime import date, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tidegate.bars.bars import parse_time
from tidegate.bars.sources.stamps import Stamps, read_stamps
from tidegate.errors import SourceError

S = 1_700_000_000  # 2023-11-14T22:13:20Z


def read(cells: list[Any] | pa.Array, *, zone: str = "UTC", day_first: bool | None = None, kind: Any = None) -> Stamps:  # noqa: ANN401
    column = cells if isinstance(cells, pa.Array) else pa.array(cells, kind)
    return read_stamps(column, time_zone=zone, day_first=day_first, where="file.csv, time")


def wall(unit: str) -> pa.Array:
    return pa.array(np.array(["2017-07-03T22:00"], f"datetime64[{unit}]"))


@pytest.mark.parametrize("as_text", [False, True], ids=["numbers", "text"])
@pytest.mark.parametrize(
    ("numbers", "milliseconds", "note"),
    [
        ([S], [S * 1000], "time stamps in s"),
        ([S * 1000 + 7], [S * 1000 + 7], "time stamps in ms"),
        ([S * 1000_000], [S * 1000], "time stamps in us"),
        ([S * 1000_000_000], [S * 1000], "time stamps in ns"),
        ([S, S * 1000, S * 10**6, S * 10**9], [S * 1000] * 4, "time stamps in s and ms and us and ns"),
        ([(S - 60) * 1000, S * 10**6], [(S - 60) * 1000, S * 1000], "time stamps in ms and us"),
        # the borders: 1990 and the last second of 2099
        ([631_152_000, 4_102_444_799], [631_152_000_000, 4_102_444_799_000], "time stamps in s"),
        ([631_152_000_000, 4_102_444_799_999], [631_152_000_000, 4_102_444_799_999], "time stamps in ms"),
    ],
)
def test_each_number_tells_its_own_unit(numbers: list[int], milliseconds: list[int], note: str, as_text: bool) -> None:
    stamps = read([str(number) for number in numbers] if as_text else numbers)
    assert stamps.opened_at.tolist() == milliseconds
    assert stamps.opened_at.dtype == np.int64
    assert stamps.notes == (note,)


@pytest.mark.parametrize(
    ("cells", "milliseconds", "notes"),
    [
        ([float(S)], [S * 1000], ("time stamps in s",)),
        ([S + 0.5], [S * 1000 + 500], ("time stamps in s",)),
        ([f"{S}.25"], [S * 1000 + 250], ("time stamps in s",)),
        (["1.7e9"], [S * 1000], ("time stamps in s",)),
        ([S * 10**6 + 1500], [S * 1000 + 1], ("time stamps in us", "1 times finer than a millisecond were cut off")),
    ],
)
def test_fractions(cells: list[Any], milliseconds: list[int], notes: tuple[str, ...]) -> None:
    stamps = read(cells)
    assert (stamps.opened_at.tolist(), stamps.notes) == (milliseconds, notes)


@pytest.mark.parametrize(
    ("cells", "row"),
    [
        ([0], 1),
        ([S, -5], 2),
        ([43_000.5], 1),  # days of a spreadsheet
        ([631_151_999], 1),
        ([4_102_444_800], 1),
        ([S * 10], 1),  # tenths of a second
        ([S, 10.0**19], 2),
        ([S, float("nan")], 2),
        ([S, float("inf")], 2),
    ],
)
def test_numbers_in_no_range_are_refused_by_row(cells: list[Any], row: int) -> None:
    column = pa.array(cells, pa.float64() if any(isinstance(cell, float) for cell in cells) else pa.int64())
    with pytest.raises(SourceError, match=rf"file.csv, time, row {row}: .* is no time, expected seconds, milli-"):
        read(column)


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("2017-04-03", "2017-04-03T00:00Z"),
        ("2017-04-03 22:00", "2017-04-03T22:00Z"),
        ("2017-04-03T22:05:06", "2017-04-03T22:05:06Z"),
        ("2017-04-03 22:05:06.789", "2017-04-03T22:05:06.789Z"),
        ("2017-04-03T22:05:06.789123", "2017-04-03T22:05:06.789Z"),
        ("2017-04-03T22:00Z", "2017-04-03T22:00Z"),
        ("2017-04-03 22:00+00:00", "2017-04-03T22:00Z"),
        ("2017-04-03T22:00+02:00", "2017-04-03T20:00Z"),
        ("2017-04-03 22:00:00-0530", "2017-04-04T03:30Z"),
        ("2017-04-03 22:00:00 UTC", "2017-04-03T22:00Z"),
        ("2017/4/3 9:00", "2017-04-03T09:00Z"),
        ("2017.04.03 22:00", "2017-04-03T22:00Z"),
        ("20170403", "2017-04-03T00:00Z"),
        ("20170403 220506", "2017-04-03T22:05:06Z"),
        ("20170403220506", "2017-04-03T22:05:06Z"),
        ("201704032205", "2017-04-03T22:05Z"),
        ("20170403T2205", "2017-04-03T22:05Z"),
        ("2017-04-03 10-PM", "2017-04-03T22:00Z"),
        ("2017-04-03 12-AM", "2017-04-03T00:00Z"),
        ("2017-04-03 12:30 PM", "2017-04-03T12:30Z"),
        ("23.04.2017 22:00:00.000", "2017-04-23T22:00Z"),
        ("23/04/2017", "2017-04-23T00:00Z"),
        ("4/23/2017 10:00 PM", "2017-04-23T22:00Z"),
        ("23.04.2017 22:00:00.000 GMT+0100", "2017-04-23T21:00Z"),
        ("23.04.2017 22:00:00.000 GMT-0000", "2017-04-23T22:00Z"),
        ("03 Apr 2017 22:00", "2017-04-03T22:00Z"),
        ("3-April-2017", "2017-04-03T00:00Z"),
        ("Apr 3, 2017", "2017-04-03T00:00Z"),
        ("Mon Apr 03 2017 22:00:00 GMT+0100", "2017-04-03T21:00Z"),
        ("  2017-04-03 22:00  ", "2017-04-03T22:00Z"),
        ("2016-02-29", "2016-02-29T00:00Z"),
    ],
)
def test_written_times(text: str, iso: str) -> None:
    assert read([text]).opened_at.tolist() == [parse_time(iso)]


@pytest.mark.parametrize(
    "text",
    [
        "2017-02-29",
        "2017-13-01",
        "2017-00-10",
        "31.04.2017",
        "2017-04-03 24:00",
        "2017-04-03 22:60",
        "2017/04/03 22:00:60",
        "2017-04-03 13 PM",
        "2017-04-03 22:00 EST",
        "23.04.17 22:00",
        "03 Foo 2017",
        "yesterday",
        "",
    ],
)
def test_what_is_no_time_is_refused_by_row(text: str) -> None:
    with pytest.raises(SourceError, match=r"file.csv, time, row 2: "):
        read(["2017-04-23" if "." not in text else "23.04.2017", text])


def test_a_year_of_two_digits_is_named() -> None:
    with pytest.raises(SourceError, match="was a year of two digits"):
        read(["23.04.17 22:00"])


@pytest.mark.parametrize(
    ("cells", "day_first", "expected"),
    [
        # a number over 12 in any row tells
        (["03.04.2017", "13.04.2017"], None, ["2017-04-03", "2017-04-13"]),
        (["03/04/2017", "04/13/2017"], None, ["2017-03-04", "2017-04-13"]),
        (["03.04.2017"], True, ["2017-04-03"]),
        (["03.04.2017"], False, ["2017-03-04"]),
        (["13.04.2017"], True, ["2017-04-13"]),
    ],
)
def test_order_of_day_and_month(cells: list[str], day_first: bool | None, expected: list[str]) -> None:
    stamps = read(cells, day_first=day_first)
    assert stamps.opened_at.tolist() == [parse_time(text) for text in expected]
    wanted = "day-first dates" if expected[0] == "2017-04-03" or cells == ["13.04.2017"] else "month-first dates"
    assert stamps.notes == (wanted,)


@pytest.mark.parametrize(
    ("cells", "day_first", "message"),
    [
        (["03.04.2017", "12.12.2017"], None, r"cannot be told apart, '03.04.2017' may be either.*source.day_first"),
        (["13.04.2017"], False, r"are day-first, as numbers over 12 show, expected month-first \(source.day_first\)"),
        (["04/13/2017"], True, r"are month-first, as numbers over 12 show, expected day-first"),
        (["13.04.2017", "04.13.2017"], None, r"day-first in some rows and month-first in others"),
        (
            ["2017-04-03", "13.04.2017"],
            None,
            r"row 2: time '13.04.2017' cannot be read, expected dates written year first",
        ),
        (["2017-04-03 01:00Z", "2017-04-03 02:00"], None, r"row 2: no time zone, but other rows name one"),
    ],
)
def test_order_that_cannot_be_told_is_refused(cells: list[str], day_first: bool | None, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        read(cells, day_first=day_first)


@pytest.mark.parametrize(
    ("column", "zone", "iso", "notes"),
    [
        (wall("s"), "UTC", "2017-07-03T22:00Z", ()),
        (wall("ns"), "UTC", "2017-07-03T22:00Z", ()),
        (wall("us").cast(pa.timestamp("us", "UTC")), "UTC", "2017-07-03T22:00Z", ()),
        # a zone in the type wins over the setting
        (pa.array([S * 1000], pa.timestamp("ms", "Asia/Tokyo")), "Europe/Berlin", "2023-11-14T22:13:20Z", ("times carry the zone Asia/Tokyo",)),
        (wall("ms"), "Europe/Berlin", "2017-07-03T20:00Z", ("times read in the zone Europe/Berlin",)),
        (pa.array([date(2017, 7, 3)], pa.date32()), "UTC", "2017-07-03T00:00Z", ()),
        (pa.array(["2017-07-03"]).dictionary_encode(), "UTC", "2017-07-03T00:00Z", ()),
        (pa.array(["2017-07-03"], pa.large_string()), "UTC", "2017-07-03T00:00Z", ()),
        (pa.array(["2017-07-03 22:00"]), "America/New_York", "2017-07-04T02:00Z", ("times read in the zone America/New_York",)),
        (pa.array(["2017-07-03T22:00+09:00"]), "America/New_York", "2017-07-03T13:00Z", ()),
    ],
)  # fmt: skip
def test_types_and_zones(column: pa.Array, zone: str, iso: str, notes: tuple[str, ...]) -> None:
    stamps = read(column, zone=zone)
    assert (stamps.opened_at.tolist(), stamps.notes) == ([parse_time(iso)], notes)


BERLIN_AUTUMN = ["2023-10-29 01:00", "2023-10-29 02:00", "2023-10-29 02:00", "2023-10-29 03:00"]


@pytest.mark.parametrize("newest_first", [False, True])
def test_a_repeated_autumn_hour_is_told_by_the_order_of_rows(newest_first: bool) -> None:
    stamps = read(BERLIN_AUTUMN[::-1] if newest_first else BERLIN_AUTUMN, zone="Europe/Berlin")
    start = datetime(2023, 10, 28, 23, tzinfo=timezone(timedelta()))
    expected = [int((start + timedelta(hours=hour)).timestamp() * 1000) for hour in range(4)]
    assert stamps.opened_at.tolist() == (expected[::-1] if newest_first else expected)
    assert stamps.notes == ("times read in the zone Europe/Berlin", "repeated autumn hour told by the order of rows")


@pytest.mark.parametrize(
    ("cells", "zone", "message"),
    [
        (
            ["2023-10-29 01:00", "2023-10-29 02:00", "2023-10-29 03:00"],
            "Europe/Berlin",
            "has the time 2023-10-29 02:00:00 twice",
        ),
        (["2023-10-29 02:00"] * 3, "Europe/Berlin", "has the time 2023-10-29 02:00:00 twice"),
        (["2023-03-26 02:30"], "Europe/Berlin", r"cannot be read in the zone Europe/Berlin.*source.time_zone"),
        (["2023-03-26 02:30"], "Europe/Atlantis", r"cannot be read in the zone Europe/Atlantis"),
    ],
)
def test_times_that_a_zone_does_not_tell_are_refused(cells: list[str], zone: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        read(cells, zone=zone)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([S, None]), "row 2: the time is missing"),
        (pa.array([True]), "is of type bool"),
    ],
)
def test_unusable_columns_are_refused(column: pa.Array, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        read(column)


def test_no_rows_give_no_times() -> None:
    assert len(read(pa.array([], pa.int64())).opened_at) == 0
