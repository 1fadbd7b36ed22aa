"""Which answer counts at a bar, and what the bot held, as tables: one symbol, bars closing at 1, 2, 3, ... minutes."""
# ruff: noqa: ANN401  any field of a row

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.serving.log.rows import log_in, row

from tidegate.bars.bars import Bars
from tidegate.errors import FiguresRefused
from tidegate.monitoring.balance import Standing, balance, standings
from tidegate.monitoring.outcomes import Timeline, timeline
from tidegate.monitoring.predictions import NO_VERSION, Predictions, read_predictions
from tidegate.serving.log.record import Row

MINUTE = 60_000


def bars(count: int) -> Bars:
    ones = np.ones(count)
    return Bars.of(
        "A/USD", "1m", opened_at=np.arange(count) * MINUTE, open=ones, high=ones, low=ones, close=ones, volume=ones
    )


def answer(minute: int | None, target: int | None = 1, version: int | None = 1, after: int = 0, **changes: Any) -> Row:
    """An answer about a bar, `after` ms after the usual time."""
    at = None if minute is None else minute * MINUTE
    received = (minute or 0) * MINUTE + after
    usual: dict[str, Any] = {
        "symbol": "A/USD", "bar_closed_at": at, "received_at": received, "answered_at": received, "version": version,
        "target_position": target, "probability": None if target is None else 0.7, "status": "ok", "features": [1.0],
    }  # fmt: skip
    return row(**{**usual, **changes})


def abstain(minute: int, **changes: Any) -> Row:
    return answer(minute, None, abstain_reason="stale_data", status="abstain", **changes)


def refuse(minute: int | None, **changes: Any) -> Row:
    return answer(minute, None, status="not_ready", **changes)


def halt(after: int) -> Row:
    return answer(None, 0, None, after, abstain_reason="halted", status="abstain", features=None)


def found(folder: Path, rows: list[Row], count: int) -> Predictions:
    log = log_in(folder, sync=False)
    for each in rows:
        log.append([each])
    log.commit()
    log.close()
    return read_predictions(folder, "demo", window_start_at=0, as_of=count * MINUTE)


def line(folder: Path, rows: list[Row], count: int, *, hold: bool = False) -> Timeline:
    return timeline(found(folder, rows, count), bars(count), hold=hold)


@pytest.mark.parametrize(
    ("rows", "version", "target"),
    [
        ([answer(1, 1, 1), answer(1, -1, 2, after=5)], 1, 1),
        ([answer(1, 1, 1, after=5), answer(1, -1, 2)], 2, -1),
        ([answer(1, 1, 1), answer(1, -1, 2)], 2, -1),
        ([abstain(1), answer(1, -1, 2, after=5)], 2, -1),
        ([answer(1, -1, 2, after=5), refuse(1)], 2, -1),
        ([answer(1, 1, 1), answer(1, -1, 2, after=-5, role="shadow")], 1, 1),
        ([answer(1, 1, 1), answer(1, -1, 1, after=5)], 1, 1),
        ([answer(1, 1, 1), answer(1, -1, 2, after=9_000_000)], 1, 1),
        ([abstain(1), abstain(1, version=2, after=5)], 1, 0),
    ],
    ids=[
        "the first received", "whoever gave it", "the newer version of two at one time", "a position before an abstention",
        "a refusal never", "a shadow never", "of retries the first", "an old bar asked again later", "two abstentions",
    ],
)  # fmt: skip
def test_the_answer_that_counts(tmp_path: Path, rows: list[Row], version: int, target: int) -> None:
    for order in (rows, rows[::-1]):
        seen = line(tmp_path / str(order is rows), order, 2)
        assert (seen.version[0], seen.target[0]) == (version, target)


@pytest.mark.parametrize(
    ("rows", "flat", "hold"),
    [
        ([answer(1, 1), answer(2, 1), answer(4, -1)], [1, 1, 0, -1, 0], [1, 1, 1, -1, -1]),
        ([answer(1, 1), abstain(2), answer(3, 1)], [1, 0, 1, 0, 0], [1, 1, 1, 1, 1]),
        ([answer(2, -1), refuse(3), answer(4, 0)], [0, -1, 0, 0, 0], [0, -1, -1, 0, 0]),
        ([answer(1, 1), halt(2 * MINUTE), answer(4, 1)], [1, 0, 0, 1, 0], [1, 0, 0, 1, 1]),
        ([answer(1, 1), answer(2, 1), halt(3 * MINUTE + 7)], [1, 1, 0, 0, 0], [1, 1, 0, 0, 0]),
        ([answer(1, 1), halt(1 * MINUTE - 7), answer(3, 1)], [1, 0, 1, 0, 0], [1, 1, 1, 1, 1]),
        ([], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]),
    ],
    ids=["a gap", "an abstention", "a refusal", "a halt", "a halt to the end", "a halt before", "nothing"],
)
def test_what_was_held(tmp_path: Path, rows: list[Row], flat: list[int], hold: list[int]) -> None:
    assert line(tmp_path / "flat", rows, 5).target.tolist() == flat
    assert line(tmp_path / "hold", rows, 5, hold=True).target.tolist() == hold


