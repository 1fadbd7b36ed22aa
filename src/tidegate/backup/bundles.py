"""Bundles among MLflow's files: found by the digest that the ledger names, without asking MLflow."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tidegate.backup.manifest import held_tag
from tidegate.errors import BackupError, TidegateError
from tidegate.keys.signing import Verifier, production_message
from tidegate.model.bundle import MANIFEST, verify_files
from tidegate.registry.state import LedgerRow, derive
from tidegate.registry.tracking.bundles import BUNDLE_FOLDER, SIGNATURE_FILE, SIGNATURE_FOLDER

_PIECE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Wanted:
    """A version that must be restorable: in production, what a rollback would go back to, or one of the newest that were in production."""

    strategy: str
    version: int
    digest: str
    production: bool
    fallback: bool = False

    @property
    def name(self) -> str:
        """As messages name it."""
        return f"{self.strategy}/v{self.version}"

    @property
    def tag(self) -> str:
        """As tags name it."""
        return held_tag(self.name, self.digest)


def wanted_versions(rows: Sequence[LedgerRow], keep: int) -> list[Wanted]:
    """Of each strategy: what is in production, the newest `keep` versions that were, and the newest `keep` that may be gone back to.

    Args:
        rows: of the promotion ledger, all strategies, oldest first.
        keep: at least 3.
    """
    found: list[Wanted] = []
    for strategy in sorted({row.strategy for row in rows}):
        state = derive(strategy, [row for row in rows if row.strategy == strategy])
        good = state.good_versions(without=(state.current,))[:keep]
        chosen = dict.fromkeys((*([state.current] if state.current else []), *state.productions[:keep], *good))
        found += [
            Wanted(strategy, version, state.digests.get(version, ""), version == state.current, version in good[:1])
            for version in chosen
        ]
    return found


def protected_digests(rows: Sequence[LedgerRow]) -> set[str]:
    """Digests of bundles that `Promoter.prune` never takes, by the ledger: in production, and what each strategy would go back to."""
    found: set[str] = set()
    for strategy in {row.strategy for row in rows}:
        state = derive(strategy, [row for row in rows if row.strategy == strategy])
        named = (state.current, *state.good_versions(without=(state.current,))[:1])
        found |= {state.digests[version] for version in named if version is not None and version in state.digests}
    return found


def artifact_digests(folder: Path) -> dict[str, str]:
    """Path within the folder to SHA-256, of every file; one that goes while it is read is passed over.

    Raises:
        BackupError: a file could not be restored as it is: a symbolic link, a name that is no UTF-8, or one that cannot be read.
    """
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        _require_plain(path)
        try:
            if path.is_file():
                found[path.relative_to(folder).as_posix()] = file_digest(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise BackupError(f"the artifact {path} cannot be read: {error.strerror}") from error
    return found


def _require_plain(path: Path) -> None:
    if path.is_symlink():
        raise BackupError(
            f"the artifact {path} is a symbolic link, and what it points to would not be in the backup",
            next_step="put the file or folder itself in its place",
        )
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise BackupError(
            f"the artifact {path.parent}/{path.name!a} has a name that is no UTF-8, and no manifest can hold it",
            next_step="rename it",
        ) from error


def file_digest(path: Path) -> str:
    """SHA-256 of a file.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def bundle_folders(digests: Mapping[str, str]) -> dict[str, str]:
    """Manifest digest to the bundle's folder, both as in the digests of artifacts; the first folder where two hold the same bundle."""
    found: dict[str, str] = {}
    for path, digest in sorted(digests.items()):
        folder, _, name = path.rpartition("/")
        if name == MANIFEST and folder.rpartition("/")[2] == BUNDLE_FOLDER:
            found.setdefault(digest, folder)
    return found


def bundle_of(path: str) -> str | None:
    """The bundle's folder that a path among the artifacts lies in, None where it lies in none."""
    folder = path.rpartition("/")[0]
    return folder if folder.rpartition("/")[2] == BUNDLE_FOLDER else None


def bundle_fault(folder: Path, digest: str) -> str | None:
    """What is wrong with a version's bundle, None where it is whole and the one that the ledger names.

    Args:
        folder: the bundle.
        digest: of its manifest, as the ledger has it.
    """
    try:
        found = verify_files(folder).digest()
    except TidegateError as error:
        return error.what
    except OSError as error:
        return str(error)
    return None if found == digest else f"its manifest's digest is {found}, the ledger names {digest}"


def signature_fault(folder: Path, digest: str, verifier: Verifier | None) -> str | None:
    """What is wrong with the production signature beside a bundle's folder, None where it is right or `verifier` is None.

    Older versions may have been signed with a key that is not trusted any more, or promoted before there was one.
    """
    if verifier is None:
        return None
    path = folder.parent / SIGNATURE_FOLDER / SIGNATURE_FILE
    try:
        verifier.verify(production_message(digest), path.read_bytes())
    except FileNotFoundError:
        return f"its signature {SIGNATURE_FILE} is missing"
    except TidegateError as error:
        return error.what
    except OSError as error:
        return str(error)
    return None


def verifier_of(public_keys: Iterable[Path]) -> Verifier | None:
    """The verifier of the keys that the settings name, None where they name none.

    Raises:
        ConfigurationError: a key's file cannot be used.
    """
    paths = tuple(public_keys)
    return Verifier.from_files(paths) if paths else None
