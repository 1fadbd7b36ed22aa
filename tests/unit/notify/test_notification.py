"""What the ledger's events make of a notification: who still owes it, when the next round is due, and what is a repetition."""

from typing import Any

import pytest

from tidegate.notify.notification import FLOOD_MS, GIVE_UP_MS, Failure, Notification, Severity, notifications
from tidegate.registry.events import Event

MINUTE = 60_000


def event(number: int, at: int = 0, **content: Any) -> Event:  # noqa: ANN401
    return Event(
        id=number,
        strategy="s",
        kind="notification",
        subject="x",
        actor="me",
        content={"id": "n", **content},
        created_at=at,
        previous_hash="",
        row_hash="",
    )


def pending(number: int = 1, at: int = 0, name: str = "n", channels: tuple[str, ...] = ("a", "b")) -> Event:
    fields = {"severity": "warning", "title": "t", "body": "", "channels": list(channels), "test": False}
    return event(number, at, **(fields | {"id": name, "state": "pending" if channels else "recorded"}))


def one(*events: Event) -> Notification:
    (found,) = notifications(events)
    return found


TRYING = event(2, 0, state="trying", channels=["a", "b"], until=500)
A_TAKEN = event(3, 10, state="delivered", channel="a", tries=1, proof={"status": 200})
B_FAILED = event(4, 20, state="failed", channel="b", tries=3, reason="no answer")
B_TAKEN = event(6, 40, state="delivered", channel="b", tries=1, proof={"status": 204})


@pytest.mark.parametrize(
    ("events", "missing", "claimed_until"),
    [
        ((), ("a", "b"), 0),
        ((TRYING,), ("a", "b"), 500),
        ((TRYING, A_TAKEN), ("b",), 500),
        ((TRYING, A_TAKEN, B_FAILED), ("b",), 0),
        ((TRYING, A_TAKEN, B_FAILED, event(5, 30, state="trying", channels=["b"], until=900)), ("b",), 900),
        ((TRYING, A_TAKEN, B_FAILED, B_TAKEN), (), 0),
        ((event(2, 0, state="repeated", of="m"),), (), 0),
    ],
)
def test_who_still_owes_it_and_who_is_at_it(
    events: tuple[Event, ...], missing: tuple[str, ...], claimed_until: int
) -> None:
    found = one(pending(), *events)
    assert (found.missing({"a", "b"}), found.claimed_until) == (missing, claimed_until)


def test_proofs_and_failures_are_kept_by_channel() -> None:
    found = one(pending(), TRYING, A_TAKEN, B_FAILED, event(5, 99, state="failed", channel="b", reason="still none"))
    assert found.delivered == {"a": {"status": 200}}
    assert found.failures == {"b": Failure(99, "still none", 2)}
    assert one(pending(), B_FAILED, B_TAKEN).failures == {}


def test_a_channel_that_is_no_longer_configured_owes_nothing_and_a_new_one_neither() -> None:
    assert one(pending()).missing({"b", "c"}) == ("b",)
    assert one(pending(channels=())).missing({"a"}) == ()


def test_events_of_a_notification_from_before_are_passed_over() -> None:
    assert [found.id for found in notifications([A_TAKEN, pending(5, name="other")])] == ["other"]


@pytest.mark.parametrize(
    ("rounds", "minutes"), [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 32), (7, 60), (8, 60), (999, 60)]
)
def test_rounds_come_ever_later_up_to_an_hour(rounds: int, minutes: int) -> None:
    assert Failure(1_000, "", rounds).next_at == 1_000 + minutes * MINUTE


@pytest.mark.parametrize(
    ("events", "now_ms", "due"),
    [
        ((), 0, ("a", "b")),
        ((TRYING,), 499, ()),
        ((TRYING,), 500, ("a", "b")),
        ((A_TAKEN, B_FAILED), 20 + MINUTE - 1, ()),
        ((A_TAKEN, B_FAILED), 20 + MINUTE, ("b",)),
        ((B_FAILED,), 30, ("a",)),
        ((), GIVE_UP_MS, ("a", "b")),
        ((), GIVE_UP_MS + 1, ()),
    ],
)
def test_when_a_round_is_due(events: tuple[Event, ...], now_ms: int, due: tuple[str, ...]) -> None:
    assert one(pending(), *events).due({"a", "b"}, now_ms) == due


def made(number: int, at: int, severity: Severity = "warning", **changes: Any) -> Notification:  # noqa: ANN401
    fields: dict[str, Any] = {
        "id": str(number),
        "number": number,
        "strategy": "s",
        "subject": "x",
        "severity": severity,
        "title": "t",
        "body": "",
        "created_at": at,
        "channels": ("a",),
    }
    return Notification(**(fields | changes))


@pytest.mark.parametrize(
    ("earlier", "repeats"),
    [
        (made(1, 0), True),
        (made(1, 0, "critical"), True),
        (made(1, 0, "info"), False),
        (made(1, 0, strategy="other"), False),
        (made(1, 0, title="other"), False),
        (made(1, 0, subject="s/6"), False),  # another incident
        (made(1, 0, channels=()), False),
        (made(1, 0, repeats="0"), False),
        (made(1, 0, test=True), False),
        (made(3, 0), False),
        (made(2, 0), False),
        (made(1, -1), False),
    ],
    ids=str,
)
def test_what_is_a_repetition(earlier: Notification, repeats: bool) -> None:
    assert made(2, FLOOD_MS - 1).is_repetition_of(earlier) is repeats


def test_a_test_is_never_one() -> None:
    assert not made(2, 1, test=True).is_repetition_of(made(1, 0))
