"""What a ledger database says: its rows, and whether both chains are whole. A file is never opened itself: reading may write beside it."""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tidegate.errors import LedgerError
from tidegate.registry.database import Database
from tidegate.registry.events import EventLedger
from tidegate.registry.ledger import Ledger
from tidegate.registry.schema import GENESIS
from tidegate.registry.state import LedgerRow


@dataclass(frozen=True, slots=True)
class Chains:
    """A ledger database that was read whole.

    Attributes:
        rows: of the promotion ledger, oldest first.
        head, events_head: last hashes of the promotion and the event ledger.
    """

    rows: tuple[LedgerRow, ...]
    head: str
    events_head: str


def read_chains(database: Database, head: str | None = None, events_head: str | None = None) -> Chains:
    """Read and verify both chains.

    Args:
        database: of the ledgers.
        head: a row hash that the promotion ledger must still hold.
        events_head: one that the event ledger must still hold.

    Raises:
        LedgerError: a chain is broken or cut off, or the database cannot be read.
    """
    ledger, events = Ledger(database), EventLedger(database)
    found = ledger.verify(head)
    chains = Chains(tuple(ledger.rows()), found, events.verify())
    if events_head not in {None, GENESIS, chains.events_head, *(event.row_hash for event in events.rows())}:
        raise LedgerError(
            "the event ledger was cut off: a known event is missing",
            expected=f"an event with hash {events_head}",
            next_step="restore the ledger from a backup, and find out who changed it",
        )
    return chains


def read_chains_of_file(path: Path, head: str | None = None, events_head: str | None = None) -> Chains:
    """As `read_chains`, of a copy of a SQLite file that nobody writes to."""
    with tempfile.TemporaryDirectory(prefix="tidegate-chains-") as folder:
        copied = Path(folder) / "ledger.db"
        shutil.copyfile(path, copied)
        return read_chains(Database(f"sqlite:///{copied}"), head, events_head)
