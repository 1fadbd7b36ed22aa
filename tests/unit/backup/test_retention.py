"""Which backups may go, as literal calendars."""

from datetime import UTC, datetime

import pytest

from tidegate.backup.retention import Kept, to_forget
from tidegate.settings.backup import Backup


def backup(at: str, *holds: str) -> Kept:
    moment = datetime.fromisoformat(at).replace(tzinfo=UTC)
    return Kept(at, int(moment.timestamp() * 1000), frozenset(holds))


def rules(daily: int = 1, weekly: int = 0, monthly: int = 0) -> Backup:
    return Backup(keep_daily=daily, keep_weekly=weekly, keep_monthly=monthly)


@pytest.mark.parametrize(
    ("kept", "days", "gone"),
    [
        (rules(daily=2), ["2026-11-01T02:00", "2026-11-02T02:00", "2026-11-03T02:00"], ["2026-11-01T02:00"]),
        # Two on one day are one day: the newer stays.
        (rules(daily=2), ["2026-11-01T02:00", "2026-11-02T02:00", "2026-11-02T09:00"], ["2026-11-02T02:00"]),
        # Days without a backup do not count.
        (rules(daily=2), ["2026-01-01T02:00", "2026-11-02T02:00"], []),
        # The last of November stays for its month, and Sunday for its week, which began in November.
        (
            rules(daily=1, weekly=2, monthly=2),
            ["2026-10-31T02:00", "2026-11-29T02:00", "2026-11-30T02:00", "2026-12-01T02:00", "2026-12-02T02:00"],
            ["2026-10-31T02:00", "2026-12-01T02:00"],
        ),
        (rules(daily=1), ["2026-11-01T02:00"], []),
        (rules(daily=1), [], []),
    ],
)
def test_the_newest_of_days_weeks_and_months_stay(kept: Backup, days: list[str], gone: list[str]) -> None:
    assert to_forget([backup(day) for day in days], kept, ()) == gone
    assert to_forget([backup(day) for day in reversed(days)], kept, ()) == gone


def test_one_that_was_taken_later_is_newer_whatever_the_clock_said() -> None:
    ahead, now = backup("2031-01-01T02:00"), backup("2026-11-02T02:00")
    ordered = [Kept(ahead.id, ahead.taken_at, number=4), Kept(now.id, now.taken_at, number=5)]
    assert to_forget(ordered, rules(daily=1), ()) == [ahead.id]
    assert to_forget(ordered[::-1], rules(daily=1), ()) == [ahead.id]
    # Those without a number are from before numbers.
    assert to_forget([ahead, Kept(now.id, now.taken_at, number=1)], rules(daily=1), ()) == [ahead.id]


def test_what_alone_holds_a_needed_version_stays() -> None:
    backups = [
        backup("2026-01-01T02:00", "alpha/v1", "beta/v1"),
        backup("2026-02-01T02:00", "alpha/v1", "alpha/v2"),
        backup("2026-03-01T02:00", "alpha/v2"),
        backup("2026-04-01T02:00", "alpha/v3"),
    ]
    needed = {"alpha/v1", "alpha/v2", "alpha/v3"}
    # Of two that hold v2 the newer stays; v1 stays for itself; nobody needs beta.
    assert to_forget(backups, rules(), needed) == ["2026-01-01T02:00"]
    assert to_forget(backups, rules(), {"alpha/v3"}) == [one.id for one in backups[:3]]
    assert to_forget(backups, rules(), {"beta/v1", "gone/v9"}) == ["2026-02-01T02:00", "2026-03-01T02:00"]


def test_a_version_that_a_kept_backup_holds_needs_no_older_one() -> None:
    backups = [backup("2026-01-01T02:00", "alpha/v1"), backup("2026-02-01T02:00", "alpha/v1")]
    assert to_forget(backups, rules(), {"alpha/v1"}) == ["2026-01-01T02:00"]
