"""The ledger of looks: reserved before the outcome, charged for a year, never given back, and the same look only once."""

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text
from tests.registry_factories import NOW

from tidegate.bars.interval import DAY_MS
from tidegate.errors import LedgerError
from tidegate.registry.database import Database
from tidegate.registry.looks import Look, LookLedger
from tidegate.registry.schema import RowRefused
from tidegate.statistics.spending import Allowance

YEAR, SHARE = 0.05, 0.05 / 12
TODAY = NOW - NOW % DAY_MS


@pytest.fixture
def ledger(tmp_path: Path) -> LookLedger:
    return LookLedger(Database(f"sqlite:///{tmp_path}/ledger.db", clock=lambda: NOW))


def key(number: int) -> str:
    return f"{number:064x}"


def reserve(ledger: LookLedger, number: int, at: int = NOW, strategy: str = "s", year: float = YEAR) -> Allowance:
    return ledger.reserve(strategy, key(number), at, yearly_error=year, looks_per_year=12)


def test_a_look_is_on_record_before_its_outcome_is_known(ledger: LookLedger) -> None:
    assert reserve(ledger, 1).level == SHARE
    assert ledger.looks("s") == [Look("s", key(1), NOW, SHARE, None, None)]
    ledger.record_outcome("s", key(1), p_value=0.02, promote=False)
    assert ledger.looks("s") == [Look("s", key(1), NOW, SHARE, 0.02, False)]


def test_the_same_look_costs_nothing_and_keeps_its_level(ledger: LookLedger) -> None:
    reserve(ledger, 1)
    again = reserve(ledger, 1, NOW + 3 * DAY_MS, year=0.4)
    assert (again.level, again.charged, len(ledger.looks("s"))) == (SHARE, 0.0, 1)


def test_the_first_outcome_of_a_look_stays(ledger: LookLedger) -> None:
    reserve(ledger, 1)
    ledger.record_outcome("s", key(1), p_value=0.02, promote=False)
    ledger.record_outcome("s", key(1), p_value=0.001, promote=True)
    assert ledger.looks("s")[0].p_value == 0.02


@pytest.mark.parametrize("p_value", [math.nan, math.inf])
def test_an_outcome_that_is_no_number_is_kept_as_none(ledger: LookLedger, p_value: float) -> None:
    reserve(ledger, 1)
    ledger.record_outcome("s", key(1), p_value=p_value, promote=False)
    assert (ledger.looks("s")[0].p_value, ledger.looks("s")[0].promote) == (None, False)


def test_an_outcome_without_a_look_is_refused(ledger: LookLedger) -> None:
    with pytest.raises(LedgerError, match="never reserved"):
        ledger.record_outcome("s", key(1), p_value=0.02, promote=True)


def test_twelve_looks_spend_the_year_and_the_thirteenth_gets_nothing(ledger: LookLedger) -> None:
    levels = [reserve(ledger, number, NOW + number * DAY_MS).level for number in range(13)]
    assert levels[:12] == [pytest.approx(SHARE)] * 12
    assert levels[12] == 0.0
    assert sum(levels) == pytest.approx(YEAR)
    assert reserve(ledger, 14, NOW + 12 * DAY_MS).returns_at == TODAY + 365 * DAY_MS
    assert reserve(ledger, 15, TODAY + 365 * DAY_MS).level == pytest.approx(SHARE)


@pytest.mark.parametrize("minutes", [-5, 0, 5])
def test_a_yearly_return_of_the_same_day_is_a_new_year_whatever_the_minute(ledger: LookLedger, minutes: int) -> None:
    noon = TODAY + DAY_MS // 2
    for number in range(12):
        assert reserve(ledger, number, noon + number * 30 * DAY_MS).level == pytest.approx(SHARE)
    assert reserve(ledger, 12, noon + 364 * DAY_MS).level == 0.0
    assert reserve(ledger, 13, noon + 365 * DAY_MS + minutes * 60_000).level == pytest.approx(SHARE)


def test_going_back_in_time_is_no_way_to_a_fresh_budget(ledger: LookLedger) -> None:
    for number in range(12):
        reserve(ledger, number, NOW + number * DAY_MS)
    assert reserve(ledger, 12, NOW - 300 * DAY_MS).level == 0.0
    assert reserve(ledger, 13, NOW - 366 * DAY_MS).level == pytest.approx(SHARE)


def test_each_strategy_has_its_own_budget(ledger: LookLedger) -> None:
    for number in range(12):
        reserve(ledger, number)
    assert (reserve(ledger, 12).level, reserve(ledger, 12, strategy="t").level) == (0.0, SHARE)


def test_a_stricter_budget_counts_what_was_spent_before(ledger: LookLedger) -> None:
    for number in range(3):
        reserve(ledger, number)
    found = reserve(ledger, 3, year=0.01)
    assert found.level == 0.0
    assert found.charged == pytest.approx(3 * SHARE)


def test_looks_that_come_at_once_never_spend_more_than_the_year(tmp_path: Path) -> None:
    def one(number: int) -> float:
        own = LookLedger(Database(f"sqlite:///{tmp_path}/ledger.db", clock=lambda: NOW))
        return reserve(own, number % 20).level

    with ThreadPoolExecutor(8) as pool:
        levels = list(pool.map(one, range(40)))
    found = LookLedger(Database(f"sqlite:///{tmp_path}/ledger.db")).looks("s")
    assert len(found) == 20
    assert sum(look.level for look in found) == pytest.approx(YEAR)
    assert levels.count(0.0) == 2 * 8


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE looks SET level = 0",
        "DELETE FROM looks",
        "UPDATE look_outcomes SET p_value = 0",
        "DELETE FROM look_outcomes",
        "INSERT OR REPLACE INTO looks SELECT id + 1, strategy, look_key, looked_at, 0, yearly_error, looks_per_year, created_at FROM looks",
        "INSERT OR REPLACE INTO looks SELECT id, strategy, 'x', looked_at, 0, yearly_error, looks_per_year, created_at FROM looks",
        "INSERT OR REPLACE INTO look_outcomes SELECT id + 1, look_id, 0, 1, created_at FROM look_outcomes",
    ],
)
def test_no_look_can_be_changed_or_taken_back(ledger: LookLedger, statement: str) -> None:
    reserve(ledger, 1)
    ledger.record_outcome("s", key(1), p_value=0.5, promote=False)
    with pytest.raises(LedgerError, match="append-only"), ledger.database.write() as connection:
        connection.execute(text(statement))
    assert ledger.looks("s") == [Look("s", key(1), NOW, SHARE, 0.5, False)]


def test_a_database_from_before_there_were_looks_gets_their_tables(ledger: LookLedger) -> None:
    reserve(ledger, 1)
    with ledger.database.write() as connection:
        for table in ("looks", "look_outcomes"):
            connection.execute(text(f"DROP TABLE {table}"))
    later = LookLedger(Database(f"sqlite:///{ledger.database.address.removeprefix('sqlite:///')}", clock=lambda: NOW))
    assert later.looks("s") == []
    reserve(later, 2)
    assert [look.key for look in later.looks("s")] == [key(2)]
    with pytest.raises(LedgerError, match="append-only"), later.database.write() as connection:
        connection.execute(text("DELETE FROM looks"))


def test_a_key_that_is_no_digest_is_refused(ledger: LookLedger) -> None:
    with pytest.raises(RowRefused, match="look_key is too long"):
        ledger.reserve("s", "k" * 65, NOW, yearly_error=YEAR, looks_per_year=12)
