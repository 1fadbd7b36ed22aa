"""The form of the files and the canonical rule, as literal tables; they are those of docs/contracts/prediction-log.md."""

import re
from pathlib import Path
from typing import Any, get_args
from zlib import crc32

import msgspec
import pytest
from tests.unit.serving.log.rows import NOW, log_in, row

from tidegate.errors import LogDamaged
from tidegate.serving.log.lines import row_line
from tidegate.serving.log.reader import canonical, read, verify
from tidegate.serving.log.record import Row

PAGE = Path(__file__).parents[4] / "docs" / "contracts" / "prediction-log.md"

SMALL = Row(
    request_id="7f3a", instance="a:8080", strategy="demo", symbol="BTC/USDT", bar_closed_at=1764000000000,
    received_at=1764000000120, answered_at=1764000000121, version=3, bundle_digest="ab", role="production",
    features=[0.1, -2.0], input_digest="cd", probability=0.625, target_position=1, abstain_reason=None,
    out_of_distribution=0.0, data_age_ms=120, status="answered",
)  # fmt: skip


def test_the_page_shows_a_file_as_it_is_written(tmp_path: Path) -> None:
    log = log_in(tmp_path, segment_bytes=16 << 20, now_ms=lambda: 1764000000000)
    log.append([SMALL])
    log.commit()
    log.close()
    (path,) = tmp_path.rglob("*.log")
    assert str(path.relative_to(tmp_path)) == "a%3A8080/000000000001.log"
    shown = re.search(r"```text\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert shown is not None
    assert path.read_text() == shown[1]


def test_a_line_can_be_checked_with_any_crc_32() -> None:
    crc, _, json_text = row_line(SMALL).decode().partition(" ")
    assert json_text.endswith("}\n")
    assert int(crc, 16) == crc32(json_text[:-1].encode())
    assert re.fullmatch(r"[0-9a-f]{8}", crc)


def test_the_page_names_every_column_with_its_type() -> None:
    assert "schema_version" in PAGE.read_text(encoding="utf-8")
    words = {str: "text", int: "integer", float: "float64", list[float]: "list of float64"}
    table = re.findall(r"^\| `(\w+)` \| ([^|]+) \|", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    columns = {name: kind.strip() for name, kind in table}
    fields = {field.name: field.type for field in msgspec.structs.fields(Row) if field.name != "schema_version"}
    assert list(columns) == list(fields)
    for name, type_ in fields.items():
        kinds = get_args(type_) if type(None) in get_args(type_) else (type_,)
        assert ("or null" in columns[name]) == (type(None) in kinds), name
        for kind in kinds:
            assert kind not in words or columns[name].startswith(words[kind]), name


KEY: dict[str, Any] = {"bar_closed_at": NOW}


@pytest.mark.parametrize(
    ("one", "other", "first"),
    [
        # what differs between two rows for one strategy, symbol, bar, version and role; which counts
        ({"received_at": 1}, {"received_at": 2}, "one"),
        ({"received_at": 2}, {"received_at": 1}, "other"),
        ({"instance": "b"}, {"instance": "a"}, "other"),
        ({"request_id": "1"}, {"request_id": "2"}, "one"),
        ({"received_at": 1, "target_position": None}, {"received_at": 2, "target_position": 0}, "other"),
        ({"received_at": 1, "target_position": None}, {"received_at": 2, "target_position": None}, "one"),
        # rows that are not about the same answer
        ({"version": 1}, {"version": 2}, "both"),
        ({"version": None}, {"version": 2}, "both"),
        ({"role": "production"}, {"role": "shadow"}, "both"),
        ({"symbol": "A"}, {"symbol": "B"}, "both"),
        ({"strategy": "a"}, {"strategy": "b"}, "both"),
        ({"bar_closed_at": 1}, {"bar_closed_at": 2}, "both"),
        ({"bar_closed_at": 1}, {"bar_closed_at": None}, "one"),
    ],
)
def test_the_canonical_row(one: dict[str, Any], other: dict[str, Any], first: str) -> None:
    rows = {"one": row(**KEY | one), "other": row(**KEY | other)}
    expected = list(rows.values()) if first == "both" else [rows[first]]
    assert canonical(rows.values()) == canonical(reversed(list(rows.values()))) == expected


def written(folder: Path) -> Path:
    log = log_in(folder)
    for number in range(3):
        log.append([row(number)])
        log.commit()
    log.close()
    (path,) = folder.rglob("*.log")
    path.chmod(0o644)
    return path


@pytest.mark.parametrize(
    ("old", "new", "line", "what", "left"),
    [
        ('"probability":0.6', '"probability":0.7', 3, "the line does not fit its CRC-32", [0, 2]),
        ('"version":3', '"version":4', 1, "the line does not fit its CRC-32", [1, 2]),
        ("begin", "began", 0, "the first line is not that of a segment", [0, 1, 2]),
        ('"segment":"end"', '"segment":"and"', 7, "the line does not fit its CRC-32", [0, 1, 2]),
    ],
)
def test_a_changed_line_is_named_with_its_file_and_offset(
    tmp_path: Path, old: str, new: str, line: int, what: str, left: list[int]
) -> None:
    path = written(tmp_path)
    lines = path.read_text().splitlines(keepends=True)
    assert old in lines[line]
    offset = len("".join(lines[:line]))
    lines[line] = lines[line].replace(old, new)
    path.write_text("".join(lines))
    found = verify(tmp_path).damages
    assert (found[0].path, found[0].offset, found[0].what) == (path, offset, what)
    with pytest.raises(LogDamaged, match=f"{path} is damaged at byte {offset}: {what}"):
        list(read(tmp_path))
    told: list[object] = []
    assert [each.request_id for each in read(tmp_path, on_corrupt=told.append)] == list(map(str, left))
    assert tuple(told) == found


def test_a_missing_file_and_one_in_anothers_place_are_named(tmp_path: Path) -> None:
    for _ in range(3):
        log = log_in(tmp_path)
        log.append([row()])
        log.close()
    own = tmp_path / "a%3A8080"
    (own / "000000000002.log").unlink()
    assert [each.what for each in verify(tmp_path).damages] == ["file 2 of this instance is missing before it"]
    (own / "000000000003.log").rename(own / "000000000002.log")
    assert [each.what for each in verify(tmp_path).damages] == [
        "it is file 3 of instance a:8080 and lies in another's place"
    ]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, [0, 1, 2, 3, 4, 5]),
        ({"since_ms": NOW + 2}, [2, 3, 4, 5]),
        ({"until_ms": NOW + 2}, [0, 1]),
        ({"since_ms": NOW + 1, "until_ms": NOW + 4}, [1, 2, 3]),
        ({"strategy": "other"}, [1, 3, 5]),
        ({"strategy": "none"}, []),
        ({"since_ms": NOW + 6}, []),
        ({"until_ms": NOW}, []),
    ],
)
@pytest.mark.parametrize("closed", [True, False])
def test_rows_of_all_instances_are_merged_and_chosen(
    tmp_path: Path, asked: dict[str, Any], expected: list[int], closed: bool
) -> None:
    logs = [log_in(tmp_path, name) for name in ("a", "b")]
    for number in range(6):
        log = logs[number % 2]
        log.append([row(number, strategy="other" if number % 2 else "demo")])
        log.commit()
    if closed:
        for log in logs:
            log.close()
    assert [int(each.request_id) for each in read(tmp_path, **asked)] == expected
    for log in logs:
        log.close()
