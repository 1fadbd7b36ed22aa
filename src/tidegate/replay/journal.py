r"""What a path has lived through, month by month on disk: a process that is killed at any moment loses at most the month under way.

::

    <replay>/paths/deployed-2018-01-<digest>/2018-01/record.json    what is told of the month
                                                     series.npz     what was earned, bar by bar
                                                     state          who trades, the registry's side
                                                     ledger.db      the path's ledgers after the month
                                                     chain          digest of everything that went in, this month and before
                                             work/                  the ledgers that are being written

A month's folder appears whole, the copy of the ledgers in it, so record, positions and ledgers always are of one moment.
"""

import hashlib
import io
import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import numpy as np
from pydantic import TypeAdapter

from tidegate.backtest.result import Trades
from tidegate.errors import LedgerError
from tidegate.replay.life import Stepped
from tidegate.replay.result import MonthRecord
from tidegate.replay.trading import Traded
from tidegate.replay.trained import seal, work_folder

LEDGER: Final = "ledger.db"
_RECORD, _SERIES, _STATE, _CHAIN = "record.json", "series.npz", "state", "chain"
_RECORDS: Final = TypeAdapter(MonthRecord)
_COLUMNS: Final = ("closed_at", "net_return", "cost", "position")


class Journal:
    """The months of one path.

    Args:
        folder: the path's own.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def work(self) -> Path:
        """Where the ledgers are that are being written."""
        return self.folder / "work"

    def sweep(self) -> None:
        """Remove what a killed process had begun to write."""
        for left in self.folder.glob(".*"):
            shutil.rmtree(left, ignore_errors=True)

    def holds(self, month: str, chain: str) -> bool:
        """Whether a month was lived through with just these inputs, and just these before it."""
        path = self.folder / month / _CHAIN
        return path.exists() and path.read_text(encoding="utf-8") == chain

    def begin(self, month: str | None) -> str:
        """Lay out the ledgers as they were after a month, None for none; returns the state then.

        Raises:
            OSError: the files cannot be read or written.
        """
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True)
        if month is None:
            return ""
        kept = self.folder / month / LEDGER
        if kept.exists():
            shutil.copyfile(kept, self.work / LEDGER)
        return (self.folder / month / _STATE).read_text(encoding="utf-8")

    def read(self, month: str) -> Stepped:
        """A month as it was kept.

        Raises:
            LedgerError: its files are damaged.
        """
        folder = self.folder / month
        try:
            record = _RECORDS.validate_json((folder / _RECORD).read_bytes())
            with np.load(folder / _SERIES, allow_pickle=False) as archive:
                series = {name: archive[name] for name in _COLUMNS}
                trades = Trades(**{name: archive[f"trades.{name}"] for name in Trades.names()})
        except (OSError, ValueError, KeyError) as error:
            raise LedgerError(
                f"the replay's month {folder} is damaged: {error}",
                next_step=f"remove {self.folder} and replay again: trained months are not lost",
            ) from error
        return Stepped(record, Traded(**series, trades=trades))

    def keep(self, month: str, chain: str, stepped: Stepped, state: str) -> None:
        """Keep a month for good; one of other inputs makes way.

        Raises:
            OSError: the files cannot be written.
        """
        target = self.folder / month
        if target.exists():
            shutil.rmtree(target)
        with work_folder(self.folder, month) as place:
            temporary = Path(place) / month
            temporary.mkdir()
            (temporary / _RECORD).write_bytes(_RECORDS.dump_json(stepped.record, indent=1) + b"\n")
            (temporary / _SERIES).write_bytes(_series(stepped.traded))
            (temporary / _STATE).write_text(state, encoding="utf-8")
            (temporary / _CHAIN).write_text(chain, encoding="utf-8")
            if (self.work / LEDGER).exists():
                _copy(self.work / LEDGER, temporary / LEDGER)
            seal(temporary, target)


def chained(before: str, *parts: str) -> str:
    """The digest of a month's inputs and of all before it."""
    return hashlib.sha256(json.dumps([before, *parts]).encode()).hexdigest()


def _copy(source: Path, target: Path) -> None:
    """A copy of a SQLite database as of one moment, in one file without a log beside it."""
    with closing(sqlite3.connect(source)) as connection:
        connection.execute("VACUUM INTO ?", (str(target),))


def _series(traded: Traded) -> bytes:
    stream = io.BytesIO()
    columns = {name: getattr(traded, name) for name in _COLUMNS}
    columns |= {f"trades.{name}": getattr(traded.trades, name) for name in Trades.names()}
    write: Callable[..., None] = np.savez_compressed
    write(stream, allow_pickle=False, **columns)
    return stream.getvalue()
