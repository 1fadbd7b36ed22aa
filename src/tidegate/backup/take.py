"""Taking a backup: copies, one snapshot, the keys apart, the closing record, and then what may be forgotten."""

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tidegate import __version__
from tidegate.backup.bundles import (
    Wanted,
    artifact_digests,
    bundle_fault,
    bundle_folders,
    signature_fault,
    verifier_of,
    wanted_versions,
)
from tidegate.backup.continuity import Before, before, require_no_loss
from tidegate.backup.listing import Listing, list_backups
from tidegate.backup.lock import only_one
from tidegate.backup.manifest import (
    CLOSING,
    CLOSING_TAG,
    KEYS_TAG,
    MANIFEST,
    TAG,
    BackupManifest,
    BackupRecord,
    HeldVersion,
)
from tidegate.backup.opening import open_keys_repository, open_repository
from tidegate.backup.places import Installation, installation, own_folder
from tidegate.backup.restic import Restic, Summary
from tidegate.backup.retention import Kept, to_forget
from tidegate.backup.staging import contents_of, copy_databases, emptied, links_out, stage_bars
from tidegate.bars.bars import iso
from tidegate.errors import BackupError, LedgerError
from tidegate.registry.database import system_clock
from tidegate.registry.events import EventLedger, Kind
from tidegate.settings.settings import Settings

NO_KEYS: Final = "keys are not backed up: backup.keys_repository is not set"
_TRIES: Final = 3
_MAY_GO: Final = ("runs", "predictions")
"""Folders in which files come and go while others work."""


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What is ready for restic. `unsure` says why no other backup may be forgotten after it."""

    manifest: BackupManifest
    paths: tuple[Path, ...]
    wanted: tuple[Wanted, ...]
    states: Mapping[str, tuple[int, int, int]]
    unsure: tuple[str, ...]


def take_backup(
    settings: Settings, root: Path, *, reason: str, actor: str, init: bool = False, accept_loss: bool = False
) -> BackupRecord:
    """Take a backup of an installation while it works.

    Args:
        settings: of the installation.
        root: the project's folder.
        reason: why; kept with it.
        actor: who; goes into the event ledger.
        init: make repositories that do not exist yet. Without it a disk that is not mounted is noticed.
        accept_loss: take it although the newest backup holds what the installation has lost; no other is forgotten then.

    Returns:
        The closing record, which is also in the repository and in the event ledger.

    Raises:
        ConfigurationError: the repository, a password's file or a database's address cannot be used.
        BackupError: the installation could not be copied whole, has lost what its newest backup holds, or the repository refuses; there is no
            new backup then.
        LedgerError: the ledger's chain is broken.
    """
    began = time.monotonic()
    repository, keys = open_repository(settings), open_keys_repository(settings)
    with only_one(own_folder(settings)) as held:
        place = installation(settings, root)
        for one in [each for each in (repository, keys) if each is not None and init]:
            one.create()
        then = before(repository, list_backups(repository))

        def prepare(staging: Path) -> _Prepared:
            return _prepare(settings, place, staging, reason, then, with_keys=keys is not None, accept_loss=accept_loss)

        ready, summary = _stored(place, repository, then, prepare, held)
        manifest, warnings = ready.manifest, _require_whole(summary, place)
        kept_keys = "" if keys is None else _back_up_keys(keys, place, manifest.id, held)
        record = _record(manifest, summary, kept_keys, warnings, time.monotonic() - began)
        repository.back_up_text(CLOSING, record.model_dump_json(indent=1), [CLOSING_TAG, f"backup={manifest.id}"])
        record = _tidied(settings, repository, keys, ready, record)
    note(settings, "backup", record.id, actor, record.model_dump(mode="json"))
    return record


def note(settings: Settings, kind: Kind, subject: str, actor: str, content: Mapping[str, Any]) -> None:
    """Write into the event ledger what was done.

    Raises:
        LedgerError: it cannot be written; what was done is done all the same.
    """
    EventLedger.from_settings(settings).append(kind, strategy="", subject=subject, actor=actor, content=content)


def held_versions(
    wanted: Sequence[Wanted], digests: dict[str, str], artifacts: Path, settings: Settings
) -> list[HeldVersion]:
    """Where each version's bundle lies, and what is wrong with it."""
    folders, verifier = bundle_folders(digests), verifier_of(settings.signing.public_key_files)
    found: list[HeldVersion] = []
    for one in wanted:
        folder = folders.get(one.digest, "")
        fault = bundle_fault(artifacts / folder, one.digest) if folder else _not_there(one)
        unsigned = signature_fault(artifacts / folder, one.digest, verifier) if folder else None
        found.append(
            HeldVersion(
                strategy=one.strategy,
                version=one.version,
                digest=one.digest,
                production=one.production,
                fallback=one.fallback,
                folder=folder,
                fault=fault or "",
                unsigned=unsigned or "",
            )
        )
    return found


