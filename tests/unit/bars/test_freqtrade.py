import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather as pa_feather
import pytest

from tidegate.bars.interval import Interval
from tidegate.bars.sources import RawBars, open_source
from tidegate.errors import SourceError
from tidegate.strategy.strategy import FreqtradeSource

T0 = 1_700_000_100_000
TIMES = [T0, T0 + 300_000, T0 + 600_000]
ROWS = [[time, 1.0, 3.0, 0.5, 2.0, 7.25] for time in TIMES]


def feather(path: Path, kind: pa.DataType | None = None, *, drop: str = "") -> None:
    times = pa.array(TIMES, pa.int64()).cast(pa.timestamp("ms", "UTC")).cast(kind or pa.timestamp("ns", "UTC"))
    columns = {"date": times} | {
        name: pa.array([row[place] for row in ROWS], pa.float64())
        for place, name in enumerate(("open", "high", "low", "close", "volume"), 1)
    }
    columns.pop(drop, None)
    pa_feather.write_feather(pa.table(columns), path, compression="lz4")


def fetch(folder: Path, path: str = ".", symbol: str = "BTC/USDT") -> RawBars:
    return open_source(FreqtradeSource(type="freqtrade", path=path), folder).fetch(
        symbol, Interval("5m"), None, None, 0
    )


@pytest.mark.parametrize("kind", [pa.timestamp("ns", "UTC"), pa.timestamp("ms", "UTC"), pa.timestamp("ms")])
def test_feather(tmp_path: Path, kind: pa.DataType) -> None:
    feather(tmp_path / "BTC_USDT-5m.feather", kind)
    raw = fetch(tmp_path)
    assert raw.bars.opened_at.tolist() == TIMES
    assert raw.bars.volume.tolist() == [7.25] * 3
    assert raw.origin == "BTC_USDT-5m.feather"


@pytest.mark.parametrize("name", ["BTC_USDT-5m.json", "BTC_USDT-5m.json.gz"])
def test_json(tmp_path: Path, name: str) -> None:
    rows = [ROWS[0], [*ROWS[1][:4], None, 7.25], ROWS[2]]
    content = json.dumps(rows).encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    raw = fetch(tmp_path)
    assert raw.bars.opened_at.tolist() == TIMES
    assert np.isnan(raw.bars.close).tolist() == [False, True, False]
    assert raw.notes == ("time stamps in ms",)


def test_only_the_pair_and_interval_are_taken_from_a_folder(tmp_path: Path) -> None:
    for name in ("BTC_USDT-5m", "BTC_USDT-1h", "ETH_USDT-5m", "BTC_USDT_USDT-5m-futures", "BTC_USDT-5m-mark"):
        feather(tmp_path / f"{name}.feather")
    assert fetch(tmp_path).origin.endswith("BTC_USDT-5m.feather")
    assert fetch(tmp_path, symbol="BTC/USDT:USDT").origin.endswith("BTC_USDT_USDT-5m-futures.feather")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[[1700000100000, 1, 2", "cannot be read as freqtrade's json"),
        (b"{}", "cannot be read as freqtrade's json"),
        (b"[[1700000100000, 1, 2, 3, 4]]", "cannot be read as freqtrade's json"),
        (b"[1700000100000, 1, 2, 3, 4, 5]", "is not freqtrade's json"),
        (b"[[null, 1, 2, 3, 4, 5]]", "row 1: nan is no time"),
    ],
)
def test_damaged_json_is_refused_by_name(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "BTC_USDT-5m.json").write_bytes(content)
    with pytest.raises(SourceError, match=message) as caught:
        fetch(tmp_path)
    assert "BTC_USDT-5m.json" in str(caught.value)


def test_damaged_feather_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "BTC_USDT-5m.feather"
    feather(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(SourceError, match=r"BTC_USDT-5m.feather cannot be read as feather"):
        fetch(tmp_path)
    feather(path, drop="volume")
    with pytest.raises(SourceError, match="has no column volume"):
        fetch(tmp_path)


def test_none_or_several_files_are_refused(tmp_path: Path) -> None:
    feather(tmp_path / "ETH_USDT-5m.feather")
    with pytest.raises(SourceError, match=r"no freqtrade file of BTC/USDT 5m.*named like BTC_USDT-5m.feather"):
        fetch(tmp_path)
    feather(tmp_path / "BTC_USDT-5m.feather")
    (tmp_path / "BTC_USDT-5m.json").write_text(json.dumps(ROWS))
    with pytest.raises(SourceError, match=r"several files of BTC/USDT 5m.*name the file itself"):
        fetch(tmp_path)
    assert fetch(tmp_path, "BTC_USDT-5m.json").bars.opened_at.tolist() == TIMES
