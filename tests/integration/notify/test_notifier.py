"""The notifier with a real ledger and real receivers: recorded first, proven after, once for each receiver, and never raising."""

import json
import logging
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tests.integration.notify.receivers import hang, mail_receiver, status, web_receiver
from tests.servers import free_port, postgresql

from tidegate.errors import LedgerError
from tidegate.notify.notifier import Notifier
from tidegate.registry.database import Database
from tidegate.registry.events import EventLedger
from tidegate.settings.operations import Notify
from tidegate.settings.settings import Settings

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


class Clock:
    """A clock that moves when told to."""

    now_ms = 1_780_000_000_000

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def events(tmp_path: Path, clock: Clock) -> EventLedger:
    return EventLedger(Database(f"sqlite:///{tmp_path}/ledger.db", clock=clock))


def notifier(events: EventLedger, *urls: str, background: bool = False, **changes: object) -> Notifier:
    given: dict[str, object] = {"webhook_urls": urls, "timeout_s": 2.0, "attempts": 2}
    settings = Settings(notify=Notify.model_validate(given | changes))
    return Notifier(settings, events, background=background, pause_s=0.01)


def told(events: EventLedger) -> list[tuple[str, str]]:
    return [(event.subject, event.content["state"]) for event in events.rows()]


def contents(events: EventLedger, state: str) -> list[dict[str, Any]]:
    return [event.content for event in events.rows() if event.content["state"] == state]


def test_it_is_recorded_before_anybody_is_told_and_proven_after(events: EventLedger) -> None:
    seen: list[list[tuple[str, str]]] = []

    def look(handler: Any) -> None:  # noqa: ANN401
        seen.append(told(events))
        status(200, b"ok")(handler)

    with web_receiver(look) as receiver:
        sender = notifier(events, receiver.url)
        sender.send("critical", "rolled back", "v4 -> v3", strategy="s", subject="incident/7")
    assert seen == [[("incident/7", "pending"), ("incident/7", "trying")]]
    assert told(events)[2:] == [("incident/7", "delivered")]
    (event,) = events.rows(kinds={"notification"}, subject="incident/7")[2:]
    assert (event.strategy, event.content["channel"], event.content["tries"]) == ("s", sender.channels[0], 1)
    assert event.content["proof"]["status"] == 200
    assert json.loads(receiver.posts[0].body)["id"] == event.content["id"]
    assert sender.undelivered() == []
    events.verify()


def test_every_receiver_has_its_own_proof_and_one_that_hangs_does_not_hold_up_the_others(events: EventLedger) -> None:
    with web_receiver(hang) as slow, web_receiver() as fast, mail_receiver({"RCPT": [b"550 no such user"]}) as mail:
        sender = notifier(
            events,
            slow.url,
            fast.url,
            smtp_host="127.0.0.1",
            smtp_port=mail.port,
            smtp_security="none",
            mail_to=("a@x.example", "b@x.example"),
            attempts=1,
            timeout_s=1.0,
        )
        began = time.monotonic()
        sender.send("critical", "t", "b", strategy="s")
        assert time.monotonic() - began < 4
    delivered = {content["channel"] for content in contents(events, "delivered")}
    failed = {content["channel"]: content["reason"] for content in contents(events, "failed")}
    assert len(delivered) == len(failed) == 2
    assert sender.channels[1] in delivered
    assert failed[sender.channels[0]].startswith("no answer: TimeoutError")
    assert "SMTP 550 no such user" in failed.values()
    (left,) = sender.undelivered()
    assert set(left.missing(sender.channels)) == set(failed)


def test_what_failed_is_tried_again_when_it_is_due_and_only_by_the_channel_that_failed(
    events: EventLedger, clock: Clock
) -> None:
    with web_receiver(status(503), status(503), status(503), status(503), status(200)) as ill, web_receiver() as well:
        sender = notifier(events, ill.url, well.url)
        sender.send("warning", "t", "b", strategy="s")
        assert (len(ill.posts), len(well.posts)) == (2, 1)
        assert len(sender.retry()) == 1
        assert len(ill.posts) == 2, "not due yet"
        clock.now_ms += MINUTE
        assert len(sender.retry()) == 1
        assert len(ill.posts) == 4
        clock.now_ms += 2 * MINUTE - 1
        assert len(sender.retry()) == 1
        assert len(ill.posts) == 4, "the second pause is twice as long"
        clock.now_ms += 1
        assert sender.retry() == []
    assert (len(ill.posts), len(well.posts)) == (5, 1)
    assert len({post.headers["X-Tidegate-Id"] for post in [*ill.posts, *well.posts]}) == 1
    assert sender.retry() == []


def test_after_three_days_only_a_person_tries_again(events: EventLedger, clock: Clock) -> None:
    with web_receiver(status(503), status(503), status(204)) as receiver:
        sender = notifier(events, receiver.url)
        sender.send("warning", "t", "b")
        clock.now_ms += 3 * DAY + 1
        assert len(sender.retry()) == 1
        assert len(receiver.posts) == 2
        assert sender.retry(at_once=True) == []
    assert len(receiver.posts) == 3


