"""Mending the live installation where a single bundle or artifact is damaged: the damaged one is set aside, the backup's takes its place."""

import glob
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tidegate.backup.bundles import bundle_of, file_digest, verifier_of
from tidegate.backup.listing import Listed, Listing, list_backups
from tidegate.backup.live import artifact_faults, protected_of
from tidegate.backup.lock import only_one
from tidegate.backup.manifest import BackupManifest
from tidegate.backup.opening import open_repository
from tidegate.backup.places import Installation, installation, own_folder
from tidegate.backup.restic import Restic
from tidegate.backup.take import note
from tidegate.durable import sync
from tidegate.errors import BackupError, TidegateError
from tidegate.model.bundle import verify_files
from tidegate.settings.settings import Settings


@dataclass(frozen=True, slots=True)
class Mended:
    """A bundle's folder, or a file, that was put back.

    Attributes:
        path: within the artifacts.
        why: what was wrong with it.
        backup: name of the backup that it came from.
        aside: where the damaged one lies now; None where nothing was left of it.
    """

    path: str
    why: str
    backup: str
    aside: Path | None


def mend(settings: Settings, root: Path, *, actor: str, artifact: str | None = None) -> list[Mended]:
    """Put damaged or deleted artifacts back, each from the newest backup that holds it whole.

    Args:
        settings: of the installation.
        root: the project's folder.
        actor: who; goes into the event ledger.
        artifact: a bundle's folder or a file within the artifacts, as `tidegate verify --live` names it; None: all that are damaged.

    Returns:
        What was mended; nothing where nothing is damaged.

    Raises:
        BackupError: no backup holds one of them whole, or the name is none of an artifact. What else could be mended is, and is recorded.
    """
    repository = open_repository(settings)
    with only_one(own_folder(settings)):
        place = installation(settings, root)
        listing = list_backups(repository)
        manifest = listing.newest().manifest(repository)
        faults = artifact_faults(
            place.artifacts,
            manifest,
            protected_of(manifest, place, settings),
            verifier_of(settings.signing.public_key_files),
        )
        units = _units(faults, artifact, manifest)
        done: list[Mended] = []
        lost: list[BackupError] = []
        for unit, why in units.items():
            try:
                done.append(_mend_one(repository, place, settings, unit, why, listing, manifest))
            except BackupError as error:
                lost.append(error)
            except OSError as error:
                lost.append(_not_writable(unit, error))
    if done:
        content = [
            {"path": one.path, "why": one.why, "backup": one.backup, "aside": str(one.aside or "")} for one in done
        ]
        note(settings, "restored", "in place", actor, {"artifacts": content})
    if lost:
        raise lost[0]
    return done


def _units(faults: dict[str, str], artifact: str | None, manifest: BackupManifest) -> dict[str, str]:
    """What is put back as one, a bundle's folder or a file, and why."""
    found: dict[str, str] = {}
    for path, why in faults.items():
        found.setdefault(bundle_of(path) or path, f"{path.rpartition('/')[2]}: {why}")
    if artifact is None:
        return found
    named = artifact.strip("/")
    unit = named if named in found else bundle_of(named) or named
    if unit not in found and not any(path == unit or path.startswith(f"{unit}/") for path in manifest.artifacts):
        raise BackupError(
            f"the newest backup knows no artifact {artifact}",
            expected="a path within the artifacts",
            next_step="`tidegate verify --live` names what is damaged",
        )
    return {unit: found[unit]} if unit in found else {}


def _mend_one(
    repository: Restic,
    place: Installation,
    settings: Settings,
    unit: str,
    why: str,
    listing: Listing,
    manifest: BackupManifest,
) -> Mended:
    with tempfile.TemporaryDirectory(prefix="mending-", dir=own_folder(settings)) as temporary:
        for number, (source, known) in enumerate(_newest_first(repository, listing, manifest)):
            restored = _restored(repository, source, known, unit, Path(temporary) / str(number))
            if restored is not None:
                aside = _swap(restored, place.artifacts / unit, _aside(settings, unit))
                return Mended(unit, why, source.id, aside)
    raise BackupError(
        f"no backup holds {unit} whole",
        next_step="if it is a bundle, register the model again; `tidegate history` says what it was",
    )


def _not_writable(unit: str, error: OSError) -> BackupError:
    found = BackupError(
        f"{unit} cannot be put back: {error}",
        expected="artifacts that whoever runs this may write, and room for another copy",
        next_step="free the disk or run it as the artifacts' owner; in the containers' stack that is the service `restore`",
    )
    found.__cause__ = error
    return found


def _newest_first(
    repository: Restic, listing: Listing, manifest: BackupManifest
) -> Iterator[tuple[Listed, BackupManifest]]:
    """Backups with their manifests; that of the newest has been read already."""
    yield listing.newest(), manifest
    for one in reversed(listing.backups[:-1]):
        yield one, one.manifest(repository)


def _restored(repository: Restic, source: Listed, manifest: BackupManifest, unit: str, folder: Path) -> Path | None:
    """The unit out of a backup, None where it is not in it, or not whole."""
    files = _files(unit, manifest)
    if not files:
        return None
    inside = Path(manifest.artifacts_path) / unit
    try:
        repository.restore(source.snapshot, folder, [str(inside)])
        restored = folder / str(inside).lstrip("/")
        base = folder / manifest.artifacts_path.lstrip("/")
        if any(file_digest(base / path) != manifest.artifacts[path] for path in files):
            return None
        if restored.is_dir():
            verify_files(restored)
    except (TidegateError, OSError):
        return None
    return restored


def _files(unit: str, manifest: BackupManifest) -> Sequence[str]:
    return [path for path in manifest.artifacts if path == unit or path.startswith(f"{unit}/")]


def _swap(restored: Path, live: Path, aside: Path) -> Path | None:
    """Set the live one aside, and put the restored one there: written whole beside it first, then renamed."""
    live.parent.mkdir(parents=True, exist_ok=True)
    for left in live.parent.glob(
        f".{glob.escape(live.name)}.mending-*"
    ):  # by a process that was killed here; we hold the lock
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    fresh = live.with_name(f".{live.name}.mending-{os.getpid()}")
    if restored.is_dir():
        shutil.copytree(restored, fresh)
        for file in fresh.iterdir():
            sync(file)
    else:
        shutil.copy2(restored, fresh)
    sync(fresh)
    was_there = live.exists()
    if was_there:
        aside.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(live, aside)
    fresh.rename(live)
    sync(live.parent)
    return aside if was_there else None


def _aside(settings: Settings, unit: str) -> Path:
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    return own_folder(settings) / "set-aside" / stamp / unit
