"""The trial ledger and the count of reads of test windows.

Deflated Sharpe, the probability of overfitting and tests for superior ability need every trial's returns, not the winner's metrics;
and a test window that has been looked at many times is no longer unseen. Both tables are append-only by trigger.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from tidegate.dataset.windows import FoldWindows, Window
from tidegate.errors import LedgerError
from tidegate.registry.chain import canonical
from tidegate.registry.database import Database
from tidegate.registry.schema import holdout_reads, require_fit, trial_ledger
from tidegate.settings.settings import Settings


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial: a parameter set tried on one fold.

    Attributes:
        trial_id: unique id; recording the same trial again changes nothing, another trial under its id is refused.
        strategy, retrain_key: the strategy, and strategy + month (see `retrains.retrain_key`).
        fold: index of the fold, oldest is 0.
        parameters: the model's parameters.
        seed: seed of all random choices.
        windows: what it was trained and tested on.
        score: what the search ranked it by, None where it failed.
        rounds: boosting rounds.
        returns_path: Parquet file with the per-period net returns (columns closed_at, net_return).
        returns_sha256: SHA-256 of that file.
    """

    trial_id: str
    strategy: str
    retrain_key: str
    fold: int
    parameters: Mapping[str, Any]
    seed: int
    windows: FoldWindows
    score: float | None
    rounds: int
    returns_path: Path
    returns_sha256: str


@dataclass(frozen=True, slots=True)
class HoldoutRead:
    """One evaluation on a test window: who read which window of which snapshot, for which retrain."""

    strategy: str
    retrain_key: str
    reader: str
    snapshot: str
    window: Window


class TrialLedger:
    """Trials and reads of test windows in one database."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @classmethod
    def from_settings(cls, settings: Settings) -> "TrialLedger":
        """Open the ledger that the settings name; nothing is read or written yet."""
        return cls(Database.from_settings(settings))

    def record(self, *trials: Trial) -> None:
        """Write trials, all or none. A trial that is already there with the same content is left alone.

        Raises:
            LedgerError: a returns file is missing or altered, or another trial has the same id.
        """
        rows = [_row(trial) for trial in trials]
        with self.database.write() as connection:
            for row in rows:
                require_fit(trial_ledger, row)
                found = connection.execute(
                    select(trial_ledger).where(trial_ledger.c.trial_id == row["trial_id"])
                ).mappings()
                known = found.one_or_none()
                if known is None:
                    connection.execute(trial_ledger.insert().values(**row, created_at=self.database.clock()))
                elif any(known[name] != value for name, value in row.items()):
                    differing = sorted(name for name, value in row.items() if known[name] != value)
                    raise LedgerError(f"trial {row['trial_id']} is already recorded with other {', '.join(differing)}")

    def trials(self, strategy: str, retrain_key: str | None = None) -> list[Trial]:
        """A strategy's trials, oldest first; of one retrain when its key is given."""
        query = select(trial_ledger).where(trial_ledger.c.strategy == strategy).order_by(trial_ledger.c.id)
        if retrain_key is not None:
            query = query.where(trial_ledger.c.retrain_key == retrain_key)
        with self.database.read() as connection:
            return [_trial(dict(row)) for row in connection.execute(query).mappings()]

    def count_trials(self, strategy: str) -> int:
        """How many trials a strategy has had in all: the number that a deflated Sharpe ratio needs."""
        query = select(func.count()).select_from(trial_ledger).where(trial_ledger.c.strategy == strategy)
        with self.database.read() as connection:
            return int(connection.execute(query).scalar_one())

    def scores(self, strategy: str) -> dict[str, float]:
        """By trial id, what the search ranked each of a strategy's trials by, over all its runs; NaN where one failed."""
        query = select(trial_ledger.c.trial_id, trial_ledger.c.score).where(trial_ledger.c.strategy == strategy)
        with self.database.read() as connection:
            found = connection.execute(query.order_by(trial_ledger.c.id)).all()
        return {name: math.nan if score is None else float(score) for name, score in found}

    def record_read(self, read: HoldoutRead) -> int:
        """Count one evaluation on a test window and return how often it has been read now, by anyone for this strategy.

        The same reader's same read counts once, so that a task that is run again does not count twice.

        Raises:
            LedgerError: unreachable, busy, or a name is too long.
        """
        row = {
            "strategy": read.strategy,
            "retrain_key": read.retrain_key,
            "reader": read.reader,
            "snapshot": read.snapshot,
            "window_start_at": read.window.start_at,
            "window_end_at": read.window.end_at,
        }
        require_fit(holdout_reads, row)
        with self.database.write() as connection:
            known = select(holdout_reads.c.id).where(*(holdout_reads.c[name] == value for name, value in row.items()))
            if connection.execute(known.limit(1)).first() is None:
                connection.execute(holdout_reads.insert().values(**row, created_at=self.database.clock()))
            return int(connection.execute(_overlapping(read.strategy, read.window)).scalar_one())

    def count_reads(self, strategy: str, window: Window) -> int:
        """How often any part of a window has been read for a strategy, whatever the snapshot was called then."""
        with self.database.read() as connection:
            return int(connection.execute(_overlapping(strategy, window)).scalar_one())


def _overlapping(strategy: str, window: Window) -> Any:  # noqa: ANN401  a typed Select of one integer
    table = holdout_reads.c
    return (
        select(func.count())
        .select_from(holdout_reads)
        .where(table.strategy == strategy, table.window_start_at < window.end_at, table.window_end_at > window.start_at)
    )


def _row(trial: Trial) -> dict[str, Any]:
    try:
        digest = hashlib.sha256(trial.returns_path.read_bytes()).hexdigest()
    except OSError as error:
        raise LedgerError(f"trial {trial.trial_id}: its returns file cannot be read: {error}") from error
    if digest != trial.returns_sha256:
        raise LedgerError(
            f"trial {trial.trial_id}: its returns file {trial.returns_path} is another one",
            expected=trial.returns_sha256,
            actual=digest,
        )
    return {
        "trial_id": trial.trial_id,
        "strategy": trial.strategy,
        "retrain_key": trial.retrain_key,
        "fold": trial.fold,
        "parameters": canonical(dict(trial.parameters)),
        "seed": trial.seed,
        "windows": canonical(trial.windows.model_dump(mode="json")),
        "score": trial.score,
        "rounds": trial.rounds,
        "returns_path": str(trial.returns_path),
        "returns_sha256": trial.returns_sha256,
    }


def _trial(row: dict[str, Any]) -> Trial:
    fields = {name: value for name, value in row.items() if name not in {"id", "created_at"}}
    fields["parameters"] = json.loads(row["parameters"])
    fields["windows"] = FoldWindows.model_validate_json(row["windows"])
    fields["returns_path"] = Path(row["returns_path"])
    return Trial(**fields)