def test_in_one_round_of_retries_a_channel_that_is_down_is_tried_once(events: EventLedger, clock: Clock) -> None:
    with web_receiver(status(503)) as receiver:
        sender = notifier(events, receiver.url, attempts=1)
        for title in "abc":
            sender.send("warning", title, "b")
        clock.now_ms += MINUTE
        assert len(sender.retry()) == 3
        assert len(receiver.posts) == 4


def test_the_same_title_is_sent_once_an_hour(events: EventLedger, clock: Clock) -> None:
    with web_receiver() as receiver:
        sender = notifier(events, receiver.url)
        for _ in range(3):
            sender.send("warning", "late data", "b", strategy="s")
            clock.now_ms += MINUTE
        sender.send("warning", "late data", "b", strategy="other")
        sender.send("critical", "late data", "b", strategy="s")
        sender.send("warning", "late data", "b", strategy="s")
        assert len(receiver.posts) == 3
        assert [content["of"] for content in contents(events, "repeated")[:2]] == [
            json.loads(receiver.posts[0].body)["id"]
        ] * 2
        clock.now_ms += HOUR
        sender.send("warning", "late data", "b", strategy="s")
        assert len(receiver.posts) == 4
    assert len(contents(events, "pending")) == 7, "every one is recorded"
    assert sender.undelivered() == []


def test_a_second_incident_is_told_though_its_title_is_the_same(
    events: EventLedger, away: EventLedger, tmp_path: Path
) -> None:
    for ledger in (events, away):
        with web_receiver() as receiver:
            sender = notifier(ledger, receiver.url)
            for subject in ("s/6", "s/9", "s/9"):
                sender.send("critical", "s rolled back from v2 to v1", subject, strategy="s", subject=subject)
            assert [json.loads(post.body)["subject"] for post in receiver.posts] == ["s/6", "s/9"]
    (tmp_path / "there").mkdir()
    away.verify()


def test_below_the_least_severity_it_is_only_recorded(events: EventLedger) -> None:
    with web_receiver() as receiver:
        sender = notifier(events, receiver.url, least="critical")
        sender.send("warning", "t", "b")
        assert receiver.posts == []
        assert (told(events)[0][1], sender.undelivered()) == ("recorded", [])
        sender.send("critical", "t", "b")
        assert len(receiver.posts) == 1, "what was not sent makes nothing a repetition"


def test_without_channels_it_is_recorded_and_nobody_is_owed_anything(events: EventLedger) -> None:
    sender = notifier(events)
    sender.send("critical", "t", "b")
    assert ([state for _, state in told(events)], sender.undelivered(), sender.retry()) == (["recorded"], [], [])


def test_several_processes_deliver_it_once(events: EventLedger, clock: Clock) -> None:
    with web_receiver(status(503), status(204)) as receiver:
        first = notifier(events, receiver.url, attempts=1)
        first.send("critical", "t", "b")
        clock.now_ms += MINUTE
        others = [notifier(EventLedger(events.database), receiver.url, attempts=1) for _ in range(6)]
        start = threading.Barrier(len(others))

        def go(other: Notifier) -> None:
            start.wait()
            other.retry()

        threads = [threading.Thread(target=go, args=(other,)) for other in others]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(receiver.posts) == 2
    assert len(contents(events, "delivered")) == 1


DIES = """
import os, sys
from pathlib import Path
from tidegate.notify.notifier import Notifier
from tidegate.registry.database import Database
from tidegate.registry.events import EventLedger
from tidegate.settings.operations import Notify
from tidegate.settings.settings import Settings
events = EventLedger(Database(f"sqlite:///{sys.argv[1]}/ledger.db", clock=lambda: int(sys.argv[2])))
notify = Notify(webhook_urls=(sys.argv[3],), attempts=1, timeout_s=2.0)
Notifier(Settings(notify=notify), events).send("critical", "t", "b", strategy="s")
"""


def test_what_a_killed_process_had_claimed_another_delivers_once_the_claim_has_run_out(
    events: EventLedger, clock: Clock, tmp_path: Path
) -> None:
    arrived = threading.Event()

    def told_and_stuck(handler: Any) -> None:  # noqa: ANN401
        del handler
        arrived.set()
        time.sleep(1)

    with web_receiver(told_and_stuck, status(204)) as receiver:
        dying = subprocess.Popen([sys.executable, "-c", DIES, tmp_path, str(clock.now_ms), receiver.url])
        assert arrived.wait(20)
        dying.kill()
        dying.wait()
        sender = notifier(events, receiver.url, attempts=1)
        assert [found.title for found in sender.retry()] == ["t"]
        assert len(receiver.posts) == 1, "it is claimed"
        clock.now_ms += 60_000
        assert sender.retry() == []
    assert len({post.headers["X-Tidegate-Id"] for post in receiver.posts}) == 1
    assert len(receiver.posts) == 2


