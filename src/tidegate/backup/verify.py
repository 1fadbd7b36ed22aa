"""Whether the backups would help: the repository whole, the newest backup young, its databases and bundles what the ledger says."""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

from tidegate.backup import live, sqlite
from tidegate.backup.bundles import bundle_fault, file_digest, signature_fault, verifier_of
from tidegate.backup.chains import read_chains_of_file
from tidegate.backup.finding import Finding, Seen, Verdict
from tidegate.backup.listing import Listed, Listing, list_backups
from tidegate.backup.manifest import BackupManifest, HeldVersion
from tidegate.backup.opening import open_keys_repository, open_repository
from tidegate.backup.places import installation
from tidegate.backup.postgresql import dump_fault
from tidegate.backup.recording import record
from tidegate.backup.require import AHEAD_H
from tidegate.backup.restic import Restic
from tidegate.backup.take import NO_KEYS
from tidegate.errors import BackupError, TidegateError
from tidegate.keys.signing import Verifier
from tidegate.registry.database import system_clock
from tidegate.registry.events import EventLedger
from tidegate.settings.settings import Settings

_HOUR_MS: Final = 3_600_000
ANEW: Final = "take a new backup with `tidegate backup`, and look at the disk that holds the repository"


def verify_backups(
    settings: Settings, root: Path, *, actor: str, read: Literal["all"] | None = None, with_live: bool = False
) -> Verdict:
    """Look at the repository, and at the newest backup as if it were needed now.

    Args:
        settings: of the installation.
        root: the project's folder.
        actor: who; goes into the event ledger. A live ledger that cannot be written to is damage: it is found whatever else is looked at, and people
            are told.
        read: `all` reads all stored data; else the share that `backup.read_data_percent` says.
        with_live: compare the live installation with the newest backup too.

    Raises:
        ConfigurationError: the repository or a password's file cannot be used.
        BackupError: the repository cannot be opened.
    """
    began, seen = time.monotonic(), Seen()
    repository = open_repository(settings)
    _look_at_repository(seen, repository, settings, read)
    listing = list_backups(repository)
    name, manifest = "", None
    if not listing.backups:
        seen.fault(repository.shown, "it holds no whole backup", ANEW)
    else:
        newest = listing.newest()
        name = newest.id
        _look_at_age(seen, newest, settings)
        _look_at_record(seen, repository, newest, settings)
        _look_for_newer(seen, repository, listing, settings)
        manifest = _look_at_newest(seen, repository, listing, newest, settings)
    if with_live and manifest is not None:
        live.compare(seen, installation(settings, root), manifest, settings)
    verdict = _verdict(name, seen, began)
    unrecorded = record(settings, "backup_verified", name or "none", actor, verdict.content())
    if unrecorded is None:
        return verdict
    seen.notes.append(f"not recorded: {unrecorded.title}")
    if not any(one.where.startswith(live.LEDGER) for one in seen.findings):
        seen.fault(live.LEDGER, unrecorded.fault, unrecorded.mend)
    return _verdict(name, seen, began)


def compare_live(settings: Settings, root: Path) -> tuple[Finding, ...]:
    """What the live installation has lost or damaged since the newest backup; nothing where there is none yet.

    Asked before the next backup is taken: that one knows only what is there then.

    Raises:
        ConfigurationError: the repository or a password's file cannot be used.
        BackupError: the repository cannot be opened, or the newest backup's manifest is damaged.
    """
    seen, repository = Seen(), open_repository(settings)
    listing = list_backups(repository)
    if listing.backups:
        live.compare(seen, installation(settings, root), listing.newest().manifest(repository), settings)
    return tuple(seen.findings)


def _verdict(name: str, seen: Seen, began: float) -> Verdict:
    took_s = time.monotonic() - began
    return Verdict(name, tuple(seen.findings), tuple(seen.notes), tuple(seen.looked), took_s)


def _look_at_repository(seen: Seen, repository: Restic, settings: Settings, read: Literal["all"] | None) -> None:
    share: Literal["all"] | float = read or settings.backup.read_data_percent
    for line in repository.check(share):
        seen.fault(repository.shown, line, ANEW)
    seen.looked.append(
        f"repository {repository.shown}: structure, and {'all' if share == 'all' else f'{share:g} %'} of the data"
    )
    keys = open_keys_repository(settings)
    if keys is None:
        seen.notes.append(NO_KEYS)
        return
    for line in keys.check("all"):
        seen.fault(keys.shown, line, ANEW)
    seen.looked.append(f"repository of keys {keys.shown}: structure and all data")


def _look_at_age(seen: Seen, newest: Listed, settings: Settings) -> None:
    age_h = (system_clock() - newest.taken_at) / _HOUR_MS
    if age_h < -AHEAD_H:
        told = f"its time is {-age_h:.1f} hours ahead of this clock, so that its age is not known"
        seen.fault(f"backup {newest.id}", told, "correct the clock that is wrong, then run `tidegate backup`")
    elif not age_h <= settings.backup.late_after_hours:
        told = f"it is {age_h:.0f} hours old, expected at most {settings.backup.late_after_hours:g} (backup.late_after_hours)"
        seen.fault(f"backup {newest.id}", told, "see why the daily flow took none, and run `tidegate backup`")


