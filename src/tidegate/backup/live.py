"""Whether the live installation still is what was backed up: a flipped byte, a cut-off database, a deleted artifact.

What has come since the backup is right as it is; bundles are looked at by their own manifests too, so that a new one is not passed over.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tidegate.backup import sqlite
from tidegate.backup.bundles import bundle_of, file_digest, protected_digests, signature_fault, verifier_of
from tidegate.backup.chains import Chains, read_chains
from tidegate.backup.finding import Seen
from tidegate.backup.manifest import BackupManifest
from tidegate.backup.places import CHOSEN, Installation, PartName
from tidegate.backup.places import Database as InstalledDatabase
from tidegate.backup.postgresql import Server
from tidegate.errors import TidegateError
from tidegate.keys.signing import Verifier, production_message
from tidegate.model.bundle import MANIFEST, verify_files
from tidegate.registry.database import Database, system_clock
from tidegate.registry.tracking.bundles import BUNDLE_FOLDER, SIGNATURE_FILE, SIGNATURE_FOLDER
from tidegate.settings.settings import Settings

_FRESH_S: Final = 900.0
DATABASES_MEND: Final = (
    "stop the servers, `tidegate restore --to FOLDER --only databases`, and put the file from there in its place"
)
LEDGER: Final = "live database ledger"
"""Where findings about it begin."""
_MODELS: Final = "SELECT model_id FROM logged_models WHERE lifecycle_stage = 'active'"


@dataclass(frozen=True, slots=True)
class Protected:
    """Models that must be there.

    Attributes:
        digests: of bundles that nobody prunes.
        registered: ids of models that MLflow knows; None: nobody can tell.
    """

    digests: frozenset[str]
    registered: frozenset[str] | None

    def must_be_there(self, manifest: BackupManifest, model: str) -> bool:
        """Whether a model of a backup, by its folder, must still be there; one that was pruned need not."""
        if self.registered is not None and model.rpartition("/")[2] in self.registered:
            return True
        return any(
            digest in self.digests
            for path, digest in manifest.artifacts.items()
            if path.startswith(f"{model}/") and path.endswith(f"/{BUNDLE_FOLDER}/{MANIFEST}")
        )


def compare(seen: Seen, place: Installation, manifest: BackupManifest, settings: Settings) -> None:
    """Compare the live installation with a backup's digests."""
    chains = _look_at_databases(seen, place, manifest, settings)
    protected = _protected(manifest, chains, place, settings)
    verifier = verifier_of(settings.signing.public_key_files)
    for path, what in sorted(artifact_faults(place.artifacts, manifest, protected, verifier, seen).items()):
        seen.fault(str(place.artifacts / path), what, mend_of(path))
    _look_at_models(seen, manifest, protected)
    _look_at_signatures(seen, place, manifest, verifier)
    _look_at_folders(seen, place, manifest)
    seen.looked.append(f"live artifacts: {len(manifest.artifacts)} files of the backup, and every bundle")


def mend_of(path: str) -> str:
    """The command that puts an artifact back; `path` is within the artifacts."""
    return f"`tidegate restore --in-place --artifact {bundle_of(path) or path}`"


def artifact_faults(
    artifacts: Path,
    manifest: BackupManifest,
    protected: Protected,
    verifier: Verifier | None,
    seen: Seen | None = None,
) -> dict[str, str]:
    """Path within the artifacts to what is wrong there: what the backup holds otherwise, and bundles that do not agree with themselves.

    Args:
        artifacts: the live folder.
        manifest: of a backup.
        protected: models that must be there. Another one that is gone whole was pruned, which is said in `seen`.
        verifier: of production signatures; a right one that is another than the backup's was made since, by a promotion with a new key.
        seen: takes notes.
    """
    faults: dict[str, str] = {}
    pruned: set[str] = set()
    for path, digest in manifest.artifacts.items():
        model = _model_of(path)
        if model is not None and not (artifacts / model).exists() and not protected.must_be_there(manifest, model):
            pruned.add(model)
            continue
        try:
            if file_digest(artifacts / path) != digest and not _is_signed_anew(artifacts, path, manifest, verifier):
                faults[path] = "it was altered: its digest is not that of the backup"
        except FileNotFoundError:
            faults[path] = "it is gone"
        except OSError as error:
            faults[path] = f"it cannot be read: {error.strerror}"
    if pruned and seen is not None:
        seen.notes.append(
            f"{len(pruned)} models are gone since the backup, and nothing protects them: they were pruned"
        )
    return faults | _own_faults(artifacts, {bundle_of(path) for path in faults}, manifest, seen)


def protected_of(manifest: BackupManifest, place: Installation, settings: Settings) -> Protected:
    """Models that must be there, by the live ledger where it is whole, else by the backup."""
    try:
        chains = _chains(place.database("ledger"), settings)
    except TidegateError:
        chains = None
    return _protected(manifest, chains, place, settings)


def ledger_fault(settings: Settings) -> str | None:
    """What is wrong with the live ledger, None where it is whole. Nothing else of the installation need be there."""
    try:
        _chains(InstalledDatabase("ledger", settings.ledger_url), settings)
    except TidegateError as error:
        return error.what
    return None


def _is_signed_anew(artifacts: Path, path: str, manifest: BackupManifest, verifier: Verifier | None) -> bool:
    place = Path(path)
    if verifier is None or (place.parent.name, place.name) != (SIGNATURE_FOLDER, SIGNATURE_FILE):
        return False
    digest = manifest.artifacts.get((place.parent.parent / BUNDLE_FOLDER / MANIFEST).as_posix(), "")
    return bool(digest) and signature_fault(artifacts / place.parent.parent / BUNDLE_FOLDER, digest, verifier) is None


