"""Out-of-sample files with fixed names, for later statistics: returns, trades and positions, and the trials' returns."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from tidegate.backtest.result import Backtest, Trades
from tidegate.pipeline.fold import Fold, Trial


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A file beside `path` to write to, which takes its place at the end, or goes away when anything is raised."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_out_of_sample(folder: Path, sides: Mapping[str, Backtest]) -> None:
    """Write `returns.parquet`, `trades.parquet` and `positions.parquet`.

    Args:
        folder: made if it is not there.
        sides: `challenger`, and `champion` where there is one, on the same time stamps.
    """
    folder.mkdir(parents=True, exist_ok=True)
    series = (
        "opened_at",
        "closed_at",
        "net_return",
        "cost",
        "turnover",
        "equity",
        "equity_low",
        "market_return",
        "regime",
    )
    _write(
        folder / "returns.parquet",
        _stack({name: {key: getattr(side, key) for key in series} for name, side in sides.items()}),
    )
    positions = ("opened_at", "closed_at", "position")
    _write(
        folder / "positions.parquet",
        _stack({name: {key: getattr(side, key) for key in positions} for name, side in sides.items()}),
    )
    columns = [field.name for field in fields(Trades)]
    _write(
        folder / "trades.parquet",
        _stack({name: {key: getattr(side.trades, key) for key in columns} for name, side in sides.items()}),
    )


def write_trial(folder: Path, fold: int, number: int, trial: Trial) -> tuple[Path, str]:
    """Write a trial's per-period net returns; returns the path and its SHA-256."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"fold-{fold}-trial-{number}.parquet"
    _write(path, {"closed_at": trial.closed_at, "net_return": trial.net_return})
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def portfolio_positions(folds: tuple[Fold, ...]) -> dict[str, Any]:
    """Every symbol's probability and target, fold by fold, as columns."""
    parts: dict[str, list[Any]] = {"fold": [], "symbol": [], "closed_at": [], "probability": [], "target": []}
    for number, fold in enumerate(folds):
        for symbol, tested in fold.tested.items():
            count = len(tested.bars)
            parts["fold"].append(np.full(count, number))
            parts["symbol"].append(np.full(count, symbol))
            parts["closed_at"].append(tested.bars.closed_at)
            parts["probability"].append(tested.probability)
            parts["target"].append(tested.target)
    return {name: np.concatenate(values) for name, values in parts.items()}


def write_signals(folder: Path, folds: tuple[Fold, ...]) -> None:
    """Write `signals.parquet`: every symbol's probability and target at each close of the test windows."""
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "signals.parquet", portfolio_positions(folds))


def _stack(sides: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    names = next(iter(sides.values())).keys()
    stacked = {name: np.concatenate([side[name] for side in sides.values()]) for name in names}
    role = np.concatenate([np.full(len(next(iter(side.values()))), role) for role, side in sides.items()])
    return {"role": role} | stacked


def _write(path: Path, columns: Mapping[str, Any]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({name: pa.array(values) for name, values in columns.items()})
    with whole_file(path) as temporary:
        pq.write_table(table, temporary)