def _look_at_record(seen: Seen, repository: Restic, newest: Listed, settings: Settings) -> None:
    """The closing record must be readable, and the keys that it says it has must be in their repository."""
    where = f"backup {newest.id}"
    try:
        name = newest.record(repository).keys
        keys = open_keys_repository(settings)
        if name and keys is not None and not any(name in one.values("backup") for one in keys.snapshots()):
            seen.fault(f"{where}, keys", f"its keys are not in {keys.shown}", ANEW)
    except BackupError as error:
        seen.fault(where, error.what, ANEW)


def _look_for_newer(seen: Seen, repository: Restic, listing: Listing, settings: Settings) -> None:
    """A newer backup that the live event ledger names must be there: without it an older one would be restored, and nobody would know."""
    if live.ledger_fault(settings) is not None:
        return  # told elsewhere
    event = EventLedger.from_settings(settings).newest("", "backup")
    if event is None or event.content["taken_at"] <= listing.newest().taken_at:
        return
    if event.content["id"] not in {one.id for one in listing.backups}:
        told = f"the newest backup {event.content['id']} is gone: the event ledger names it, and the newest one there is older"
        seen.fault(repository.shown, told, ANEW)


def _look_at_newest(
    seen: Seen, repository: Restic, listing: Listing, newest: Listed, settings: Settings
) -> BackupManifest | None:
    where = f"backup {newest.id}"
    try:
        manifest = newest.manifest(repository)
    except BackupError as error:
        seen.fault(where, error.what, ANEW)
        return None
    seen.notes += [one for one in manifest.warnings if one != NO_KEYS]
    verifier = verifier_of(settings.signing.public_key_files)
    if verifier is None:
        seen.notes.append("signatures were not looked at: signing.public_key_files names no key")
    with tempfile.TemporaryDirectory(prefix="tidegate-verify-") as temporary:
        folder = Path(temporary)
        _look_at_databases(seen, repository, newest, manifest, folder, settings)
        _look_at_versions(seen, repository, listing, manifest, folder, verifier)
    return manifest


def _look_at_databases(
    seen: Seen, repository: Restic, newest: Listed, manifest: BackupManifest, folder: Path, settings: Settings
) -> None:
    try:
        repository.restore(newest.snapshot, folder, [one.path for one in manifest.databases])
    except BackupError as error:
        seen.fault(f"backup {newest.id}, databases", error.what, ANEW)
    for one in manifest.databases:
        where, path = f"backup {newest.id}, database {one.name}", folder / one.path.lstrip("/")
        if not path.is_file() or file_digest(path) != one.sha256:
            seen.fault(where, "it is not what was copied", ANEW)
            continue
        seen.fault(where, sqlite.fault(path) if one.kind == "sqlite" else dump_fault(path, settings), ANEW)
        if one.name == "ledger" and one.kind == "sqlite":
            try:
                read_chains_of_file(path, manifest.ledger_head, manifest.events_head)
            except TidegateError as error:
                seen.fault(where, error.what, "use an older backup, and find out who changed the ledger")
        seen.looked.append(f"database {one.name}: {one.bytes} bytes, {one.kind}")


def _look_at_versions(
    seen: Seen,
    repository: Restic,
    listing: Listing,
    newest: BackupManifest,
    folder: Path,
    verifier: Verifier | None,
) -> None:
    """Each version from the newest backup that holds it: a bundle that was pruned or damaged since lies in an older one."""
    sources: dict[str, list[HeldVersion]] = {}
    for version in newest.versions:
        source = next((one for one in reversed(listing.backups) if version.tag in one.holds), None)
        if source is None:
            told = f"no backup holds its bundle: {version.fault or 'it was not whole'}"
            # One that was pruned has no folder; nobody prunes what a rollback would go back to.
            if version.production or version.fallback or version.folder:
                seen.fault(version.name, told, "restore or register it again, then `tidegate backup`")
            else:
                seen.notes.append(f"{version.name}: {told}")
        else:
            sources.setdefault(source.id, []).append(version)
    if not newest.versions:
        seen.notes.append("no version was ever in production")
    for name, versions in sources.items():
        _look_at_bundles(seen, repository, listing.named(name), newest, versions, folder / name, verifier)


def _look_at_bundles(
    seen: Seen,
    repository: Restic,
    source: Listed,
    newest: BackupManifest,
    versions: Sequence[HeldVersion],
    folder: Path,
    verifier: Verifier | None,
) -> None:
    try:
        manifest = newest if newest.id == source.id else source.manifest(repository)
        folders = {one.name: one.folder for one in manifest.versions if one.folder}
        places = {one.name: Path(manifest.artifacts_path, folders.get(one.name, "")) for one in versions}
        repository.restore(source.snapshot, folder, [str(place.parent) for place in places.values()])
    except BackupError as error:
        seen.fault(f"backup {source.id}, {', '.join(one.name for one in versions)}", error.what, ANEW)
        return
    for one in versions:
        restored = folder / str(places[one.name]).lstrip("/")
        where = f"backup {source.id}, {one.name}"
        seen.fault(where, bundle_fault(restored, one.digest), ANEW)
        unsigned = signature_fault(restored, one.digest, verifier)
        if one.production:
            seen.fault(where, unsigned, "name the key that signed it, or run `tidegate repair`, then `tidegate backup`")
        elif unsigned:
            seen.notes.append(f"{where}: {unsigned}")
        seen.looked.append(
            f"{one.name}{' in production' if one.production else ''}: bundle and digests, in {source.id}"
        )