def _is_damaged(one: HeldVersion) -> bool:
    """Whether what is in production could not be served as it is."""
    return one.production and bool(one.fault or one.unsigned)


def _not_there(one: Wanted) -> str:
    return "no bundle has the digest that the ledger names" if one.digest else "the ledger names no digest"


def _stored(
    place: Installation, repository: Restic, then: Before, prepare: Callable[[Path], _Prepared], held: int
) -> tuple[_Prepared, Summary]:
    """A snapshot whose artifacts are those of its manifest: taken again where one changed or went while restic read, as `prune` takes some.

    Raises:
        BackupError: they go on changing.
    """
    for _ in range(_TRIES):
        with emptied(place.staging) as staging:
            ready = prepare(staging)
            held_ones = [f"holds={one.tag}" for one in ready.manifest.versions if not one.fault]
            tags = [TAG, f"backup={ready.manifest.id}", f"number={then.number}", *held_ones]
            parent = then.parent_for(ready.manifest.artifacts)
            summary = repository.back_up(ready.paths, tags, parent=parent, held=held)
        after = _file_states(place.artifacts)
        if all(after.get(path) == ready.states[path] for path in ready.manifest.artifacts):
            return ready, summary
    raise BackupError(
        f"artifacts in {place.artifacts} change all the time",
        expected=f"one of {_TRIES} readings in which none did",
        next_step="try again when nothing writes there",
    )


