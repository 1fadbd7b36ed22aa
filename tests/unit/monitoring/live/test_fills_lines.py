"""The bot's fills as JSON lines, which it appends to while others read them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tidegate.backtest.result import Trades
from tidegate.errors import FiguresRefused
from tidegate.monitoring.fills import read_fills

MINUTE = 60_000


def fill(at: int, **changes: object) -> dict[str, Any]:
    """A round trip of one minute that began at minute `at`."""
    times = {"entry_at": at * MINUTE, "exit_at": (at + 1) * MINUTE, "signal_at": at * MINUTE}
    money = {"entry_price": 100.0, "exit_price": 101.5, "units": 2.0, "gross_pnl": 3.0, "cost": 0.25, "net_pnl": 2.75}
    rest = {"net_return": 0.01375, "bars_held": 1, "regime": -1, "forced_exit": False}
    row = {"symbol": "A/USD", "side": 1} | times | money | rest
    assert set(row) == set(Trades.names())
    return row | changes


def written(folder: Path, *rows: object, name: str = "fills.jsonl", end: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (folder / name).write_text("".join(f"{line}\n" for line in lines) + end)
    return folder


def read(folder: Path) -> Trades:
    return read_fills(folder, ["A/USD"], window_start_at=0, as_of=100 * MINUTE)


def test_lines_and_parquet_are_read_together_and_each_fill_once(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = written(tmp_path / "f", fill(5), fill(9, side=-1, cost=1), fill(12, forced_exit=True))
    written(folder, fill(5), fill(2, more="than is asked for"), name="earlier.jsonl")
    columns = {name: np.array([fill(1)[name]]) for name in Trades.names()}
    pq.write_table(pa.table(columns), folder / "earliest.parquet")
    (folder / "notes.txt").write_text("no fill")
    (folder / "decisions.jsonl").write_text('{"target": 1}\n')
    trades = read(folder)
    assert (trades.entry_at // MINUTE).tolist() == [1, 2, 5, 9]
    assert trades.side.tolist() == [1, 1, 1, -1]
    assert trades.cost.tolist() == [0.25, 0.25, 0.25, 1.0]
    assert [str(column.dtype) for column in (trades.units, trades.exit_at)] == ["float64", "int64"]


@pytest.mark.parametrize("end", ["{", json.dumps(fill(7))[:-5], json.dumps(fill(7)), "\N{EURO SIGN}"])
def test_a_last_line_without_its_end_is_left_out(tmp_path: Path, end: str) -> None:
    assert (read(written(tmp_path / "f", fill(5), end=end)).entry_at // MINUTE).tolist() == [5]
    assert len(read(written(tmp_path / "f", end=end))) == 0


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('{"half":', "cannot be read"),
        ("", "cannot be read"),
        ("[1]", "is no JSON object"),
        ({"symbol": "A/USD"}, "lacks columns"),
        (json.dumps(fill(7, cost=float("nan"))), "cannot be read"),
        (json.dumps(fill(7)).replace("101.5", "1e999"), "holds what cannot be"),
        (fill(7, cost=None), "holds what cannot be"),
        (fill(7, cost="0.25"), "holds what cannot be"),
        (fill(7, cost=True), "holds what cannot be"),
        (fill(7, symbol=7), "holds what cannot be"),
        (fill(7, forced_exit=0), "holds what cannot be"),
        (fill(7, entry_at=1.5), "holds what cannot be"),
        (fill(7, exit_at=2**70), "holds what cannot be"),
        (fill(7, side=300), "holds what cannot be"),
        (fill(7, side=0), "cannot be"),
        (fill(7, exit_at=0), "cannot be"),
        (fill(7, units=0.0), "cannot be"),
        (fill(7, exit_price=-1.0), "cannot be"),
    ],
)
def test_anything_else_that_is_malformed_is_refused_with_its_file_and_line(
    tmp_path: Path, line: dict[str, Any] | str, what: str
) -> None:
    with pytest.raises(FiguresRefused, match=rf"line 2 of fills in .*fills\.jsonl {what}"):
        read(written(tmp_path / "f", fill(5), line, fill(9)))


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    (written(tmp_path / "f") / "fills.jsonl").write_bytes(b"\xff\n")
    with pytest.raises(FiguresRefused, match="line 1"):
        read(tmp_path / "f")
    (tmp_path / "f" / "folder.jsonl").mkdir()
    (tmp_path / "f" / "fills.jsonl").unlink()
    with pytest.raises(FiguresRefused, match="cannot be read"):
        read(tmp_path / "f")
