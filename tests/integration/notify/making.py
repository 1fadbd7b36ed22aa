"""Notifications for tests of the ways to people."""

from tidegate.notify.notification import Notification

NOW_MS = 1_780_000_000_000


def notification(**changes: object) -> Notification:
    fields: dict[str, object] = {
        "id": "0123456789abcdef0123456789abcdef",
        "number": 1,
        "strategy": "eurusd-sample",
        "subject": "incident/7",
        "severity": "critical",
        "title": "rolled back to v3",
        "body": "The Sharpe ratio was 0.2.\n.\nÜber alles.",
        "created_at": NOW_MS,
        "channels": (),
    }
    return Notification(**(fields | changes))  # type: ignore[arg-type]
