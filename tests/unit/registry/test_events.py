from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DatabaseError

from tidegate.errors import LedgerError
from tidegate.registry.database import Database
from tidegate.registry.events import Event, EventLedger

Adds = Callable[..., Event | None]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(path: Path) -> EventLedger:
    times = iter(range(1_000, 9_000, 1_000))
    return EventLedger(Database(f"sqlite:///{path}", clock=lambda: next(times)))


def add(ledger: EventLedger, subject: str = "daily/1", **changes: Any) -> Event | None:  # noqa: ANN401
    given: dict[str, Any] = {
        "kind": "monitor_run",
        "strategy": "s",
        "subject": subject,
        "actor": "me",
        "content": {"n": 1},
    }
    return ledger.append(**given | changes)


def test_events_come_back_in_order_with_their_content(ledger: EventLedger) -> None:
    add(ledger, content={"rate": 0.1, "name": "é"})
    add(ledger, "daily/2", strategy="t")
    add(ledger, "i/1", kind="alarm")
    assert [(event.id, event.strategy, event.kind, event.subject, event.created_at) for event in ledger.rows()] == [
        (1, "s", "monitor_run", "daily/1", 1_000),
        (2, "t", "monitor_run", "daily/2", 2_000),
        (3, "s", "alarm", "i/1", 3_000),
    ]
    assert ledger.rows()[0].content == {"rate": 0.1, "name": "é"}
    assert [event.id for event in ledger.rows("s")] == [1, 3]
    assert [event.id for event in ledger.rows("s", kinds=("alarm", "decision"))] == [3]
    assert [event.id for event in ledger.rows(subject="daily/2")] == [2]
    assert [event.id for event in ledger.rows(since_ms=2_000)] == [2, 3]


def test_the_newest_of_a_kind(ledger: EventLedger) -> None:
    assert ledger.newest("s", "monitor_run") is None
    add(ledger)
    add(ledger, "daily/2")
    add(ledger, "x", kind="alarm")
    found = ledger.newest("s", "monitor_run")
    assert found is not None
    assert found.subject == "daily/2"


def test_once_adds_nothing_the_second_time(ledger: EventLedger) -> None:
    assert add(ledger, once=True) is not None
    assert add(ledger, once=True, content={"other": True}) is None
    assert add(ledger, once=True, strategy="t") is not None
    assert add(ledger, once=True, kind="alarm") is not None
    assert len(ledger.rows()) == 3


def test_a_condition_sees_the_kinds_it_asks_for(ledger: EventLedger) -> None:
    add(ledger, "i/1", kind="incident_opened")
    add(ledger, "i/2", kind="incident_noted")
    seen: list[list[int]] = []

    def refuse(found: list[Event]) -> bool:
        seen.append([event.id for event in found])
        return False

    common = {"strategy": "s", "subject": "i/9", "actor": "me", "content": {}}
    given: Any = {"kind": "incident_closed", "condition": refuse, **common}
    assert ledger.append_if(**given) is None
    assert ledger.append_if(**given, seen=("incident_opened", "incident_noted")) is None
    assert seen == [[], [1, 2]]


@pytest.mark.parametrize(
    "changes",
    [{"kind": "unheard"}, {"actor": " "}, {"subject": ""}, {"content": {"x": float("nan")}}, {"subject": "x" * 201}],
)
def test_what_no_event_may_be(ledger: EventLedger, changes: dict[str, Any]) -> None:
    with pytest.raises(LedgerError):
        add(ledger, **changes)
    assert ledger.rows() == []


@pytest.mark.parametrize(
    "statement",
    ["UPDATE events SET actor = 'x'", "DELETE FROM events", "INSERT OR REPLACE INTO events SELECT * FROM events"],
)
def test_rows_stay_as_they_were_written(ledger: EventLedger, path: Path, statement: str) -> None:
    add(ledger)
    with (
        pytest.raises(DatabaseError, match="append-only"),
        create_engine(f"sqlite:///{path}").begin() as connection,
    ):
        connection.execute(text(statement))


@pytest.mark.parametrize(
    "statement", ["UPDATE events SET content = '{}' WHERE id = 2", "DELETE FROM events WHERE id = 1"]
)
def test_an_altered_row_is_found(ledger: EventLedger, path: Path, statement: str) -> None:
    for number in range(3):
        add(ledger, f"daily/{number}")
    assert ledger.verify() == ledger.rows()[-1].row_hash
    with create_engine(f"sqlite:///{path}").begin() as connection:
        for trigger in ("events_no_update", "events_no_delete"):
            connection.execute(text(f"DROP TRIGGER {trigger}"))
        connection.execute(text(statement))
    with pytest.raises(LedgerError, match="broken at row 2"):
        ledger.verify()
