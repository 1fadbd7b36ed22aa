import sqlite3
from pathlib import Path
from typing import Any

import pytest
from tests.registry_factories import NOW

from tidegate.errors import ConfigurationError, LedgerError, PromotionConflict
from tidegate.registry.database import Database
from tidegate.registry.ledger import Ledger
from tidegate.registry.state import Draft

STRATEGY = "eurusd-sample"
_COPY = (
    "INSERT INTO promotion_ledger SELECT {id}, strategy, action, from_version, to_version, bundle_digest, 'intent', NULL, 9,"
    " actor, reason, evidence, created_at, {previous}, 'h' FROM promotion_ledger WHERE id = 2"
)
SKIPS_AN_ID = _COPY.format(id=9, previous="row_hash")
FORKS_THE_CHAIN = _COPY.format(id=3, previous="previous_hash")


def draft(action: str = "promote", from_version: int | None = None, to_version: int | None = 1) -> Draft:
    return Draft(STRATEGY, action, from_version, to_version, "ann", "because", "d" * 64, {"sharpe": 1.5})  # type: ignore[arg-type]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger" / "ledger.db"


@pytest.fixture
def ledger(path: Path) -> Ledger:
    return Ledger(Database(f"sqlite:///{path}", busy_timeout_s=1, clock=lambda: NOW))


def promote(ledger: Ledger, from_version: int | None, to_version: int) -> None:
    with ledger.writing() as writer:
        intent = writer.append(draft("promote", from_version, to_version), "intent")
    with ledger.writing() as writer:
        writer.close(intent, "committed", reason="done", evidence={})


def test_rows_come_back_as_written(ledger: Ledger) -> None:
    promote(ledger, None, 1)
    intent, committed = ledger.rows(STRATEGY)
    assert (intent.state, intent.evidence, intent.created_at, intent.fencing_token) == (
        "intent",
        {"sharpe": 1.5},
        NOW,
        1,
    )
    assert (committed.state, committed.intent_id, committed.fencing_token) == ("committed", intent.id, 1)
    assert committed.previous_hash == intent.row_hash
    assert ledger.verify() == committed.row_hash


def test_tokens_rise_per_strategy(ledger: Ledger) -> None:
    promote(ledger, None, 1)
    promote(ledger, 1, 2)
    assert [row.fencing_token for row in ledger.rows(STRATEGY)] == [1, 1, 2, 2]


def test_one_open_intent_a_strategy(ledger: Ledger) -> None:
    with ledger.writing() as writer:
        writer.append(draft(), "intent")
    with pytest.raises(PromotionConflict, match="by ann is under way"), ledger.writing() as writer:
        writer.append(draft(to_version=2), "intent")
    with ledger.writing() as writer:
        writer.append(Draft("other", "promote", None, 1, "ann", "because"), "intent")
    assert len(ledger.rows()) == 2


def test_a_closed_intent_cannot_be_closed_again(ledger: Ledger) -> None:
    with ledger.writing() as writer:
        intent = writer.append(draft(), "intent")
    with ledger.writing() as writer:
        writer.close(intent, "aborted", reason="no", evidence={})
    with pytest.raises(PromotionConflict, match="overtaken"), ledger.writing() as writer:
        writer.close(intent, "committed", reason="late", evidence={})


def test_a_failed_transaction_leaves_nothing(ledger: Ledger) -> None:
    with pytest.raises(ZeroDivisionError), ledger.writing() as writer:  # noqa: PT012
        writer.append(draft(), "intent")
        raise ZeroDivisionError
    assert ledger.rows() == []


def test_evidence_must_be_finite(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="evidence"), ledger.writing() as writer:
        writer.append(Draft(STRATEGY, "bar", None, 1, "ann", "because", None, {"sharpe": float("nan")}), "committed")


