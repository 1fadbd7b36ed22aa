"""A small market in a file, whose edge ends in the middle, and a strategy that is promoted on it: a month trains in about a second."""

import hashlib
import sqlite3
from contextlib import closing
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tidegate.bars.bars import COLUMNS, Bars, parse_time
from tidegate.bars.interval import Interval
from tidegate.bars.simulated import simulate
from tidegate.replay.plan import Plan, make_plan
from tidegate.settings.settings import Compute, Paths, Settings
from tidegate.strategy.strategy import SimulatedSource, Strategy

FIRST: Final = "2025-06"
EDGE_ENDS_AT: Final = "2025-07-05T00:00:00Z"

CONTENT: dict[str, Any] = {
    "version": 1,
    "name": "small",
    "kind": "real",
    "symbols": ["BTC/USDT"],
    "interval": "30m",
    "features": [
        {"use": "signed_volume", "lengths": [3, 6, 12]},
        {"use": "money_flow", "lengths": [6]},
        {"use": "return", "lengths": [1, 6]},
    ],
    "labels": {"horizon_bars": 8, "volatility_bars": 48},
    "windows": {"train_days": 60, "test_days": 20, "max_folds": 2, "max_age_days": 65},
    "model": {
        "max_depth": 2,
        "max_rounds": 30,
        "early_stopping_rounds": 10,
        "learning_rate": 0.15,
        "min_child_weight": 20,
        "inner_folds": 2,
    },
    "policy": {"margins": [0.08], "take_profit_barriers": 0.5, "stop_barriers": 0.7},
    # What is looked at here is what follows from the gates' word, so all but a few only show.
    "gates": {
        "policy": "checklist",
        **{
            name: {"blocking": False}
            for name in (
                "out_of_sample_folds",
                "win_rate",
                "too_good_win_rate",
                "too_good_sharpe",
                "max_drawdown",
                "newest_fold_sharpe",
                "regime_trending",
                "regime_ranging",
                "regime_volatile",
                "trades",
                "champion",
            )
        },
        "champion_min_days": 15,
    },
    "monitor": {"yearly_false_alarms": 5.0},
}


@cache
def market(symbol: str = "SIM/USD") -> Bars:
    """The bars of the file."""
    source = SimulatedSource(
        type="simulated", seed=3, edge=2.0, starts_at="2025-02-01T00:00:00Z", days=400, edge_ends_at=EDGE_ENDS_AT
    )
    return simulate(symbol, Interval("30m"), source, parse_time("2025-10-01T00:00:00Z"))


def write_bars(path: Path, bars: Bars) -> None:
    """Bars as a Parquet file of any origin."""
    pq.write_table(pa.table({name: getattr(bars, name) for name in COLUMNS}), path)


def poisoned(bars: Bars, from_ms: int) -> Bars:
    """The same bars with other values for all that closed after a time."""
    later = bars.closed_at > from_ms
    changes = {name: np.where(later, getattr(bars, name) * 1.7, getattr(bars, name)) for name in COLUMNS[1:]}
    return replace(bars, **changes)


def small_plan(folder: Path, last: str, bars: Bars | None = None, **changes: Any) -> Plan:  # noqa: ANN401  parts of a strategy file
    """A replay of the small market in a folder of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    write_bars(folder / "bars.parquet", market() if bars is None else bars)
    content = CONTENT | {"source": {"type": "file", "path": "bars.parquet"}} | changes
    settings = Settings(
        paths=Paths(strategies=folder / "strategies", runs=folder / "runs"), compute=Compute(parallel_folds=1)
    )
    return make_plan(Strategy.model_validate(content), settings, folder, FIRST, last)


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file under a folder, by its path there; what is hidden or being written is left out.

    Of a ledger it is that of all its tables and rows as text: SQLite's header also counts how often a file was changed and changed back.
    """
    return {
        str(path.relative_to(folder)): hashlib.sha256(_content(path)).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    }


def _content(path: Path) -> bytes:
    if path.suffix != ".db":
        return path.read_bytes()
    with closing(sqlite3.connect(path)) as connection:
        return "\n".join(sorted(connection.iterdump())).encode()  # indices are made in the order of a set
