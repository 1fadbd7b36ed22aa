"""The bot's own fills: round trips with what they really cost, as Parquet files or JSON lines with the columns of trades.parquet."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from tidegate.backtest.costs import BPS
from tidegate.backtest.result import Trades
from tidegate.errors import FiguresRefused

_DECISIONS: Final = "decisions.jsonl"
_SMALL: Final = frozenset({"side", "regime"})
_WHOLE: Final = _SMALL | {"entry_at", "exit_at", "signal_at", "bars_held"}
_LARGEST_SMALL: Final = 127
_LARGEST_TIME: Final = 2**53
"""Whole numbers beyond it are no times, and not the same in every language."""


def read_fills(folder: Path, symbols: Sequence[str], *, window_start_at: int, as_of: int) -> Trades:
    """Round trips of some symbols that were entered and left within a window.

    A round trip that stands in two files is counted once.

    Args:
        folder: of the files `*.parquet` and `*.jsonl`. A last line without a line end is one that a bot is writing, or was when it
            was killed, and is left out; so is `decisions.jsonl`, which a bot may write into the same folder.
        symbols: of the strategy.
        window_start_at: UTC ms; entries at or after it.
        as_of: UTC ms; exits at or before it.
    Returns:
        ascending by exit; none where the folder holds none.
    Raises:
        FiguresRefused: the folder or a file cannot be read, lacks a column, or holds values that cannot be.
    """
    if not folder.is_dir():
        raise FiguresRefused(
            f"there is no folder of fills {folder}",
            setting="monitoring.fills",
            next_step="let the bot write its fills there, or leave the setting empty",
        )
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix in _READERS and path.name != _DECISIONS)
    except OSError as error:
        raise _unreadable(f"the folder of fills {folder}", error) from error
    trades = Trades.concatenate(_READERS[path.suffix](path) for path in files)
    chosen = np.isin(trades.symbol, list(symbols)) & (trades.entry_at >= window_start_at) & (trades.exit_at <= as_of)
    trades = trades.take(chosen & ~trades.forced_exit)
    _, first = np.unique(
        [f"{symbol}|{entry}|{exit_at}|{side}" for symbol, entry, exit_at, side in _identity(trades)], return_index=True
    )
    once = trades.take(np.sort(first).astype(np.intp))
    return once.take(np.argsort(once.exit_at, kind="stable"))


def cost_bps(fills: Trades) -> float:
    """All costs over all traded value, so a side, in basis points; NaN without fills."""
    value = float(np.sum(fills.units * (fills.entry_price + fills.exit_price)))
    return float(fills.cost.sum()) / value / BPS if value > 0 else float("nan")


def _identity(trades: Trades) -> list[tuple[str, int, int, int]]:
    columns = (trades.symbol, trades.entry_at, trades.exit_at, trades.side)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def _read_parquet(path: Path) -> Trades:
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
        missing = sorted(set(Trades.names()) - set(table.column_names))
        if missing:
            raise FiguresRefused(f"fills in {path} lack columns", expected="those of trades.parquet", actual=missing)
        nulls = sorted(name for name in Trades.names() if table.column(name).null_count)
        if nulls:
            raise FiguresRefused(f"fills in {path} hold nulls", expected="none", actual=nulls)
        trades = Trades.of(**{name: table.column(name).to_numpy() for name in Trades.names()})
    except (OSError, ValueError, TypeError) as error:  # pyarrow's own errors are kinds of these
        raise _unreadable(f"fills in {path}", error) from error
    return _sane(trades, lambda row: f"fill {row} of {path}")


def _read_lines(path: Path) -> Trades:
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
    except OSError as error:
        raise _unreadable(f"fills in {path}", error) from error
    rows = [_row(line, f"line {number} of fills in {path}") for number, line in enumerate(lines, 1)]
    trades = Trades.of(**{name: [row[name] for row in rows] for name in Trades.names()})
    return _sane(trades, lambda row: f"line {row + 1} of fills in {path}")


_READERS: Final = {".parquet": _read_parquet, ".jsonl": _read_lines}


def _row(line: bytes, where: str) -> dict[str, object]:
    try:
        row = json.loads(line.decode(), parse_constant=_no_number)
    except ValueError as error:  # of what is no UTF-8, too
        raise _unreadable(where, error) from error
    if not isinstance(row, dict):
        raise FiguresRefused(f"{where} is no JSON object", setting="monitoring.fills", actual=type(row).__name__)
    missing = sorted(set(Trades.names()) - set(row))
    if missing:
        raise FiguresRefused(
            f"{where} lacks columns", expected="those of trades.parquet", actual=missing, setting="monitoring.fills"
        )
    wrong = [name for name in Trades.names() if not _fits(name, row[name])]
    if wrong:
        raise FiguresRefused(
            f"{where} holds what cannot be",
            expected="the types of trades.parquet",
            actual={name: row[name] for name in wrong},
            setting="monitoring.fills",
        )
    return row


def _fits(name: str, value: object) -> bool:
    """Whether a value has its column's type; JSON's true is no number, and 1.0 is no count."""
    if name in {"symbol", "forced_exit"}:
        return type(value) is (str if name == "symbol" else bool)
    if name in _WHOLE:
        return type(value) is int and abs(value) <= (_LARGEST_TIME if name not in _SMALL else _LARGEST_SMALL)
    return (type(value) is float and math.isfinite(value)) or (type(value) is int and abs(value) <= _LARGEST_TIME)


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no number of JSON")


def _unreadable(where: str, error: Exception) -> FiguresRefused:
    return FiguresRefused(f"{where} cannot be read: {error}", setting="monitoring.fills")


def _sane(trades: Trades, where: Callable[[int], str]) -> Trades:
    sane = np.isfinite(trades.cost) & (trades.units > 0) & (trades.entry_price > 0) & (trades.exit_price > 0)
    sane &= np.isin(trades.side, (-1, 1))
    sane &= np.isfinite(trades.units * (trades.entry_price + trades.exit_price)) & (trades.exit_at >= trades.entry_at)
    if not sane.all():
        raise FiguresRefused(
            f"{where(int(np.argmin(sane)))} cannot be",
            expected="side 1 or -1, finite cost, prices and units above 0, entry before exit",
            setting="monitoring.fills",
        )
    return trades
