import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import update
from tests.registry_factories import NOW

from tidegate.errors import ConfigurationError, PromotionConflict
from tidegate.registry.database import Database
from tidegate.registry.retrains import RetrainLedger, retrain_key
from tidegate.registry.schema import retrain_locks

STRATEGY, MONTH = "eurusd-sample", "2026-11"


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock) -> RetrainLedger:
    return RetrainLedger(Database(f"sqlite:///{tmp_path}/ledger.db", clock=clock), lease_s=60)


def held_by(ledger: RetrainLedger, holder: str) -> None:
    with ledger.database.write() as connection:
        connection.execute(update(retrain_locks).values(holder=holder))


@pytest.mark.parametrize("month", ["2026-13", "2026-1", "11-2026", ""])
def test_a_month_must_be_one(month: str) -> None:
    with pytest.raises(ConfigurationError, match="YYYY-MM"):
        retrain_key(STRATEGY, month)


def test_one_retrain_at_a_time(ledger: RetrainLedger) -> None:
    with ledger.retrain_lock(STRATEGY, MONTH):
        with pytest.raises(PromotionConflict, match="already running"), ledger.retrain_lock(STRATEGY, MONTH):
            pytest.fail("the lock is held")
        with ledger.retrain_lock(STRATEGY, "2026-12"), ledger.retrain_lock("other", MONTH):
            pass
    with ledger.retrain_lock(STRATEGY, MONTH) as lock:
        assert lock.token == 2


def test_the_lock_is_released_after_an_error(ledger: RetrainLedger) -> None:
    with pytest.raises(ZeroDivisionError), ledger.retrain_lock(STRATEGY, MONTH):
        raise ZeroDivisionError
    with ledger.retrain_lock(STRATEGY, MONTH):
        pass


def test_a_lock_that_nobody_renews_is_taken_over_when_it_expires(ledger: RetrainLedger, clock: Clock) -> None:
    with ledger.retrain_lock(STRATEGY, MONTH) as lock:
        held_by(ledger, "another-machine process 1")
        clock.now += 59_999
        with pytest.raises(PromotionConflict, match="another-machine"), ledger.retrain_lock(STRATEGY, MONTH):
            pytest.fail("it has not expired")
        lock.check()
        clock.now += 1
        with ledger.retrain_lock(STRATEGY, MONTH) as second:
            assert second.token == lock.token + 1
            with pytest.raises(PromotionConflict, match="taken over"):
                lock.check()
            with pytest.raises(PromotionConflict, match="taken over"):
                lock.record("finished", as_of=NOW)
        second.check()
    assert ledger.runs(STRATEGY) == []


def test_an_overtaken_holder_does_not_release_the_new_holders_lock(ledger: RetrainLedger, clock: Clock) -> None:
    old = ledger.retrain_lock(STRATEGY, MONTH)
    old.__enter__()
    clock.now += 60_000
    with ledger.retrain_lock(STRATEGY, MONTH) as new:
        old.__exit__(None, None, None)
        new.check()
        with pytest.raises(PromotionConflict, match="already running"), ledger.retrain_lock(STRATEGY, MONTH):
            pytest.fail("the lock is held")


def test_a_dead_process_of_this_machine_is_taken_over_at_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    script = (
        "import os, signal\n"
        "from tidegate.registry.database import Database\n"
        "from tidegate.registry.retrains import RetrainLedger\n"
        f"with RetrainLedger(Database({url!r})).retrain_lock({STRATEGY!r}, {MONTH!r}) as lock:\n"
        "    lock.record('started', as_of=1)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=60).returncode == -9
    ledger = RetrainLedger(Database(url))
    with ledger.retrain_lock(STRATEGY, MONTH) as lock:
        assert lock.token == 2
    assert [run.state for run in ledger.runs(STRATEGY, MONTH)] == ["started"]
    assert ledger.finished(STRATEGY, MONTH) is None


def test_a_holder_renews_its_lock(tmp_path: Path) -> None:
    ledger = RetrainLedger(Database(f"sqlite:///{tmp_path}/ledger.db"), lease_s=1.0)
    with ledger.retrain_lock(STRATEGY, MONTH) as lock:
        time.sleep(2.0)
        with pytest.raises(PromotionConflict, match="already running"), ledger.retrain_lock(STRATEGY, MONTH):
            pytest.fail("it was renewed")
        lock.check()


def test_a_rerun_in_the_same_month_is_recognised(ledger: RetrainLedger) -> None:
    with ledger.retrain_lock(STRATEGY, MONTH) as lock:
        lock.record("started", as_of=NOW)
        lock.record("finished", as_of=NOW, run_id="abc", version=3)
    found = ledger.finished(STRATEGY, MONTH)
    assert found is not None
    assert (found.run_id, found.version, found.as_of, found.lock_token) == ("abc", 3, NOW, 1)
    assert ledger.finished(STRATEGY, "2026-12") is None
    assert [run.state for run in ledger.runs(STRATEGY)] == ["started", "finished"]
