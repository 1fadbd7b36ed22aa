"""A bundle on disk: the model's files and the manifest that names the digest of each. Imported by the serving container."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from tidegate.errors import BundleError
from tidegate.model.manifest import GoldenVector, Manifest, canonical_json

MANIFEST: Final = "manifest.json"
ONNX: Final = "model.onnx"
UBJ: Final = "model.ubj"
GOLDEN: Final = "golden.json"
DECISION: Final = "decision.json"  # written after the manifest, bound to its digest, so not listed in it
_REQUIRED: Final = (ONNX, UBJ, GOLDEN)
_KNOWN: Final = frozenset({MANIFEST, DECISION, *_REQUIRED})
_GOLDEN = TypeAdapter(tuple[GoldenVector, ...])


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """A verified bundle in memory.

    Attributes:
        manifest: what the model is.
        digest: SHA-256 of the manifest, the bundle's name in ledgers and logs.
        onnx, ubj: the model's files.
        golden: windows with the answers that every serving process must give.
    """

    manifest: Manifest
    digest: str
    onnx: bytes
    ubj: bytes
    golden: tuple[GoldenVector, ...]


def sha256(content: bytes) -> str:
    """Hex digest of bytes."""
    return hashlib.sha256(content).hexdigest()


def golden_bytes(golden: tuple[GoldenVector, ...]) -> bytes:
    """Golden vectors as canonical JSON.

    Raises:
        BundleError: a number is NaN or infinite.
    """
    return canonical_json([vector.model_dump(mode="json") for vector in golden], GOLDEN)


def write_bundle(folder: Path, manifest: Manifest, files: Mapping[str, bytes]) -> Bundle:
    """Write a bundle into a new folder, the manifest last, and read it back verified.

    Raises:
        BundleError: the folder holds something already, or the files are not the ones the manifest names.
    """
    if folder.exists() and any(folder.iterdir()):
        raise BundleError(
            f"folder {folder} is not empty", next_step="bundles are written once, into a folder of their own"
        )
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        _write(folder / name, content)
    _write(folder / MANIFEST, manifest.to_bytes())
    return load_bundle(folder)


def verify_files(folder: Path) -> Manifest:
    """Check each file of a bundle against its manifest.

    Raises:
        BundleError: a file is missing, altered or not named, or the manifest cannot be read.
    """
    return load_bundle(folder).manifest


def load_bundle(folder: Path) -> Bundle:
    """Read a bundle, checking every file's digest before anything is used.

    Raises:
        BundleError: a file is missing, altered or not named, or the manifest cannot be read or is not canonical.
    """
    raw = _read(folder, MANIFEST)
    try:
        manifest = Manifest.model_validate_json(raw)
    except ValidationError as error:
        raise BundleError(
            f"{folder / MANIFEST} is not a manifest of schema version 1: {error.error_count()} faults"
        ) from error
    if manifest.to_bytes() != raw:
        raise BundleError(
            f"{folder / MANIFEST} is not in canonical form", next_step="it was written or altered by something else"
        )
    if set(manifest.files) != set(_REQUIRED):
        raise BundleError(
            f"{folder / MANIFEST} names the wrong files", expected=sorted(_REQUIRED), actual=sorted(manifest.files)
        )
    unknown = sorted(path.name for path in folder.iterdir() if path.name not in _KNOWN)
    if unknown:
        raise BundleError(
            f"{folder} holds what no manifest names: {', '.join(unknown)}",
            expected=f"only {', '.join(sorted(_KNOWN))}",
            next_step="find out where it came from; a bundle is registered and fetched whole, and nothing is added to it",
        )
    contents = {}
    for name, expected in sorted(manifest.files.items()):
        contents[name] = _read(folder, name)
        actual = sha256(contents[name])
        if actual != expected:
            raise BundleError(f"{folder / name} was altered", expected=f"SHA-256 {expected}", actual=actual)
    try:
        golden = _GOLDEN.validate_json(contents[GOLDEN])
    except ValidationError as error:
        raise BundleError(f"{folder / GOLDEN} holds no golden vectors: {error.error_count()} faults") from error
    if not golden:
        raise BundleError(f"{folder / GOLDEN} is empty", expected="at least one golden vector")
    return Bundle(manifest, sha256(raw), contents[ONNX], contents[UBJ], golden)


def _read(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise BundleError(f"{folder / name} cannot be read: {error.strerror}") from error


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
