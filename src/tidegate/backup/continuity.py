"""Whether an installation still has what its newest backup holds: an emptied one must not push its own backups out."""

from dataclasses import dataclass

from tidegate.backup.chains import Chains
from tidegate.backup.listing import Listed, Listing
from tidegate.backup.manifest import BackupManifest
from tidegate.backup.restic import Restic
from tidegate.errors import BackupError
from tidegate.registry.schema import GENESIS


@dataclass(frozen=True, slots=True)
class Before:
    """The newest backup of a repository, before the next one is taken.

    Attributes:
        listed: it; None: there is none.
        manifest: what it says of itself; None: there is none, or it cannot be read.
        fault: why it cannot be read, else empty.
    """

    listed: Listed | None = None
    manifest: BackupManifest | None = None
    fault: str = ""

    @property
    def number(self) -> int:
        """Of the next one."""
        return 1 if self.listed is None else self.listed.number + 1

    def parent_for(self, artifacts: dict[str, str]) -> str | None:
        """The snapshot whose files restic need not read again; None: it must read all.

        A file that was altered and has its old size and time would be taken from there, and would not be what its manifest says.

        Args:
            artifacts: path to SHA-256, as they are now.
        """
        if self.listed is None or self.manifest is None:
            return None
        then = self.manifest.artifacts
        return self.listed.snapshot if all(then.get(path, now) == now for path, now in artifacts.items()) else None


def before(repository: Restic, listing: Listing) -> Before:
    """The newest backup; one whose manifest is damaged keeps nobody from taking a new one."""
    if not listing.backups:
        return Before()
    newest = listing.newest()
    try:
        return Before(newest, newest.manifest(repository))
    except BackupError as error:
        return Before(newest, None, error.what)


def losses(then: BackupManifest, now: BackupManifest, chains: Chains) -> list[str]:
    """What a backup held and the next one does not.

    Args:
        then: manifest of the newest backup.
        now: manifest of the one that is about to be taken.
        chains: of the ledger's copy that is in it.
    """
    found: list[str] = []
    if then.ledger_head not in {GENESIS, *(row.row_hash for row in chains.rows)}:
        found.append("the promotion ledger is another one, or was cut off: it has not the newest row of then")
    databases = {one.name for one in now.databases}
    found += [f"the database {one.name} is not there" for one in then.databases if one.name not in databases]
    files = {one.name: one.files for one in now.parts}
    found += [
        f"the folder {one.home} {'is empty' if one.name in files else 'is not there'}; it had {one.files} files"
        for one in then.parts
        if one.files and not files.get(one.name)
    ]
    return found


def require_no_loss(then: Before, now: BackupManifest, chains: Chains, *, accept: bool) -> list[str]:
    """Refuse a backup of an installation that has lost what its newest backup holds.

    Args:
        then: the newest backup.
        now: manifest of the one that is about to be taken.
        chains: of the ledger's copy that is in it.
        accept: a person has said that it is right so.

    Returns:
        What could not be compared or is lost all the same; where it says anything, nothing may be forgotten.

    Raises:
        BackupError: something is lost, and `accept` is not set.
    """
    if then.manifest is None:
        return [f"nothing was compared with the newest backup: {then.fault}"] if then.fault else []
    found = losses(then.manifest, now, chains)
    if found and not accept:
        raise BackupError(
            f"the installation has not what its newest backup {then.manifest.id} holds: {'; '.join(found)}",
            next_step="mount or restore what is missing, or name this installation's own repository; if it is right so, "
            "`tidegate backup --accept-loss` takes this one and forgets none",
        )
    return [f"lost since backup {then.manifest.id}: {one}" for one in found]
