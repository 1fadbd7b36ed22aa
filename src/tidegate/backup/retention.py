"""Which backups stay: the newest of days, weeks and months, and whatever alone holds one of the newest production versions. Pure."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from tidegate.settings.backup import Backup


@dataclass(frozen=True, slots=True)
class Kept:
    """A backup as retention sees it.

    Attributes:
        id: its name.
        taken_at: UTC ms.
        holds: versions whose bundles it holds whole, as tags name them.
        number: a higher one was taken later, whatever the clock said.
    """

    id: str
    taken_at: int
    holds: frozenset[str] = frozenset()
    number: int = 0


def to_forget(backups: Sequence[Kept], rules: Backup, needed: Collection[str]) -> list[str]:
    """Names of backups that may go, oldest first.

    Args:
        backups: all that are whole.
        rules: `keep_daily`, `keep_weekly`, `keep_monthly`.
        needed: versions that some backup must go on holding; the newest one that holds it stays.

    The newest backup always stays.
    """
    newest_first = sorted(backups, key=lambda one: (one.number, one.taken_at, one.id), reverse=True)
    stay = {one.id for one in newest_first[:1]}
    for count, span in ((rules.keep_daily, _day), (rules.keep_weekly, _week), (rules.keep_monthly, _month)):
        stay |= _newest_of_each(newest_first, count, span)
    for version in needed:
        stay |= {one.id for one in [each for each in newest_first if version in each.holds][:1]}
    return [one.id for one in reversed(newest_first) if one.id not in stay]


def _newest_of_each(newest_first: Sequence[Kept], count: int, span: Callable[[datetime], tuple[int, ...]]) -> set[str]:
    """The newest backup of each of the newest `count` spans that have one."""
    found: dict[tuple[int, ...], str] = {}
    for one in newest_first:
        found.setdefault(span(datetime.fromtimestamp(one.taken_at / 1000, UTC)), one.id)
    return set(list(found.values())[:count])


def _day(at: datetime) -> tuple[int, ...]:
    return at.year, at.month, at.day


def _week(at: datetime) -> tuple[int, ...]:
    return tuple(at.isocalendar()[:2])


def _month(at: datetime) -> tuple[int, ...]:
    return at.year, at.month
