"""Reads `requirements/*.lock`: what is installed, and the hashes that the files of each package must have.

A lock has two kinds of lines and no third: `name[extra]==version ; marker`, and one `--hash=sha256:...` for each of the package's files. So it can hold neither
the address of a registry nor a package of another origin, and nothing that looks like a secret goes unseen in it.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from packaging.markers import Marker
from packaging.utils import NormalizedName, canonicalize_name

# Its words are split at white space, and each must be one of these: no regular expression has to find where one ends.
_REQUIREMENT: Final = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]{0,63})(?:\[[a-z0-9,_-]{1,64}\])?==(?P<version>[A-Za-z0-9.!+]{1,32})(?: ; (?P<marker>.+))?"
)
_WORD: Final = re.compile(r"\(*(?:'?[A-Za-z0-9_.*-]{1,40}'?|[!=<>]{1,2})\)*")
_HASH: Final = re.compile(r"    --hash=sha256:(?P<digest>[0-9a-f]{64})")


_CRATE: Final = re.compile(r"[A-Za-z0-9_+. -]{1,64}")
_CHECKSUM: Final = re.compile(r"[0-9a-f]{64}")


class NotALock(ValueError):
    """A line that no lock has, or a requirement without a hash."""


@dataclass(frozen=True, slots=True)
class Locked:
    """A package of a lock.

    Attributes:
        name: as the lock writes it.
        version: the only one that is installed.
        marker: where it is installed; None for everywhere.
        hashes: SHA-256 of each file that may be installed, at least one.
    """

    name: str
    version: str
    marker: str | None
    hashes: tuple[str, ...]

    def needed(self, environment: Mapping[str, str]) -> bool:
        """Whether it is installed there; `environment` has the names of PEP 508, and this machine's values elsewhere."""
        return self.marker is None or Marker(self.marker).evaluate(dict(environment))


def read_lock(path: Path) -> tuple[Locked, ...]:
    """The packages of a lock, in its order.

    Raises:
        NotALock: another kind of line, or a requirement that has no hash.
    """
    return parse(path.read_text(encoding="utf-8"), str(path))


def parse(text: str, where: str) -> tuple[Locked, ...]:
    """The packages of a lock's text; `where` is for messages. Raises as `read_lock` does."""
    found: list[Locked] = []
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.removesuffix("\\").rstrip()
        if digest := _HASH.fullmatch(bare):
            if not found:
                raise NotALock(f"{where}:{number}: a hash of no package")
            last = found[-1]
            found[-1] = Locked(last.name, last.version, last.marker, (*last.hashes, digest["digest"]))
        elif (required := _REQUIREMENT.fullmatch(bare)) and all(
            map(_WORD.fullmatch, (required["marker"] or "").split())
        ):
            found.append(Locked(required["name"], required["version"], required["marker"], ()))
        else:
            raise NotALock(f"{where}:{number}: expected a package with its version or a SHA-256, was {line[:60]!r}")
    without = [one.name for one in found if not one.hashes]
    if without or not found:
        raise NotALock(f"{where}: {', '.join(without) or 'no package'} without a hash")
    return tuple(found)


def is_cargo_lock(text: str) -> bool:
    """Whether it is Cargo's lock without the address of a registry: names, versions and checksums, and nothing else."""
    try:
        told = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    packages = told.pop("package", [])
    if told.keys() != {"version"} or not isinstance(packages, list):
        return False
    return all(_is_crate(one) for one in packages)


def _is_crate(told: Mapping[str, object]) -> bool:
    words = (told.get("name"), told.get("version"), *_listed(told.get("dependencies", [])))
    return (
        told.keys() <= {"name", "version", "checksum", "dependencies"}
        and all(isinstance(word, str) and _CRATE.fullmatch(word) for word in words)
        and _CHECKSUM.fullmatch(str(told.get("checksum", "0" * 64))) is not None
    )


def _listed(told: object) -> tuple[object, ...]:
    return tuple(told) if isinstance(told, list) else (told,)


def by_name(locked: Iterable[Locked]) -> dict[tuple[NormalizedName, str], Locked]:
    """Packages by normalized name and version."""
    return {(canonicalize_name(one.name), one.version): one for one in locked}
