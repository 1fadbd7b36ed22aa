"""The ledgers on a real PostgreSQL server: what the database itself refuses, and that rows hash as on SQLite."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError
from tests.registry_factories import NOW
from tests.servers import postgresql

from tidegate.dataset.windows import FoldWindows, Window
from tidegate.errors import LedgerError, PromotionConflict
from tidegate.model.bundle import sha256
from tidegate.registry import schema
from tidegate.registry.database import Database
from tidegate.registry.events import EventLedger
from tidegate.registry.ledger import Ledger
from tidegate.registry.looks import Look, LookLedger
from tidegate.registry.retrains import RetrainLedger
from tidegate.registry.state import Draft
from tidegate.registry.trials import HoldoutRead, Trial, TrialLedger

pytestmark = [pytest.mark.servers, pytest.mark.slow]

TABLES = ["promotion_ledger", "trial_ledger", "holdout_reads", "retrain_runs", "events", "looks", "look_outcomes"]
EVENT: dict[str, Any] = {"strategy": "s", "subject": "a", "actor": "ann", "content": {"sharpe": 0.1, "note": "π"}}
BAR = Draft("eurusd-sample", "bar", None, 1, "ann", "schön", None, {"sharpe": 0.1, "note": "π: 50 %"})


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    returns = tmp_path_factory.mktemp("trials") / "returns.parquet"
    returns.write_bytes(b"returns")
    windows = FoldWindows(train=Window(start_at=0, end_at=1), test=Window(start_at=1, end_at=2))
    with postgresql() as found:
        ledger = Ledger(Database(found, clock=lambda: NOW))
        with ledger.writing() as writer:
            writer.append(BAR, "committed")
        reads = TrialLedger(Database(found))
        reads.record(Trial("t", "s", "s/2026-11", 0, {}, 7, windows, None, 1, returns, sha256(b"returns")))
        reads.record_read(HoldoutRead("s", "s/2026-11", "r", "a" * 64, Window(start_at=0, end_at=1)))
        looks = LookLedger(Database(found))
        looks.reserve("s", "a" * 64, NOW, yearly_error=0.05, looks_per_year=12)
        looks.record_outcome("s", "a" * 64, p_value=0.5, promote=False)
        with RetrainLedger(Database(found)).retrain_lock("s", "2026-11") as lock:
            lock.record("finished", as_of=NOW)
        EventLedger(Database(found, clock=lambda: NOW)).append("alarm", **EVENT)
        yield found


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("statement", ["UPDATE {} SET id = id + 1", "DELETE FROM {}", "TRUNCATE {}"])
def test_the_database_refuses_every_change(url: str, table: str, statement: str) -> None:
    engine = create_engine(url)
    with engine.connect() as connection, pytest.raises(DBAPIError, match=f"{table} is append-only"):
        connection.execute(text(statement.format(table)))
    engine.dispose()


def test_looks_that_come_at_once_never_spend_more_than_the_year(url: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def reserve(number: int) -> float:
        ledger = LookLedger(Database(url))
        return ledger.reserve("many", f"{number % 14:064x}", NOW, yearly_error=0.05, looks_per_year=12).level

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(reserve, range(28)))
    found = LookLedger(Database(url)).looks("many")
    assert len(found) == 14
    assert sum(look.level for look in found) == pytest.approx(0.05)
    assert LookLedger(Database(url)).looks("s") == [Look("s", "a" * 64, NOW, 0.05 / 12, 0.5, False)]


def test_a_row_that_forks_the_chain_is_refused(url: str) -> None:
    copy = (
        "INSERT INTO promotion_ledger SELECT 2, strategy, action, from_version, to_version, bundle_digest, state, NULL, 9,"
        " actor, reason, evidence, created_at, previous_hash, 'h' FROM promotion_ledger WHERE id = 1"
    )
    engine = create_engine(url)
    with engine.connect() as connection, pytest.raises(DBAPIError, match="previous_hash must be the last row's hash"):
        connection.execute(text(copy))
    engine.dispose()


def test_both_databases_hash_alike(url: str, tmp_path: Path) -> None:
    sqlite = Ledger(Database(f"sqlite:///{tmp_path}/ledger.db", clock=lambda: NOW))
    with sqlite.writing() as writer:
        writer.append(BAR, "committed")
    on_postgresql = Ledger(Database(url)).rows("eurusd-sample")
    assert on_postgresql == sqlite.rows()
    assert Ledger(Database(url)).verify() == sqlite.verify()


def test_both_databases_hash_events_alike(url: str, tmp_path: Path) -> None:
    other = EventLedger(Database(f"sqlite:///{tmp_path}/ledger.db", clock=lambda: NOW))
    assert other.append("alarm", **EVENT) == EventLedger(Database(url)).rows()[0]
    assert other.verify() == EventLedger(Database(url)).verify()


def test_a_busy_ledger_says_so(url: str) -> None:
    first, second = Ledger(Database(url)), Ledger(Database(url, busy_timeout_s=1))
    with first.writing(), pytest.raises(LedgerError, match="held by another writer"), second.writing():
        pytest.fail("the lock is held")


def test_one_retrain_at_a_time(url: str) -> None:
    first, second = RetrainLedger(Database(url)), RetrainLedger(Database(url))
    with (
        first.retrain_lock("eurusd-sample", "2026-11"),
        pytest.raises(PromotionConflict, match="already running"),
        second.retrain_lock("eurusd-sample", "2026-11"),
    ):
        pytest.fail("the lock is held")


def test_a_new_database_opened_by_many_at_once(url: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("CREATE DATABASE fresh"))
    engine.dispose()
    fresh = url.rpartition("/")[0] + "/fresh"
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: Ledger(Database(fresh)).rows(), range(8)))
    assert found == [[]] * 8


def test_the_longest_names_fit(url: str, tmp_path: Path) -> None:
    returns = tmp_path / "returns.parquet"
    returns.write_bytes(b"returns")
    name = "ä" * schema.STRATEGY
    key, trial_id = f"{name}/2026-11", "t" * schema.TRIAL_ID
    windows = FoldWindows(train=Window(start_at=0, end_at=1), test=Window(start_at=1, end_at=2))
    trials, ledger = TrialLedger(Database(url)), Ledger(Database(url))
    trials.record(Trial(trial_id, name, key, 0, {}, 7, windows, None, 1, returns, sha256(b"returns")))
    trials.record_read(HoldoutRead(name, key, "r" * schema.ACTOR, "a" * 64, windows.test))
    with RetrainLedger(Database(url)).retrain_lock(name, "2026-11") as lock:
        lock.record("finished", as_of=NOW, run_id="r" * schema.RUN_ID)
    with ledger.writing() as writer:
        writer.append(Draft(name, "bar", None, 1, "a" * schema.ACTOR, "why"), "committed")
    assert trials.count_trials(name) == trials.count_reads(name, windows.test) == len(ledger.rows(name)) == 1
    ledger.verify()


def test_a_database_with_shorter_columns_is_widened(url: str) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("CREATE DATABASE older"))
    engine.dispose()
    older = f"{url.rpartition('/')[0]}/older"
    Ledger(Database(older)).rows()
    engine = create_engine(older)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE promotion_ledger ALTER COLUMN strategy TYPE VARCHAR(64)"))
    engine.dispose()
    ledger = Ledger(Database(older))
    with ledger.writing() as writer:
        writer.append(Draft("s" * schema.STRATEGY, "bar", None, 1, "ann", "why"), "committed")
    assert len(ledger.rows()) == 1
