"""Incidents: opened once, noted, closed once by a person."""

from pathlib import Path

import pytest

from tidegate.errors import ConfigurationError
from tidegate.registry.database import Database
from tidegate.registry.events import EventLedger
from tidegate.rollback.incidents import (
    close_incident,
    find_incident,
    incidents,
    note_incident,
    open_incident,
    open_incidents,
)

CONTENT = {"act": "rollback", "automatic": True, "watch_until": 9}


@pytest.fixture
def events(tmp_path: Path) -> EventLedger:
    return EventLedger(Database(f"sqlite:///{tmp_path}/l.db", clock=lambda: 5))


def test_an_act_has_one_incident(events: EventLedger) -> None:
    assert open_incident(events, "a", 7, actor="watch", content=CONTENT)
    assert not open_incident(events, "a", 7, actor="flow", content={**CONTENT, "watch_until": 10})
    assert open_incident(events, "b", 8, actor="watch", content=CONTENT)
    assert [one.id for one in incidents(events)] == ["a/7", "b/8"]
    (found,) = open_incidents(events, "a")
    assert (found.strategy, found.opened_at, found.opened_by, found.watch_until) == ("a", 5, "watch", 9)
    assert (found.automatic, found.act, found.is_open, found.watched) == (True, "rollback", True, None)


def test_notes_are_kept_in_order_also_after_closing(events: EventLedger) -> None:
    open_incident(events, "a", 7, actor="watch", content=CONTENT)
    note_incident(events, "a/7", actor="watch", content={"watched": "quiet"})
    note_incident(events, "a/7", actor="ann", content={"note": "looked at it"})
    closed = close_incident(events, "a/7", actor="ann", note=" the exchange's fault ")
    note_incident(events, "a/7", actor="bob", content={"note": "and again"})
    assert (closed.is_open, closed.closed_by, closed.closing_note) == (False, "ann", "the exchange's fault")
    found = find_incident(events, "a/7")
    assert [note.text for note in found.notes] == ["watched: quiet", "looked at it", "and again"]
    assert found.watched == "quiet"
    assert open_incidents(events, "a") == []
    assert not open_incident(events, "a", 7, actor="flow", content=CONTENT)


def test_what_is_refused(events: EventLedger) -> None:
    with pytest.raises(ConfigurationError, match="no incident a/7"):
        note_incident(events, "a/7", actor="ann", content={"note": "x"})
    open_incident(events, "a", 7, actor="watch", content=CONTENT)
    with pytest.raises(ConfigurationError, match="needs a note"):
        close_incident(events, "a/7", actor="ann", note="  ")
    close_incident(events, "a/7", actor="ann", note="done")
    with pytest.raises(ConfigurationError, match="closed by ann: done"):
        close_incident(events, "a/7", actor="bob", note="me too")


def test_an_incident_that_does_not_say_who_acted_counts_as_automatic(events: EventLedger) -> None:
    open_incident(events, "a", 7, actor="watch", content={"watch_until": 9})
    assert find_incident(events, "a/7").automatic