def _file_states(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Path within the folder to size, time of change and inode: what is the same was not written to."""
    found: dict[str, tuple[int, int, int]] = {}
    for path in folder.rglob("*"):
        try:
            state = path.stat()
        except FileNotFoundError:
            continue
        found[path.relative_to(folder).as_posix()] = (state.st_size, state.st_mtime_ns, state.st_ino)
    return found


def _prepare(
    settings: Settings,
    place: Installation,
    staging: Path,
    reason: str,
    then: Before,
    *,
    with_keys: bool,
    accept_loss: bool,
) -> _Prepared:
    """Databases first: what they name is in the folders, which are read after them."""
    taken_at = system_clock()
    databases, chains, warnings = copy_databases(place, settings, staging)
    wanted = wanted_versions(chains.rows, settings.backup.keep_versions)
    staged = {part.name: stage_bars(part, staging) if part.name == "bars" else part.path for part in place.parts}
    states = _file_states(place.artifacts)
    # What has come since may be in the snapshot; the manifest does not promise it.
    digests = {path: digest for path, digest in artifact_digests(place.artifacts).items() if path in states}
    versions = held_versions(wanted, digests, place.artifacts, settings)
    warnings += [f"{one.name} is damaged: {one.fault or one.unsigned}" for one in versions if _is_damaged(one)]
    warnings += [
        f"{one.name}, which a rollback would go back to, is damaged: {one.fault}"
        for one in versions
        if one.fallback and one.fault
    ]
    warnings += [] if with_keys else [NO_KEYS]
    links = [link for part in place.parts if part.name != "bars" for link in links_out(place, part)]
    warnings += [f"{len(links)} links point to what is not in the backup, such as {links[0]}"] if links else []
    manifest = BackupManifest(
        id=f"{iso(taken_at - taken_at % 1000).replace('-', '').replace(':', '')}-{secrets.token_hex(2)}",
        tidegate_version=__version__,
        taken_at=taken_at,
        reason=reason,
        databases=tuple(databases),
        parts=tuple(contents_of(part, staged[part.name]) for part in place.parts),
        artifacts=digests,
        versions=tuple(versions),
        ledger_head=chains.head,
        events_head=chains.events_head,
        warnings=tuple(warnings),
    )
    unsure = require_no_loss(then, manifest, chains, accept=accept_loss)
    manifest = manifest.model_copy(update={"warnings": (*manifest.warnings, *unsure)})
    (staging / MANIFEST).write_text(manifest.model_dump_json(indent=1), encoding="utf-8")
    paths = [staging, *(path for path in staged.values() if not path.is_relative_to(staging))]
    outermost = [path for path in paths if not any(path != one and path.is_relative_to(one) for one in paths)]
    return _Prepared(manifest, tuple(dict.fromkeys(outermost)), tuple(wanted), states, tuple(unsure))


def _back_up_keys(keys: Restic, place: Installation, name: str, held: int) -> str:
    missing = [path for path in place.keys if not path.is_file()]
    if missing:
        raise BackupError(
            f"files with keys that the settings name are not there: {', '.join(map(str, missing))}",
            next_step="put them back, or correct the settings that name them",
        )
    if not place.keys:
        return ""
    summary = keys.back_up(place.keys, [KEYS_TAG, f"backup={name}"], held=held)
    if summary.unreadable:
        raise BackupError(f"files with keys could not be read: {summary.unreadable}")
    return name


def _require_whole(summary: Summary, place: Installation) -> list[str]:
    """Files that went while restic read them are passed over where files come and go; all else must have been read.

    Raises:
        BackupError: it was not, and nothing is closed.
    """
    passing = [part.path for part in place.parts if part.name in _MAY_GO]
    went = [
        item for item, _ in summary.unreadable
        if any(Path(item).is_relative_to(path) for path in passing) and not Path(item).exists()
    ]  # fmt: skip
    rest = [f"{item}: {why}" for item, why in summary.unreadable if item not in went]
    if rest:
        raise BackupError(
            f"{len(rest)} files could not be read: {'; '.join(rest[:3])}",
            next_step="give this process the right to read them; what was stored does not count as a backup",
        )
    return [f"{len(went)} files went while they were read"] if went else []


def _record(manifest: BackupManifest, summary: Summary, keys: str, warnings: list[str], took_s: float) -> BackupRecord:
    return BackupRecord(
        id=manifest.id,
        taken_at=manifest.taken_at,
        took_s=round(took_s, 3),
        reason=manifest.reason,
        files=summary.files,
        bytes=summary.bytes,
        added_bytes=summary.added_bytes,
        production={one.strategy: one.version for one in manifest.versions if one.production},
        damaged=tuple(one.name for one in manifest.versions if _is_damaged(one)),
        keys=keys,
        warnings=(*manifest.warnings, *warnings),
    )


def _tidied(
    settings: Settings, repository: Restic, keys: Restic | None, ready: _Prepared, record: BackupRecord
) -> BackupRecord:
    """Forget what may go. The backup is closed by now, so that what fails here is a warning.

    Raises:
        BackupError: the repository does not list the backup that was just closed: somebody else has removed its snapshot.
    """
    gone: list[str] = []
    try:
        listing = list_backups(repository)
        if record.id in {one.id for one in listing.backups} and not ready.unsure:
            kept = [Kept(one.id, one.taken_at, one.holds, one.number) for one in listing.backups]
            gone = to_forget(kept, settings.backup, {one.tag for one in ready.wanted})
            repository.forget([*_snapshots(listing, gone), *listing.halves])
            if keys is not None:
                # Others may be of backups in another repository.
                keys.forget([one.id for one in keys.snapshots() if set(one.values("backup")) & set(gone)])
    except (BackupError, LedgerError) as error:
        return record.model_copy(update={"warnings": (*record.warnings, f"old backups stay: {error.what}")})
    if record.id not in {one.id for one in listing.backups}:
        raise BackupError(
            f"the backup {record.id} was stored, and is not in the repository any more",
            setting="backup.repository",
            next_step="one repository belongs to one installation: see who else uses it, and try again",
        )
    return record.model_copy(update={"forgotten": tuple(gone)})


def _snapshots(listing: Listing, names: Sequence[str]) -> list[str]:
    """What to hand to restic: the closing record first, so that a kill in between leaves no backup that looks whole."""
    found = [one for one in listing.backups if one.id in names]
    return [part for one in found for part in (one.closing, one.snapshot)]
