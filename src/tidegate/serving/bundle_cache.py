"""The last good bundles on disk, so that a start needs no registry. Each is there whole or not at all, and is verified again when it is read.

::

    <serving.cache>/<strategy>/
        current                  JSON: version and digest of what serves and of what served before, the newest first
        state                    the last signed state that was believed
        <digest>/bundle/...      read-only files, exactly the bundle's
        <digest>/signature/...   as they lie in the registry

One folder belongs to one process: replicas on one machine get one each. What makes a bundle trustworthy is checked by who reads it, not here.
"""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from tidegate.durable import sync
from tidegate.errors import BundleError, ServiceError
from tidegate.model.bundle import GOLDEN, MANIFEST, ONNX, UBJ, Bundle, golden_bytes, load_bundle

_CURRENT, _STATE, _BUNDLE, _SIGNATURE = "current", "state", "bundle", "signature"
_TEMPORARY: Final = ".new-"
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_MEMORY: Final = Path("/dev/shm")  # noqa: S108  the one writable place of a container with a read-only root
_MAX_SMALL_BYTES: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Entry:
    """A bundle that was in service: the registry's version number and the manifest's digest."""

    version: int
    digest: str


class BundleCache:
    """Bundles below one folder. Making one touches nothing.

    Every writing method raises ServiceError where the folder is read-only or full; what was there before is still there then.

    Args:
        folder: `serving.cache`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def entries(self, strategy: str) -> list[Entry]:
        """What was in service last, the newest first; empty where nothing was or nobody can tell."""
        text = self._small(strategy, _CURRENT)
        try:
            found = [Entry(int(one["version"]), str(one["digest"])) for one in json.loads(text or "[]")]
        except (ValueError, KeyError, TypeError, RecursionError):
            return []
        return [entry for entry in found if _DIGEST.fullmatch(entry.digest)]

    def read(self, strategy: str, digest: str) -> tuple[Bundle, dict[str, bytes]]:
        """A bundle and its signatures by file name. A damaged one is removed.

        Raises:
            BundleError: it is missing, damaged, or not the one that its folder is named after.
        """
        place = self._place(strategy) / digest
        try:
            bundle = _named_so(_loaded(place / _BUNDLE), digest)
            signatures = {path.name: path.read_bytes()[:_MAX_SMALL_BYTES] for path in _listed(place / _SIGNATURE)}
        except (BundleError, OSError) as error:
            shutil.rmtree(place, ignore_errors=True)
            told = error.what if isinstance(error, BundleError) else str(error)
            raise BundleError(
                f"the cached bundle was damaged and is removed: {told}",
                next_step="it is fetched from the registry again; look at the disk if this comes back",
            ) from error
        return bundle, signatures

    def keep(self, strategy: str, entries: Sequence[Entry]) -> None:
        """Say what is in service now and what was before, and remove every other bundle.

        Raises:
            ServiceError: the folder cannot be written.
        """
        content = json.dumps([{"version": entry.version, "digest": entry.digest} for entry in entries])
        if content != self._small(strategy, _CURRENT):
            with self._writing(strategy) as place:
                _write_small(place, _CURRENT, content)
        kept = {entry.digest for entry in entries}
        for path in _listed(self._place(strategy)):
            if path.is_dir() and path.name not in kept:
                shutil.rmtree(path, ignore_errors=True)

    def store(self, strategy: str, bundle: Bundle, signatures: Mapping[str, bytes]) -> None:
        """Put a verified bundle on disk; one that is there already is left as it is but for its signatures.

        Raises:
            ServiceError: the folder cannot be written.
        """
        with self._writing(strategy) as place:
            final = place / bundle.digest
            if _is_whole(final, bundle) and _signatures(final) == dict(signatures):
                return
            fresh = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=place))
            try:
                _write_all(fresh / _BUNDLE, _contents(bundle))
                _write_all(fresh / _SIGNATURE, signatures)
                load_bundle(fresh / _BUNDLE)
                fresh.chmod(0o755)
                sync(fresh)
                shutil.rmtree(final, ignore_errors=True)
                fresh.rename(final)
                sync(place)
            finally:
                shutil.rmtree(fresh, ignore_errors=True)

    def state(self, strategy: str) -> str | None:
        """The last signed state that was believed, as text; None where none was.

        Raises:
            ServiceError: there is one, but it cannot be read.
        """
        path = self._place(strategy) / _STATE
        try:
            return path.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise ServiceError(f"{path} cannot be read", setting="serving.cache") from error

    def store_state(self, strategy: str, text: str) -> None:
        """Keep a signed state.

        Raises:
            ServiceError: the folder cannot be written.
        """
        with self._writing(strategy) as place:
            _write_small(place, _STATE, text)

    def verified(self, contents: Mapping[str, bytes]) -> Bundle:
        """A bundle from its files' contents, checked by `load_bundle`, which reads folders: a passing one, wherever one can be written.

        Raises:
            BundleError: as `load_bundle`.
            ServiceError: nowhere can anything be written.
        """
        fault: OSError | None = None
        for place in (None, _MEMORY, self._folder):
            try:
                with tempfile.TemporaryDirectory(prefix="tidegate-bundle-", dir=place) as folder:
                    for name, content in contents.items():
                        Path(folder, name).write_bytes(content)
                    return _loaded(Path(folder))
            except OSError as error:
                fault = error
        raise ServiceError(
            "a bundle was fetched but cannot be checked, as no folder can be written",
            expected="a writable serving.cache or temporary folder",
            next_step="mount one, such as a tmpfs at /tmp",
        ) from fault

    def _place(self, strategy: str) -> Path:
        name = quote(strategy, safe="")
        return self._folder / (name if not name.startswith(".") else f"%2E{name[1:]}")

    def _small(self, strategy: str, name: str) -> str | None:
        try:
            return (self._place(strategy) / name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return None

    @contextmanager
    def _writing(self, strategy: str) -> Iterator[Path]:
        place = self._place(strategy)
        try:
            place.mkdir(parents=True, exist_ok=True)
            yield place
        except (OSError, BundleError) as error:
            told = error.strerror if isinstance(error, OSError) else error.what
            raise ServiceError(
                f"{place} cannot be written: {told}",
                setting="serving.cache",
                next_step="models are served from memory meanwhile, and the next start needs the registry",
            ) from error


def _loaded(folder: Path) -> Bundle:
    """As `load_bundle`, with messages that do not name the passing folder: the same fault has the same text each time."""
    try:
        return load_bundle(folder)
    except BundleError as error:
        what = error.what.replace(f"{folder}/", "").replace(str(folder), "the bundle")
        raise BundleError(
            what, expected=error.expected, actual=error.actual, setting=error.setting, next_step=error.next_step
        ) from error


def _named_so(bundle: Bundle, digest: str) -> Bundle:
    if bundle.digest != digest:
        raise BundleError("it is another bundle", expected=digest, actual=bundle.digest)
    return bundle


def _contents(bundle: Bundle) -> dict[str, bytes]:
    golden = golden_bytes(bundle.golden)
    return {ONNX: bundle.onnx, UBJ: bundle.ubj, GOLDEN: golden, MANIFEST: bundle.manifest.to_bytes()}


def _is_whole(place: Path, bundle: Bundle) -> bool:
    try:
        return load_bundle(place / _BUNDLE).digest == bundle.digest
    except BundleError:
        return False


def _signatures(place: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in _listed(place / _SIGNATURE)}


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _write_all(folder: Path, contents: Mapping[str, bytes]) -> None:
    folder.mkdir()
    for name, content in contents.items():
        _write_synced(folder / name, content)
    sync(folder)


def _write_small(place: Path, name: str, text: str) -> None:
    fresh = place / f"{_TEMPORARY}{name}"
    fresh.unlink(missing_ok=True)
    try:
        _write_synced(fresh, text.encode())
        fresh.rename(place / name)
        sync(place)
    finally:
        fresh.unlink(missing_ok=True)


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fchmod(file.fileno(), 0o444)
        os.fsync(file.fileno())
