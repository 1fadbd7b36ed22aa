"""Out-of-sample files with fixed names, for later statistics: returns, trades and positions, and the trials' returns."""

import hashlib
import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from tidegate.backtest.result import Backtest, Trades
from tidegate.bars.bars import Floats, Times
from tidegate.errors import DataError
from tidegate.pipeline.fold import Fold, Trial


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A file beside `path` to write to, which takes its place at the end, or goes away when anything is raised."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
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


def write_trial(folder: Path, trial: Trial) -> tuple[Path, str]:
    """Write a trial's per-period net returns as `<SHA-256>.parquet`, so that the same returns are one file, whoever writes them.

    Returns:
        the path and the file's SHA-256.
    """
    content = _parquet({"closed_at": trial.closed_at, "net_return": trial.net_return})
    digest = hashlib.sha256(content).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{digest}.parquet"
    if not path.exists() or path.read_bytes() != content:
        with whole_file(path) as temporary:
            temporary.write_bytes(content)
    return path, digest


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
    with whole_file(path) as temporary:
        temporary.write_bytes(_parquet(columns))


def _parquet(columns: Mapping[str, Any]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    stream = io.BytesIO()
    pq.write_table(pa.table({name: pa.array(values) for name, values in columns.items()}), stream)
    return stream.getvalue()


def read_trial(path: Path, sha256: str) -> tuple[Times, Floats]:
    """Read what `write_trial` wrote.

    Returns:
        closed_at (k,) int64 UTC ms and net_return (k,) float64.
    Raises:
        DataError: the file is missing, or is not the one that was written.
    """
    import pyarrow.parquet as pq

    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"the returns of a trial cannot be read: {error}",
            next_step=f"bring {path} back from a backup; without it nothing can be said about past trials",
        ) from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != sha256:
        raise DataError(f"the returns of a trial, {path}, are others than recorded", expected=sha256, actual=digest)
    table = pq.read_table(io.BytesIO(content))
    return table["closed_at"].to_numpy(), table["net_return"].to_numpy()
