"""The bot's own fills: round trips with what they really cost, as Parquet files with the columns of trades.parquet."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tidegate.backtest.costs import BPS
from tidegate.backtest.result import Trades
from tidegate.errors import FiguresRefused


def read_fills(folder: Path, symbols: Sequence[str], *, window_start_at: int, as_of: int) -> Trades:
    """Round trips of some symbols that were entered and left within a window.

    A round trip that stands in two files is counted once.

    Args:
        folder: of the Parquet files.
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
    trades = Trades.concatenate(_read(path) for path in sorted(folder.glob("*.parquet")))
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


def _read(path: Path) -> Trades:
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
        raise FiguresRefused(f"fills in {path} cannot be read: {error}", setting="monitoring.fills") from error
    sane = np.isfinite(trades.cost) & (trades.units > 0) & (trades.entry_price > 0) & (trades.exit_price > 0)
    sane &= np.isfinite(trades.units * (trades.entry_price + trades.exit_price)) & (trades.exit_at >= trades.entry_at)
    if not sane.all():
        raise FiguresRefused(
            f"fill {int(np.argmin(sane))} of {path} cannot be",
            expected="finite cost, prices and units above 0, entry before exit",
            setting="monitoring.fills",
        )
    return trades