def test_in_the_background_nobody_waits(events: EventLedger) -> None:
    with web_receiver(hang) as receiver:
        sender = notifier(events, receiver.url, background=True, attempts=1, timeout_s=1.0)
        began = time.monotonic()
        sender.send("critical", "t", "b")
        assert time.monotonic() - began < 0.9
        sender.close()
    assert [state for _, state in told(events)] == ["pending", "trying", "failed"]


def test_a_test_is_sent_whatever_the_severity_and_is_never_tried_again(events: EventLedger, clock: Clock) -> None:
    with web_receiver(status(500)) as receiver:
        sender = notifier(events, receiver.url, least="critical", attempts=1)
        for _ in range(2):
            (outcome,) = sender.test()
            assert (outcome.proof, outcome.reason) == (None, "HTTP 500")
        clock.now_ms += HOUR
        assert sender.retry() == []
    assert len(receiver.posts) == 2


@pytest.fixture
def away(tmp_path: Path, clock: Clock) -> EventLedger:
    """A ledger that cannot be reached until its folder is made a folder."""
    (tmp_path / "there").mkdir()
    ledger = EventLedger(Database(f"sqlite:///{tmp_path}/there/ledger.db", busy_timeout_s=1, clock=clock))
    (tmp_path / "there").rmdir()
    return ledger


def test_without_a_ledger_it_is_sent_once_an_hour_and_written_down_later(
    away: EventLedger, clock: Clock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with web_receiver(status(503), status(204)) as receiver, caplog.at_level(logging.ERROR):
        sender = notifier(away, receiver.url, attempts=1)
        sender.send("critical", "the ledger is away", "b", strategy="s")
        sender.send("critical", "the ledger is away", "b", strategy="s")
        sender.send("critical", "something else", "b", strategy="s")
        assert len(receiver.posts) == 2
        assert "is not in the ledger yet" in caplog.text
        with pytest.raises(LedgerError):
            sender.retry()
        (tmp_path / "there").mkdir()
        clock.now_ms += HOUR
        # The first was refused: now that it is in the ledger it is tried again. The one between was a repetition.
        assert [found.title for found in sender.retry()] == ["the ledger is away"]
        clock.now_ms += MINUTE
        assert sender.retry() == []
    titles = [content["title"] for content in contents(away, "pending")]
    assert titles == ["the ledger is away", "the ledger is away", "something else"]
    assert len(receiver.posts) == 3
    away.verify()


@pytest.mark.parametrize(
    "given",
    [
        {"severity": "fatal"},
        {"title": ""},
        {"title": "x\r\nBcc: a@b" * 500},
        {"body": "\x00\ud800" * 100_000},
        {"strategy": "s" * 1000, "subject": "\n" * 10},
        {"title": None},
        {"body": 7},
    ],
    ids=lambda given: next(iter(given)),
)
def test_whatever_is_given_it_does_not_raise(events: EventLedger, given: dict[str, Any]) -> None:
    with web_receiver() as receiver:
        fields = {"severity": "critical", "title": "t", "body": "b", "strategy": "s"} | given
        notifier(events, receiver.url).send(fields.pop("severity"), fields.pop("title"), fields.pop("body"), **fields)
        sent = given.get("title", "") is not None and given.get("body", "") != 7
        assert len(receiver.posts) == sent
    events.verify()


def test_no_secret_reaches_the_ledger_or_the_receiver(events: EventLedger) -> None:
    with web_receiver() as receiver:
        url = f"{receiver.url}/T0/s3cr3t"
        notifier(events, url).send("critical", "postgresql://u:pa55@h is away", "Bearer abcdefgh12345678")
    everything = json.dumps([event.content for event in events.rows()]) + receiver.posts[0].body.decode()
    assert not any(hidden in everything for hidden in ("pa55", "abcdefgh12345678", "s3cr3t"))


@pytest.mark.servers
def test_on_postgresql_too(clock: Clock) -> None:
    with postgresql() as address, web_receiver(status(503), status(204)) as receiver:
        events = EventLedger(Database(address, clock=clock))
        sender = notifier(events, receiver.url, attempts=1)
        sender.send("critical", "Ünïcode", "b\x00", strategy="s")
        clock.now_ms += MINUTE
        assert sender.retry() == []
        assert [state for _, state in told(events)] == ["pending", "trying", "failed", "trying", "delivered"]
        events.verify()
    sender.send("critical", "the database is gone", "b")


def test_a_database_that_refuses_connections_stops_no_notification(clock: Clock) -> None:
    events = EventLedger(Database(f"postgresql+psycopg://x@127.0.0.1:{free_port()}/x", busy_timeout_s=1, clock=clock))
    with web_receiver() as receiver:
        notifier(events, receiver.url).send("critical", "t", "b")
    assert len(receiver.posts) == 1
