"""Whatever happens to the bytes of a segment is found, or is a commit that was never acknowledged."""

import shutil
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.unit.serving.log.rows import log_in, row

from tidegate.serving.log.lines import Commit, mark_line, row_line
from tidegate.serving.log.reader import read, verify
from tidegate.serving.log.record import Row

SECTOR: Final = 512
SEGMENT: Final = 20_480
COMMITS: Final = tuple([row(100 * commit + at) for at in range(rows)] for commit, rows in enumerate((1, 3, 2, 1, 4, 1)))
ROWS: Final = [each for commit in COMMITS for each in commit]
EXAMPLES: Final = settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Written(dict[str, bytes]):
    """Contents by suffix, too long for Hypothesis to print."""

    def __repr__(self) -> str:
        return "written"


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidegate.serving.log.scan._PAUSE_S", 0)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """A segment as it is while it is open, and the same when it is closed."""
    folder = tmp_path_factory.mktemp("written")
    log = log_in(folder, segment_bytes=SEGMENT)
    for commit in COMMITS:
        log.append(commit)
        log.commit()
    (path,) = folder.rglob("*.open")
    contents = Written(open=path.read_bytes())
    log.close()
    contents["log"] = path.with_suffix(".log").read_bytes()
    assert len(contents["open"]) == SEGMENT
    assert contents["open"].rstrip(b"\0") == contents["log"][: contents["log"].rindex(b"\n", 0, -1) + 1]
    shutil.rmtree(folder)
    return contents


def laid(folder: Path, kind: str, content: bytes) -> Path:
    own = folder / "a%3A8080"
    own.mkdir(exist_ok=True)
    (own / f"000000000001.{kind}").write_bytes(content)
    return folder


def found(folder: Path) -> tuple[int, list[Row]]:
    """How much damage was told, and the rows that were read all the same."""
    damages: list[object] = []
    rows = list(read(folder, on_corrupt=damages.append))
    assert len(verify(folder).damages) == len(damages)
    return len(damages), rows


@pytest.mark.parametrize("kind", ["open", "log"])
def test_what_nobody_touched_is_whole(tmp_path: Path, written: Written, kind: str) -> None:
    assert found(laid(tmp_path, kind, written[kind])) == (0, ROWS)


@pytest.mark.parametrize("kind", ["open", "log"])
@EXAMPLES
@given(at=st.integers(0, SEGMENT - 1), change=st.integers(1, 255), behind=st.booleans())
def test_a_changed_byte_is_found_and_spoils_no_other_row(
    tmp_path: Path, written: Written, kind: str, at: int, change: int, behind: bool
) -> None:
    content = bytearray(written[kind])
    at %= len(content) if behind else len(written["log"])
    content[at] ^= change
    damages, rows = found(laid(tmp_path, kind, bytes(content)))
    assert damages
    assert all(each in ROWS for each in rows)
    assert len(rows) >= len(ROWS) - 2, "a line feed may join two lines"


def test_every_byte_of_the_last_commit_that_becomes_nul_or_ends_a_line_is_found(
    tmp_path: Path, written: Written
) -> None:
    """NUL is what a torn write leaves, so it is the hardest change to tell, and the last commit is where it could hide."""
    content = written["open"]
    last = content.rindex(b'"request_id":"500"') - 10
    missed = []
    for at in range(last, len(content.rstrip(b"\0"))):
        changed = content[:at] + (b"\n" if content[at] == 0 else b"\0") + content[at + 1 :]
        if not verify(laid(tmp_path, "open", changed)).damages:
            missed.append(at)
    assert missed == []


@pytest.mark.parametrize("which", ["first", "last"])
def test_a_byte_of_the_last_commit_that_has_a_sector_for_itself_is_found_as_well(
    tmp_path: Path, written: Written, which: str
) -> None:
    """Its first byte ends a sector, or its last one begins one: the loss of that sector would look the same."""
    begin = written["open"][: written["open"].index(b"\n") + 1]
    for padding in range(SECTOR):
        first = row_line(row(1, symbol="x" * padding)) + mark_line(Commit(1, 1))
        second = row_line(row(2)) + mark_line(Commit(2, 1))
        start, end = len(begin + first), len(begin + first + second)
        if (start if which == "first" else end - 1) % SECTOR == (SECTOR - 1 if which == "first" else 0):
            break
    content = bytearray((begin + first + second).ljust(SEGMENT, b"\0"))
    assert found(laid(tmp_path, "open", bytes(content)))[0] == 0
    content[start if which == "first" else end - 1] = 0
    assert found(laid(tmp_path, "open", bytes(content)))[0]


@pytest.mark.parametrize("kind", ["open", "log"])
@EXAMPLES
@given(cut=st.integers(0, SEGMENT - 1))
def test_a_file_that_was_cut_short_is_found(tmp_path: Path, written: Written, kind: str, cut: int) -> None:
    content = written[kind]
    damages, rows = found(laid(tmp_path, kind, content[: cut % len(content)]))
    assert damages
    assert rows == ROWS[: len(rows)]


def test_a_closed_file_cut_between_two_lines_is_found(tmp_path: Path, written: Written) -> None:
    lines = written["log"].splitlines(keepends=True)
    for count in range(len(lines)):
        assert found(laid(tmp_path, "log", b"".join(lines[:count])))[0], count


@EXAMPLES
@given(data=st.data())
def test_a_missing_repeated_or_moved_line_is_found(tmp_path: Path, written: Written, data: st.DataObject) -> None:
    lines = written["log"].splitlines(keepends=True)
    at = data.draw(st.integers(0, len(lines) - 1))
    line = lines[at]
    what = data.draw(st.sampled_from(["missing", "repeated", "moved"]))
    if what != "repeated":
        del lines[at]
    if what != "missing":
        lines.insert(data.draw(st.integers(0, len(lines)).filter(lambda to: to != at or what == "repeated")), line)
    changed = b"".join(lines)
    # Rows that change places within their commit are the same rows.
    same_commits = sorted(changed.splitlines()) == sorted(written["log"].splitlines()) and [
        sorted(part.splitlines()) for part in changed.split(b'{"segment"')
    ] == [sorted(part.splitlines()) for part in written["log"].split(b'{"segment"')]
    assert same_commits or found(laid(tmp_path, "log", changed))[0]


@EXAMPLES
@given(
    lost=st.sets(st.integers(0, 7)), rows=st.integers(1, 4), shift=st.integers(0, 600), whole_commits=st.integers(0, 6)
)
@example(lost={1}, rows=1, shift=0, whole_commits=5)
def test_a_torn_commit_is_no_damage_and_none_of_it_is_seen(
    tmp_path: Path, written: Written, lost: set[int], rows: int, shift: int, whole_commits: int
) -> None:
    """Any sectors of the last write may be missing after a power loss: those before it and those lost are as they were."""
    lines = written["open"].rstrip(b"\0").splitlines(keepends=True)
    kept = 1 + sum(len(commit) + 1 for commit in COMMITS[:whole_commits])
    before = b"".join(lines[:kept])
    torn = [row(1000 + at, symbol="x" * shift) for at in range(rows)]
    new = b"".join(map(row_line, torn)) + mark_line(Commit(whole_commits + 1, rows))
    content = bytearray((before + new).ljust(SEGMENT, b"\0"))
    old = before.ljust(SEGMENT, b"\0")
    first = len(before) // SECTOR
    sectors = range(first, (len(before) + len(new) - 1) // SECTOR + 1)
    gone = [sector for sector in sectors if sector - first in lost]
    for sector in gone:
        content[sector * SECTOR : (sector + 1) * SECTOR] = old[sector * SECTOR : (sector + 1) * SECTOR]
    acknowledged = [each for commit in COMMITS[:whole_commits] for each in commit]
    differing = sum(a != b for a, b in zip(content, (before + new).ljust(SEGMENT, b"\0"), strict=True))
    damages, read_rows = found(laid(tmp_path, "open", bytes(content)))
    if differing == 1:  # looks like one changed byte, and is told as such
        return
    assert damages == 0
    assert read_rows == acknowledged + ([] if differing else torn)


@EXAMPLES
@given(at=st.integers(0, 5), sectors=st.integers(1, 3))
def test_zeroed_sectors_before_the_last_commit_are_damage(
    tmp_path: Path, written: Written, at: int, sectors: int
) -> None:
    content = bytearray(written["open"])
    content[at * SECTOR : (at + sectors) * SECTOR] = bytes(sectors * SECTOR)
    assert found(laid(tmp_path, "open", bytes(content)))[0]