def test_actor_and_reason_are_needed(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="actor and a reason"), ledger.writing() as writer:
        writer.append(Draft(STRATEGY, "bar", None, 1, "ann", " "), "committed")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE promotion_ledger SET reason = 'x'",
        "DELETE FROM promotion_ledger",
        "INSERT OR REPLACE INTO promotion_ledger SELECT * FROM promotion_ledger WHERE id = 1",
        SKIPS_AN_ID,
        FORKS_THE_CHAIN,
    ],
)
def test_the_database_itself_refuses(ledger: Ledger, path: Path, statement: str) -> None:
    promote(ledger, None, 1)
    with sqlite3.connect(path) as connection, pytest.raises(sqlite3.IntegrityError):
        connection.execute(statement)
    connection.close()
    ledger.verify()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("reason", "'x'"),
        ("to_version", "9"),
        ("evidence", "'{\"x\":1}'"),
        ("created_at", "0"),
        ("actor", "'bob'"),
        ("row_hash", "'0'"),
    ],
)
def test_the_chain_names_the_first_altered_row(ledger: Ledger, path: Path, column: str, value: str) -> None:
    promote(ledger, None, 1)
    promote(ledger, 1, 2)
    tamper(path, f"UPDATE promotion_ledger SET {column} = {value} WHERE id = 2")  # noqa: S608
    with pytest.raises(LedgerError, match="broken at row 2"):
        ledger.verify()
    with pytest.raises(LedgerError, match="broken at row 2"), ledger.writing():
        pytest.fail("nothing may be added to a broken ledger")


def test_the_chain_notices_a_row_taken_out(ledger: Ledger, path: Path) -> None:
    promote(ledger, None, 1)
    promote(ledger, 1, 2)
    tamper(path, "DELETE FROM promotion_ledger WHERE id = 2")
    with pytest.raises(LedgerError, match="broken at row 3: id"):
        ledger.verify()


def test_a_cut_off_end_is_noticed_with_a_known_head(ledger: Ledger, path: Path) -> None:
    promote(ledger, None, 1)
    head = ledger.verify()
    promote(ledger, 1, 2)
    ledger.verify(head)
    newest = ledger.verify()
    tamper(path, "DELETE FROM promotion_ledger WHERE id > 2")
    ledger.verify(head)
    with pytest.raises(LedgerError, match="cut off"):
        ledger.verify(newest)


def tamper(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    for name in ("update", "delete"):
        connection.execute(f"DROP TRIGGER promotion_ledger_no_{name}")
    connection.execute(statement)
    connection.commit()
    connection.close()


def test_a_busy_ledger_says_so(ledger: Ledger, path: Path) -> None:
    ledger.rows()
    other = sqlite3.connect(path)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(LedgerError, match=r"held by another writer.*busy_timeout_s"), ledger.writing():
        pytest.fail("the lock is held")
    other.close()


def test_reading_waits_for_nobody(ledger: Ledger, path: Path) -> None:
    promote(ledger, None, 1)
    other = sqlite3.connect(path)
    other.execute("BEGIN IMMEDIATE")
    assert len(ledger.rows()) == 2
    other.close()


def test_another_schema_version_is_refused(ledger: Ledger, path: Path) -> None:
    ledger.rows()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE ledger_schema SET version = 2")
    connection.commit()
    connection.close()
    with pytest.raises(LedgerError, match="another schema"):
        Ledger(Database(f"sqlite:///{path}")).rows()


@pytest.mark.parametrize("url", ["sqlite://", "mysql://host/x", "not an address", "nosuch://x"])
def test_unusable_addresses(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"ledger\.url"):
        Database(url)


def test_a_server_that_is_down_is_told_without_the_password() -> None:
    ledger = Ledger(Database("postgresql+psycopg://ann:secret@127.0.0.1:9/tidegate", busy_timeout_s=2))
    with pytest.raises(LedgerError, match=r"cannot be reached.*start the database") as caught:
        ledger.rows()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ({"state": "intent", "token": 2, "intent_id": None}, "an intent of this strategy is still open"),
        ({"state": "committed", "token": 1, "intent_id": None}, "fencing_token must rise"),
        ({"state": "committed", "token": 1, "intent_id": 7}, "must name an open intent"),
        ({"state": "committed", "token": 2, "intent_id": 1}, "must name an open intent"),
    ],
)
def test_the_database_knows_the_rules_of_intents(ledger: Ledger, what: dict[str, Any], message: str) -> None:
    with ledger.writing() as writer:
        writer.append(draft(), "intent")
    with pytest.raises(LedgerError, match=message), ledger.writing() as writer:
        writer._insert(draft(to_version=2), **what)
    assert len(ledger.rows()) == 1
