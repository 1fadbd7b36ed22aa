"""A source's bars month by month: as they came, and no later file opened."""

from pathlib import Path

import numpy as np
import pytest

from tidegate.bars.bars import Bars, parse_time
from tidegate.bars.interval import DAY_MS, Interval
from tidegate.bars.sources.source import RawBars
from tidegate.errors import SourceError
from tidegate.replay.history import History

START = parse_time("2018-01-20")
HOUR = 3_600_000


def bars(count: int) -> Bars:
    at = START + HOUR * np.arange(count)
    price = np.linspace(100.0, 200.0, count)
    return Bars.of("BTC/USDT", "1h", opened_at=at, open=price, high=price, low=price, close=price, volume=price)


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path, Interval("1h"))


def write(history: History, given: Bars) -> None:
    history.write("BTC/USDT", RawBars(given, ("a note",), "a file"))


def test_rows_come_back_as_they_came_disordered_doubled_or_impossible(history: History) -> None:
    given = bars(24 * 40)
    rows = np.array([5, 3, 3, *range(6, len(given))])
    wild = given.take(rows)
    low = wild.low.copy()
    low[7] = np.nan
    wild = Bars.of(
        wild.symbol, "1h", opened_at=wild.opened_at, open=wild.open, high=wild.high, low=low, close=wild.close,
        volume=wild.volume,
    )  # fmt: skip
    write(history, wild)
    found = history.read("BTC/USDT", START, START + 50 * DAY_MS)
    assert found.bars.content_hash() == wild.content_hash()
    assert (found.notes, found.origin) == (("a note",), "a file")


def test_a_bar_that_closes_later_is_not_given(history: History) -> None:
    write(history, bars(24 * 40))
    end = parse_time("2018-02-01")
    assert history.read("BTC/USDT", START, end).bars.closed_at[-1] == end
    assert history.read("BTC/USDT", START, end - 1).bars.closed_at[-1] == end - HOUR
    assert history.read("BTC/USDT", end - HOUR, end).bars.opened_at.tolist() == [end - HOUR]


def test_files_of_later_months_are_not_opened(history: History, tmp_path: Path) -> None:
    write(history, bars(24 * 40))
    (tmp_path / "bars" / "btcusdt" / "month=2018-02.parquet").write_bytes(b"rubbish")
    assert len(history.read("BTC/USDT", START, parse_time("2018-02-01")).bars) == 12 * 24
    assert history.months("BTC/USDT") == {"2018-01", "2018-02"}
    assert len(history.month("BTC/USDT", "2018-01")) == 12 * 24
    assert len(history.month("BTC/USDT", "2018-03")) == 0


def test_the_same_bars_are_written_once_and_others_take_their_place(history: History, tmp_path: Path) -> None:
    write(history, bars(24 * 40))
    path = tmp_path / "bars" / "btcusdt" / "month=2018-01.parquet"
    before = path.stat().st_ino
    write(history, bars(24 * 40))
    assert path.stat().st_ino == before
    write(history, bars(24 * 41))
    assert path.stat().st_ino != before


def test_nothing_collected_is_told(history: History) -> None:
    with pytest.raises(SourceError, match="holds no bars of BTC/USDT"):
        history.read("BTC/USDT", 0, START)
