"""Maintenance windows: their time, whom they cover, and an Alertmanager that is away."""

from pathlib import Path

import pytest
from tests.servers import free_port

from tidegate.errors import ConfigurationError, LedgerError
from tidegate.registry.database import Database
from tidegate.registry.events import EventLedger
from tidegate.rollback.maintenance import EVERY, Alertmanager, active, end, start, windows

HOUR = 3_600_000


class Now:
    def __init__(self) -> None:
        self.at = 1_780_000_000_000

    def __call__(self) -> int:
        return self.at


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
def events(tmp_path: Path, now: Now) -> EventLedger:
    return EventLedger(Database(f"sqlite:///{tmp_path}/l.db", clock=now))


def test_a_window_lasts_until_its_end(events: EventLedger, now: Now) -> None:
    window = start(events, "a", until=now.at + HOUR, actor="ann", reason="new disks")
    assert active(events, "a", now.at + HOUR - 1) == window
    assert active(events, "a", now.at + HOUR) is None
    assert active(events, "b", now.at) is None
    assert (window.reason, window.silence, window.warnings) == ("new disks", None, ())


def test_a_window_may_be_ended_earlier_and_twice_equals_once(events: EventLedger, now: Now) -> None:
    window = start(events, "a", until=now.at + HOUR, actor="ann", reason="new disks")
    for _ in range(2):
        assert end(events, window, actor="bob", reason="done") == []
    assert windows(events, now.at) == []
    assert [row.kind for row in events.rows()] == ["maintenance_started", "maintenance_ended"]


def test_a_window_for_all_covers_each(events: EventLedger, now: Now) -> None:
    start(events, "a", until=now.at + HOUR, actor="ann", reason="short")
    whole = start(events, EVERY, until=now.at + 2 * HOUR, actor="ann", reason="long")
    assert active(events, "a", now.at) == active(events, "b", now.at) == whole
    assert len(windows(events, now.at)) == 2
    assert len(windows(events, now.at + HOUR)) == 1


@pytest.mark.parametrize(("after_ms", "reason"), [(0, "x"), (-1, "x"), (7 * 24 * HOUR + 1, "x"), (HOUR, "  ")])
def test_what_is_refused(events: EventLedger, now: Now, after_ms: int, reason: str) -> None:
    with pytest.raises(ConfigurationError):
        start(events, "a", until=now.at + after_ms, actor="ann", reason=reason)
    assert events.rows() == []


def test_an_alertmanager_that_is_away_keeps_nothing_from_starting_or_ending(events: EventLedger, now: Now) -> None:
    away = Alertmanager(f"http://127.0.0.1:{free_port()}", 1.0)
    window = start(events, "a", until=now.at + HOUR, actor="ann", reason="new disks", alertmanager=away)
    assert active(events, "a", now.at) == window
    assert window.silence is None
    assert "could not be reached" in window.warnings[0]
    assert end(events, window, actor="ann", reason="done", alertmanager=away) == []
    assert active(events, "a", now.at) is None


class Recorder(Alertmanager):
    def __init__(self) -> None:
        super().__init__("http://unused", 1.0)
        self.silences: list[str] = []

    def silence(self, strategy: str, starts_at: int, ends_at: int, actor: str, comment: str) -> str:
        del starts_at, ends_at, actor, comment
        self.silences.append(strategy)
        return f"silence of {strategy}"

    def expire(self, silence: str) -> None:
        self.silences.remove(silence.removeprefix("silence of "))


def test_a_window_that_is_not_on_record_leaves_no_silence(events: EventLedger, now: Now) -> None:
    manager = Recorder()
    with pytest.raises(LedgerError):
        start(events, "a", until=now.at + HOUR, actor="a" * 400, reason="x", alertmanager=manager)
    assert manager.silences == []


def test_a_silence_that_cannot_be_reached_any_more_is_told(events: EventLedger, now: Now) -> None:
    window = start(events, "a", until=now.at + HOUR, actor="ann", reason="x", alertmanager=Recorder())
    (warning,) = end(events, window, actor="ann", reason="done")
    assert "silence of a was left" in warning