def _own_faults(artifacts: Path, known: set[str | None], manifest: BackupManifest, seen: Seen | None) -> dict[str, str]:
    found: dict[str, str] = {}
    for path in sorted(artifacts.rglob(f"{BUNDLE_FOLDER}/{MANIFEST}")):
        folder = path.parent.relative_to(artifacts).as_posix()
        if folder in known:
            continue
        try:
            verify_files(path.parent)
        except TidegateError as error:
            if f"{folder}/{MANIFEST}" not in manifest.artifacts and _is_fresh(path.parent):
                if seen is not None:
                    seen.notes.append(f"{path.parent} is not whole, and is being written or was just now: look again")
                continue
            found[f"{folder}/{MANIFEST}"] = error.what
    return found


def _is_fresh(folder: Path) -> bool:
    """Whether something was written to a folder a few minutes ago: a model is registered file by file."""
    times = [path.stat().st_mtime for path in (folder, *folder.iterdir())]
    return abs(system_clock() / 1000 - max(times)) < _FRESH_S


def _look_at_folders(seen: Seen, place: Installation, manifest: BackupManifest) -> None:
    """Folders that had files and are gone or empty; single files of them have no digests."""
    here = {one.name: one.path for one in place.parts}
    for part in manifest.parts:
        path = here.get(part.name)
        if part.files and (path is None or not any(one.is_file() for one in path.rglob("*"))):
            told = f"it {'is not there' if path is None else 'is empty'}; the backup has {part.files} files"
            seen.fault(
                f"live folder {part.home}",
                told,
                f"mount it, or restore it with `tidegate restore --to FOLDER --only {_choice(part.name)}`",
            )
    seen.looked.append("live folders: whether each that had files still has some")


def _choice(part: PartName) -> str:
    return next(choice for choice, parts in CHOSEN.items() if part in parts)


def _look_at_databases(seen: Seen, place: Installation, manifest: BackupManifest, settings: Settings) -> Chains | None:
    chains = None
    backed_up = {one.name for one in manifest.databases}
    for database in place.databases:
        file = database.sqlite_file
        fault = _database_fault(database, settings) if database.name in backed_up else None
        where = f"live database {database.name}" + (f" {file}" if file is not None else "")
        seen.fault(where, fault, DATABASES_MEND)
        if database.name == "ledger" and fault is None:
            try:
                chains = _chains(database, settings, manifest.ledger_head, manifest.events_head)
            except TidegateError as error:
                seen.fault(where, error.what, DATABASES_MEND)
        seen.looked.append(where)
    return chains


def _chains(
    ledger: InstalledDatabase, settings: Settings, head: str | None = None, events_head: str | None = None
) -> Chains:
    file = ledger.sqlite_file
    if file is None:
        return read_chains(Database.from_settings(settings), head, events_head)
    # Of a copy: a look must not make tables in what is damaged.
    with tempfile.TemporaryDirectory(prefix="tidegate-live-") as folder:
        copied = Path(folder) / "ledger.db"
        sqlite.copy(file, copied, float(settings.backup.timeout_s))
        return read_chains(Database(f"sqlite:///{copied}"), head, events_head)


def _database_fault(database: InstalledDatabase, settings: Settings) -> str | None:
    if database.sqlite_file is not None:
        return sqlite.fault(database.sqlite_file)
    try:
        return None if Server.of(database.url, settings).tables() else "it holds no table"
    except TidegateError as error:
        return error.what


def _protected(manifest: BackupManifest, chains: Chains | None, place: Installation, settings: Settings) -> Protected:
    digests = {one.digest for one in manifest.versions} if chains is None else protected_digests(chains.rows)
    return Protected(frozenset(digests), _registered(place.database("mlflow"), settings))


def _registered(mlflow: InstalledDatabase, settings: Settings) -> frozenset[str] | None:
    """Ids of models that MLflow knows, None where it cannot be asked: its table may have another form in another version."""
    try:
        if mlflow.sqlite_file is None:
            return frozenset(Server.of(mlflow.url, settings).lines(_MODELS))
        return frozenset(sqlite.lines(mlflow.sqlite_file, _MODELS))
    except TidegateError:
        return None


def _look_at_models(seen: Seen, manifest: BackupManifest, protected: Protected) -> None:
    """MLflow must know what the ledger has in production or would go back to: where its database went, its server makes a new, empty one."""
    for one in manifest.versions:
        model = _model_of(f"{one.folder}/{MANIFEST}")
        if model is None or protected.registered is None or one.digest not in protected.digests:
            continue
        if model.rpartition("/")[2] not in protected.registered:
            seen.fault(f"live database mlflow, {one.name}", "it does not know this version's model", DATABASES_MEND)


def _look_at_signatures(seen: Seen, place: Installation, manifest: BackupManifest, verifier: Verifier | None) -> None:
    for one in manifest.versions:
        if verifier is None or not one.production or not one.folder:
            continue
        path = place.artifacts / Path(one.folder).parent / SIGNATURE_FOLDER / SIGNATURE_FILE
        relative = path.relative_to(place.artifacts).as_posix()
        if relative not in manifest.artifacts or not path.is_file():
            continue  # told as gone already
        try:
            verifier.verify(production_message(one.digest), path.read_bytes())
        except TidegateError as error:
            if file_digest(path) == manifest.artifacts[relative]:
                seen.fault(str(path), error.what, "promote the version again, or name the key that signed it")


def _model_of(path: str) -> str | None:
    """The model's folder that a path lies in, such as `1/models/m-1`; None where it lies in none."""
    parts = path.split("/")
    return "/".join(parts[: parts.index("models") + 2]) if "models" in parts[:-2] else None
