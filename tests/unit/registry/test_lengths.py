"""The longest names that the tables take, and what is said about longer ones; PostgreSQL's side is in tests/integration."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.registry_factories import NOW

from tidegate.dataset.windows import FoldWindows, Window
from tidegate.errors import LedgerError
from tidegate.model.bundle import sha256
from tidegate.registry import schema
from tidegate.registry.database import Database
from tidegate.registry.ledger import Ledger
from tidegate.registry.retrains import RetrainLedger
from tidegate.registry.schema import RowRefused
from tidegate.registry.state import Draft
from tidegate.registry.trials import HoldoutRead, Trial, TrialLedger

TEST = Window(start_at=1, end_at=2)
WINDOWS = FoldWindows(train=Window(start_at=0, end_at=1), test=TEST)


def _act(database: Database, _folder: Path, extra: int) -> None:
    with Ledger(database).writing() as writer:
        writer.append(Draft("s" * schema.STRATEGY, "bar", None, 1, "a" * (schema.ACTOR + extra), "why"), "committed")


def _trial(database: Database, folder: Path, extra: int) -> None:
    returns = folder / "returns.parquet"
    returns.write_bytes(b"r")
    name = "s" * schema.STRATEGY
    trial_id = "t" * (schema.TRIAL_ID + extra)
    TrialLedger(database).record(
        Trial(trial_id, name, f"{name}/2026-11", 0, {}, 7, WINDOWS, None, 1, returns, sha256(b"r"))
    )


def _read(database: Database, _folder: Path, extra: int) -> None:
    read = HoldoutRead("s", "k" * schema.RETRAIN_KEY, "r" * (schema.ACTOR + extra), "a" * 64, TEST)
    TrialLedger(database).record_read(read)


def _retrain(database: Database, _folder: Path, extra: int) -> None:
    with RetrainLedger(database).retrain_lock("s" * schema.STRATEGY, "2026-11") as lock:
        lock.record("finished", as_of=NOW, run_id="r" * (schema.RUN_ID + extra))


WRITES = [
    (_act, "promotion_ledger.actor"),
    (_trial, "trial_ledger.trial_id"),
    (_read, "holdout_reads.reader"),
    (_retrain, "retrain_runs.run_id"),
]


@pytest.mark.parametrize(("write", "column"), WRITES)
def test_the_longest_fits_and_one_more_is_refused(
    tmp_path: Path, write: Callable[[Database, Path, int], None], column: str
) -> None:
    database = Database(f"sqlite:///{tmp_path}/ledger.db", clock=lambda: NOW)
    write(database, tmp_path, 0)
    table = schema.metadata.tables[column.partition(".")[0]]
    with database.read() as connection:
        before = connection.execute(table.select()).all()
    with pytest.raises(RowRefused, match=f"{column} is too long: .*expected at most .* characters, was "):
        write(database, tmp_path, 1)
    with database.read() as connection:
        assert connection.execute(table.select()).all() == before


def test_a_name_that_is_too_long_is_refused_before_a_retrain_begins(tmp_path: Path) -> None:
    retrains = RetrainLedger(Database(f"sqlite:///{tmp_path}/ledger.db"))
    with pytest.raises(LedgerError, match="at most 200 characters"), retrains.retrain_lock("s" * 201, "2026-11"):
        pytest.fail("the retrain began")


def test_a_real_strategys_names_fit() -> None:
    name = "a-strategy-with-a-long-name-of-its-own-and-much-to-say-about-it-btcusdtusdt"
    trial_id = f"{name}/2026-11-20261101T031700-123/fold-100/trial-1000"
    schema.require_fit(schema.trial_ledger, {"strategy": name, "retrain_key": f"{name}/2026-11", "trial_id": trial_id})
