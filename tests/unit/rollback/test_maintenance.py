"""Maintenance windows: their time, whom they cover, and an Alertmanager that is away."""

import json
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

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

    def silence(self, strategies: Sequence[str], starts_at: int, ends_at: int, actor: str, comment: str) -> str:
        del starts_at, ends_at, actor, comment
        self.silences.append(",".join(strategies))
        return f"silence of {self.silences[-1]}"

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


def test_a_window_of_a_strategy_with_a_model_a_symbol_covers_each(events: EventLedger, now: Now) -> None:
    manager, models = Recorder(), ("demo-btcusdt", "demo-ethusdt")
    start(events, "demo", until=now.at + HOUR, actor="ann", reason="x", alertmanager=manager, models=models)
    assert [bool(active(events, name, now.at)) for name in (*models, "demo", "other")] == [True, True, True, False]
    assert manager.silences == ["demo-btcusdt,demo-ethusdt"]


class Answering(BaseHTTPRequestHandler):
    seen: ClassVar[list[tuple[str | None, dict[str, object]]]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.seen.append((self.headers["authorization"], body))
        refused = "zz" in str(body["comment"])
        self.send_response(403 if refused else 200)
        self.end_headers()
        self.wfile.write(b'{"silenceID": "one"}')

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), Answering)
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def test_a_password_in_the_address_is_sent_and_shown_nowhere(events: EventLedger, now: Now, port: int) -> None:
    manager = Alertmanager(f"http://ann:s%40cret@127.0.0.1:{port}/", 5.0)
    assert manager.address == f"http://127.0.0.1:{port}"
    models = ("a.b", "c")
    start(events, "demo", until=now.at + HOUR, actor="ann", reason="x", alertmanager=manager, models=models)
    authorization, body = Answering.seen[-1]
    assert authorization == "Basic YW5uOnNAY3JldA=="
    assert body["matchers"] == [{"name": "strategy", "value": r"a\.b|c", "isRegex": True, "isEqual": True}]
    away = Alertmanager(f"http://ann:s%40cret@127.0.0.1:{free_port()}/", 1.0)
    for other, reason in ((manager, "zz"), (away, "x")):
        window = start(events, "a", until=now.at + HOUR, actor="ann", reason=reason, alertmanager=other)
        assert window.silence is None
        assert "127.0.0.1" in window.warnings[0]
    assert not any("cret" in str(row.content) or "ann:" in str(row.content) for row in events.rows())
