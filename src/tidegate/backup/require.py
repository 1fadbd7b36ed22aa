"""Whether there is a backup, for whoever is about to change what cannot be undone."""

from pathlib import Path
from typing import Final

from tidegate.backup.listing import Listed, list_backups
from tidegate.backup.manifest import BackupRecord
from tidegate.backup.opening import open_repository
from tidegate.backup.places import project_root
from tidegate.backup.take import take_backup
from tidegate.bars.bars import iso
from tidegate.errors import BackupError, PromotionRefused, TidegateError
from tidegate.registry.database import system_clock
from tidegate.settings.settings import Settings

_HOUR_MS: Final = 3_600_000
AHEAD_H: Final = 0.25
"""Hours that a backup may be ahead of this clock; one of a clock that was further ahead says nothing about its age."""


def require_backup(settings: Settings, max_age_h: float) -> Listed:
    """The newest backup, if it is young enough.

    Args:
        settings: where the repository is.
        max_age_h: hours.

    Raises:
        ConfigurationError: there is no repository, or it cannot be used.
        BackupError: there is no backup, or the newest is older.
    """
    newest = list_backups(open_repository(settings)).newest()
    age_h = (system_clock() - newest.taken_at) / _HOUR_MS
    # Asked this way round, what is no number is refused as well.
    if not -AHEAD_H <= age_h <= max_age_h:
        raise BackupError(
            f"the newest backup is of {iso(newest.taken_at)}",
            expected=f"one of the last {max_age_h:g} hours",
            next_step="`tidegate backup` takes one",
        )
    return newest


def back_up_before(settings: Settings, root: Path, what: str, *, actor: str) -> BackupRecord | None:
    """The backup before a promotion, as `backup.before_promotion` has it; None where it asks for none.

    Args:
        settings: of the installation.
        root: the project's folder.
        what: is about to be promoted, such as `eurusd-sample v3`.
        actor: who promotes.

    Raises:
        PromotionRefused: there is no backup, so nothing may be promoted.
    """
    wanted = settings.backup.before_promotion
    if wanted == "no" or (wanted == "if_configured" and settings.backup.repository is None):
        return None
    try:
        return take_or_refuse(settings, f"before the promotion of {what}", actor=actor, root=root)
    except TidegateError as error:
        raise PromotionRefused(
            f"{what} not promoted: no backup could be taken before it ({error.what})",
            setting="backup.before_promotion",
            next_step=f"{error.next_step or 'see docs/backups.md'}; then promote it by hand, or retrain again",
        ) from error


def take_or_refuse(
    settings: Settings, reason: str, *, actor: str = "tidegate", root: Path | None = None
) -> BackupRecord:
    """Take a backup before an act, or refuse the act.

    Args:
        settings: of the installation.
        reason: of the act.
        actor: who; goes into the event ledger.
        root: the project's folder; None: `TIDEGATE_ROOT`, else the working folder.

    Raises:
        ConfigurationError: backups are not set up.
        BackupError: none could be taken, or what is in production is damaged in the installation itself.
        LedgerError: the ledger's chain is broken.
    """
    record = take_backup(settings, root or project_root(), reason=reason, actor=actor)
    if record.damaged:
        raise BackupError(
            f"what is in production is damaged: {', '.join(record.damaged)}",
            next_step="`tidegate verify --live` says where, `tidegate restore --in-place` mends it; then try again",
        )
    return record
