"""What a backup says of itself: a manifest inside the snapshot, and the closing record behind it."""

from pathlib import PurePosixPath
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, ValidationError

from tidegate.backup.places import DatabaseName, PartName
from tidegate.errors import BackupError
from tidegate.strategy.part import Part

MANIFEST: Final = "manifest.json"
CLOSING: Final = "closing.json"
STAGING: Final = "/backup/staging"
"""End of the path of the folder in which the manifest lies."""
TAG, CLOSING_TAG, KEYS_TAG = "tidegate", "tidegate-closing", "tidegate-keys"


def _without_detours(path: str) -> str:
    if not PurePosixPath(path).parts or ".." in PurePosixPath(path).parts or "\0" in path:
        raise ValueError("a path that leads nowhere else")
    return path


def _below(path: str) -> str:
    if PurePosixPath(path).is_absolute():
        raise ValueError("a path below the restored folder")
    return _without_detours(path)


# Whoever can write into the repository could name any file of the machine that restores.
Source = Annotated[str, AfterValidator(_without_detours)]
"""Where something lay; it is looked for below the folder that restic restored."""
Below = Annotated[str, AfterValidator(_below)]
"""Where something is put, or lies, below a folder."""


class CopiedDatabase(Part):
    """A database as it was copied. `path` is where the copy lay, `sha256` of that very file."""

    name: DatabaseName
    kind: Literal["sqlite", "postgresql"]
    path: Source
    bytes: int = Field(ge=0)
    sha256: str


class Contents(Part):
    """A folder as it was: its path, where it lies in a restored folder, and what it held."""

    name: PartName
    path: Source
    home: Below
    files: int = Field(ge=0)
    bytes: int = Field(ge=0)


class HeldVersion(Part):
    """A version that must be restorable.

    Attributes:
        strategy, version, digest: as the ledger names them; an empty digest where it names none.
        production: whether it was in production when the backup was taken.
        fallback: whether a rollback would have gone back to it; nobody prunes it.
        folder: of its bundle within the artifacts; empty where none was found.
        fault: what was wrong with it, empty where it was whole.
        unsigned: what was wrong with its signature, empty where it was right or no key was named.
    """

    strategy: str
    version: int
    digest: str
    production: bool
    fallback: bool = False
    folder: str = ""
    fault: str = ""
    unsigned: str = ""

    @property
    def name(self) -> str:
        """As messages name it."""
        return f"{self.strategy}/v{self.version}"

    @property
    def tag(self) -> str:
        """As tags name it."""
        return held_tag(self.name, self.digest)


def held_tag(name: str, digest: str) -> str:
    """A version as tags name it: with its digest, as numbers begin anew where a registered model was deleted.

    >>> held_tag("alpha/v1", "0123456789abcdef")
    'alpha/v1@0123456789ab'
    """
    return f"{name}@{digest[:12]}"


class BackupManifest(Part):
    """What is in a backup, with digests.

    Attributes:
        id: the backup's name.
        taken_at: when the databases were copied, UTC ms.
        databases: copies, in their order.
        parts: folders.
        artifacts: path within the artifacts to SHA-256, of every file there.
        versions: what must be restorable of each strategy.
        ledger_head, events_head: last hashes of the two chains in the copy, or a moment before it for PostgreSQL.
        warnings: what people should know of this backup.
    """

    schema_version: Literal[1] = 1
    id: str
    tidegate_version: str
    taken_at: int
    reason: str
    databases: tuple[CopiedDatabase, ...]
    parts: tuple[Contents, ...]
    artifacts: dict[Below, str]
    versions: tuple[HeldVersion, ...]
    ledger_head: str
    events_head: str
    warnings: tuple[str, ...]

    @property
    def artifacts_path(self) -> str:
        """Path of the artifacts' folder within the snapshot; no backup is taken without it."""
        return next(one.path for one in self.parts if one.name == "artifacts")


class BackupRecord(Part):
    """The closing record: there is a backup, whole.

    Attributes:
        id: the backup's name.
        taken_at: UTC ms.
        took_s: seconds.
        reason: why it was taken.
        files, bytes: of the snapshot.
        added_bytes: what the repository did not have yet.
        production: strategy to version.
        damaged: versions that must be restorable, and were found damaged or missing in the installation.
        keys: id of the snapshot of keys in its own repository; empty: they were not backed up.
        forgotten: backups that were removed after this one.
        warnings: what people should know.
    """

    schema_version: Literal[1] = 1
    id: str
    taken_at: int
    took_s: float
    reason: str
    files: int
    bytes: int
    added_bytes: int
    production: dict[str, int]
    damaged: tuple[str, ...]
    keys: str
    forgotten: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def read_manifest(content: bytes, of: str) -> BackupManifest:
    """A manifest as it was written.

    Raises:
        BackupError: it is not one.
    """
    try:
        return BackupManifest.model_validate_json(content)
    except ValidationError as error:
        raise BackupError(
            f"the manifest of backup {of} cannot be read: {error.error_count()} faults",
            next_step="use the tidegate version that wrote it, or an older backup",
        ) from error


def read_record(content: bytes, of: str) -> BackupRecord:
    """A closing record as it was written.

    Raises:
        BackupError: it is not one.
    """
    try:
        return BackupRecord.model_validate_json(content)
    except ValidationError as error:
        raise BackupError(
            f"the closing record of backup {of} cannot be read: {error.error_count()} faults",
            next_step="use the tidegate version that wrote it, or an older backup",
        ) from error