@pytest.mark.parametrize(
    ("until", "after", "target", "without_bar"),
    [
        (5 * MINUTE, 5 * MINUTE, [1, 1, 0, 0, 0], 0),
        (5 * MINUTE, 5 * MINUTE + 1, [1, 1, 1, 1, 1], 0),  # a later run of the same time gives the same
        (None, 5 * MINUTE + 1, [1, 1, 0, 0, 0], 0),  # where times of asking tell nothing
        (5 * MINUTE, 1 * MINUTE + 1, [1, 1, 1, 1, 1], 1),  # between two answers, of which it changes neither
    ],
)
def test_a_halt_after_the_time_of_the_run_changes_nothing_up_to_it(
    tmp_path: Path, until: int | None, after: int, target: list[int], without_bar: int
) -> None:
    found(tmp_path, [answer(1, 1), answer(2, 1), halt(after)], 5)
    read = read_predictions(tmp_path, "demo", window_start_at=0, as_of=5 * MINUTE, bar_less_until_ms=until)
    assert timeline(read, bars(5), hold=True).target.tolist() == target
    assert read.without_bar == without_bar


def test_a_bar_belongs_to_the_version_that_answered_the_bar_before(tmp_path: Path) -> None:
    seen = line(tmp_path, [answer(2, 1, 1), answer(3, 1, 2), abstain(5, version=3)], 6)
    assert seen.version.tolist() == [NO_VERSION, 1, 2, 2, 3, 3]
    assert seen.owner().tolist() == [NO_VERSION, NO_VERSION, 1, 2, 2, 3]


@pytest.mark.parametrize(
    ("row_", "standing"),
    [
        (answer(1), Standing.COUNTED),
        (answer(3), Standing.NOT_YET_KNOWN),
        (answer(1, symbol="B/USD"), Standing.UNMATCHED),
        (answer(1, bar_closed_at=MINUTE + 1), Standing.UNMATCHED),
        (abstain(1), Standing.ABSTAINED),
        (refuse(1), Standing.REFUSED),
        (answer(1, role="shadow"), Standing.COUNTED),
    ],
)
def test_what_becomes_of_a_row(tmp_path: Path, row_: Row, standing: Standing) -> None:
    assert standings(found(tmp_path, [row_], 3), {"A/USD": bars(3)}).tolist() == [standing]


def test_the_balance_closes(tmp_path: Path) -> None:
    rows = [
        answer(1), answer(1, after=3), answer(1, -1, 2, after=9), answer(1, role="shadow"), abstain(2), refuse(2, version=None),
        refuse(None, after=MINUTE + 2), halt(MINUTE + 3), answer(4, symbol="C/USD"), answer(5, after=-5), answer(6),
    ]  # fmt: skip
    read = found(tmp_path, rows, 6)
    window = {"A/USD": bars(6)}
    seen = balance(read, window, standings(read, window))
    assert seen.rows == 11
    assert (seen.repeated, seen.superseded, seen.counted) == (1, 1, 3)
    assert (seen.abstained, seen.refused, seen.without_bar) == (1, 1, 2)
    assert (seen.unmatched, seen.not_yet_known, seen.bars_without_answer) == (1, 1, 2)


def test_rows_that_are_lost_are_refused(tmp_path: Path) -> None:
    read = found(tmp_path, [answer(1), answer(2)], 3)
    window = {"A/USD": bars(3)}
    standing = standings(read, window)
    standing[0] = Standing.LOST
    with pytest.raises(FiguresRefused, match="do not add up"):
        balance(read, window, standing)


def test_bars_after_as_of_and_before_the_window_are_outside(tmp_path: Path) -> None:
    rows = [answer(minute) for minute in range(6)]
    log = log_in(tmp_path, sync=False)
    log.append(rows)
    log.commit()
    log.close()
    seen = read_predictions(tmp_path, "demo", window_start_at=MINUTE, as_of=4 * MINUTE)
    assert (seen.closed_at // MINUTE).tolist() == [2, 3, 4]
