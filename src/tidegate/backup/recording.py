"""Writes the outcome of a look or a drill into the event ledger; where the live ledger is damaged it writes nothing there, and people are told."""

import logging
import tempfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final

from tidegate.backup.live import DATABASES_MEND, ledger_fault
from tidegate.backup.take import note
from tidegate.errors import TidegateError
from tidegate.notify.notifier import Notifier
from tidegate.registry.database import Database
from tidegate.registry.events import EventLedger, Kind
from tidegate.settings.settings import Settings

log = logging.getLogger(__name__)

DAMAGED: Final = "the live ledger is damaged"
UNWRITTEN: Final = "the live ledger could not be written to"


@dataclass(frozen=True, slots=True)
class Unrecorded:
    """Why something stands in no ledger.

    Attributes:
        title: `DAMAGED`, or `UNWRITTEN` where nothing is known to be wrong with it.
        fault: what is wrong.
        mend: what to do.
    """

    title: str
    fault: str
    mend: str

    def __str__(self) -> str:
        return f"{self.title}: {self.fault}"


def record(settings: Settings, kind: Kind, subject: str, actor: str, content: Mapping[str, Any]) -> Unrecorded | None:
    """Write into the event ledger what came of it, and never raise for the ledger's sake: the outcome must reach whoever asked.

    Args:
        settings: of the live installation.
        kind: of the event.
        subject: of the event, a backup's name.
        actor: who.
        content: of the event.

    Returns:
        why it was not recorded, after people were told; None where it was.
    """
    try:
        database = Database.from_settings(settings)
        if not database.is_sqlite:
            with database.read():  # a server that is out of reach is not damaged
                pass
        fault = ledger_fault(settings)
        if fault is None:
            note(settings, kind, subject, actor, content)
            return None
        found = Unrecorded(DAMAGED, fault, DATABASES_MEND)
    except TidegateError as error:
        found = Unrecorded(UNWRITTEN, error.what, error.next_step or "see whether its database runs, and do it again")
    _tell(settings, found, f"{kind} of backup {subject}")
    return found


def _tell(settings: Settings, found: Unrecorded, what: str) -> None:
    """Tell people, by a ledger of this moment: what is damaged must not be written to."""
    body = f"{found.fault}\nNot recorded: {what}.\nTo mend it: {found.mend}."
    try:
        with tempfile.TemporaryDirectory(prefix="tidegate-alarm-") as folder:
            events = EventLedger(Database(f"sqlite:///{folder}/ledger.db"))
            with closing(Notifier(settings, events)) as notifier:
                notifier.send("critical", found.title, body)
    except (TidegateError, OSError) as error:  # an address or a password's file that cannot be used
        log.warning("nobody is told that %s: %s", found.title, error)
