"""Which backups a repository holds: snapshots whose closing record is there too."""

from dataclasses import dataclass

from tidegate.backup.manifest import (
    CLOSING,
    CLOSING_TAG,
    MANIFEST,
    STAGING,
    TAG,
    BackupManifest,
    BackupRecord,
    read_manifest,
    read_record,
)
from tidegate.backup.restic import Restic, Snapshot
from tidegate.errors import BackupError


@dataclass(frozen=True, slots=True)
class Listed:
    """A backup in a repository.

    Attributes:
        id: its name.
        taken_at: UTC ms.
        number: one more than that of the newest one before it; a clock that jumps does not change the order.
        holds: versions whose bundles it holds whole, as tags name them.
        snapshot: restic's id of what it holds.
        closing: restic's id of its closing record.
        manifest_path: where the manifest lies in the snapshot.
    """

    id: str
    taken_at: int
    number: int
    holds: frozenset[str]
    snapshot: str
    closing: str
    manifest_path: str

    @property
    def versions(self) -> list[str]:
        """What it holds whole, such as `alpha/v1`."""
        return sorted(tag.partition("@")[0] for tag in self.holds)

    def record(self, repository: Restic) -> BackupRecord:
        """The closing record, read from the repository."""
        return read_record(repository.read(self.closing, f"/{CLOSING}"), self.id)

    def manifest(self, repository: Restic) -> BackupManifest:
        """The manifest, read from the repository."""
        return read_manifest(repository.read(self.snapshot, self.manifest_path), self.id)


@dataclass(frozen=True, slots=True)
class Listing:
    """All of a repository.

    Attributes:
        backups: whole ones, oldest first.
        halves: restic's ids of what has no closing record, or is a record of nothing.
    """

    backups: tuple[Listed, ...]
    halves: tuple[str, ...]

    def newest(self) -> Listed:
        """The newest backup.

        Raises:
            BackupError: there is none.
        """
        if not self.backups:
            raise BackupError(
                "the repository holds no whole backup",
                setting="backup.repository",
                next_step="`tidegate backup` takes one",
            )
        return self.backups[-1]

    def named(self, name: str | None) -> Listed:
        """A backup by name or the beginning of it; None: the newest.

        Raises:
            BackupError: there is none, or several begin so.
        """
        if name is None:
            return self.newest()
        found = [one for one in self.backups if one.id == name] or [
            one for one in self.backups if one.id.startswith(name)
        ]
        if len(found) != 1:
            raise BackupError(
                f"{'several backups begin' if found else 'no backup begins'} with {name}",
                next_step="`tidegate backups` lists them",
            )
        return found[0]


def list_backups(repository: Restic) -> Listing:
    """What a repository holds.

    Raises:
        BackupError: it cannot be read.
    """
    found = repository.snapshots()
    closing = {name: one for one in found if CLOSING_TAG in one.tags for name in one.values("backup")}
    backups: list[Listed] = []
    halves: list[str] = []
    for one in [each for each in found if TAG in each.tags]:
        name = next(iter(one.values("backup")), "")
        record = closing.pop(name, None)
        if record is None:
            halves.append(one.id)
        else:
            backups.append(_listed(name, one, record))
    backups.sort(key=lambda one: one.number)  # those of one number stay as they are, by time
    return Listing(tuple(backups), (*halves, *(one.id for one in closing.values())))


def _listed(name: str, one: Snapshot, record: Snapshot) -> Listed:
    staging = next((path for path in one.paths if path.endswith(STAGING)), "")
    number = next((int(text) for text in one.values("number") if text.isascii() and text.isdecimal()), 0)
    return Listed(
        name, one.taken_at, number, frozenset(one.values("holds")), one.id, record.id, f"{staging}/{MANIFEST}"
    )
