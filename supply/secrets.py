"""Looks for secrets in every file that git tracks: `python -m supply.secrets`. Part of `make check`.

detect-secrets finds them, with all of its detectors, without asking anybody over the network and without its marks in source lines that silence it. What it finds
and is none, such as a made-up password of a test, stands in `known_secrets.yaml` with the reason. Whatever is found beyond that fails, and so does an entry that
finds nothing any more. `--write` brings the file up to date; a new entry lacks its reason, and fails until somebody has looked and written it.

Binary files, and locks that hold nothing but versions and hashes, are not searched. Nor is git's history.
"""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import yaml
from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
from detect_secrets.core.scan import scan_file
from detect_secrets.settings import configure_settings_from_baseline

from supply.locks import NotALock, is_cargo_lock, parse

ROOT: Final = Path(__file__).parents[1]
KNOWN: Final = Path(__file__).with_name("known_secrets.yaml")
_CHUNK: Final = 16
# What no secret is: references, placeholders, rows of neighbouring characters. Not in the list: lines with a mark that silences, files by their names.
_FILTERS: Final = (
    "is_indirect_reference", "is_likely_id_string", "is_not_alphanumeric_string", "is_potential_uuid", "is_prefixed_with_dollar_sign", "is_sequential_string",
    "is_templated_secret",
)  # fmt: skip
# Names of secrets' files, alone or in an address: `{secret:some-name}`, of which the library sees what stands behind the colon.
_NAMES: Final = (r"^[a-z]+(?:-[a-z]+)+\}(?:@[a-z/_]+)?$", r"^\"?secrets/[a-z-]+(?:\.yaml)?\"?$")
_HEAD: Final = """\
# What the scan for secrets finds and is none, with the reason: SHA-1 of each, by file and kind. `python -m supply.secrets --write` adds and removes.
"""


@dataclass(frozen=True, slots=True, order=True)
class Found:
    """Something that looks like a secret.

    Attributes:
        file: below the root, with slashes.
        kind: the detector's word for it.
        digest: SHA-1 of the secret, which is never shown itself.
        line: counted from 1; 0 where only the list of known ones told it.
    """

    file: str
    kind: str
    digest: str
    line: int = 0

    @property
    def key(self) -> tuple[str, str, str]:
        """What stays when lines move."""
        return self.file, self.kind, self.digest


@dataclass(frozen=True, slots=True)
class Known:
    """Reviewed findings of one file.

    Attributes:
        why: why they are no secrets.
        found: digests by kind.
    """

    why: str
    found: Mapping[str, tuple[str, ...]]

    def keys(self, file: str) -> set[tuple[str, str, str]]:
        """As `Found.key`."""
        return {(file, kind, digest) for kind, digests in self.found.items() for digest in digests}


def tracked(root: Path) -> list[str]:
    """Files that git tracks, also those added a moment ago.

    Raises:
        SystemExit: not a git checkout, or one that tracks nothing.
    """
    program = shutil.which("git")
    if program is None:
        raise SystemExit("supply.secrets: git is not on this machine")
    command = [program, "-C", str(root), "ls-files", "-z"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  git, without a shell
    names = [name for name in done.stdout.split("\0") if name]
    if done.returncode or not names:
        raise SystemExit(f"supply.secrets: {root} is no git checkout with files: {done.stderr.strip()}")
    return [name for name in names if (root / name).is_file()]


def scan(root: Path, names: Iterable[str], workers: int = 1) -> list[Found]:
    """What looks like a secret in these files, sorted.

    Args:
        root: of the checkout.
        names: files below it.
        workers: processes.
    """
    searched = [name for name in names if not _is_lock(root / name)]
    chunks = [searched[at : at + _CHUNK] for at in range(0, len(searched), _CHUNK)]
    if workers == 1:
        found = [_scan_chunk(root, chunk) for chunk in chunks]
    else:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            found = list(pool.map(_scan_chunk, [root] * len(chunks), chunks))
    return sorted(one for chunk in found for one in chunk)


def _is_lock(path: Path) -> bool:
    if path.suffix != ".lock":
        return False
    try:
        text = path.read_text(encoding="utf-8")
        return is_cargo_lock(text) or bool(parse(text, str(path)))
    except (NotALock, UnicodeDecodeError):
        return False


def _scan_chunk(root: Path, names: list[str]) -> list[Found]:
    detectors: dict[str, type] = get_mapping_from_secret_type_to_class()
    settings = configure_settings_from_baseline(
        {
            "plugins_used": [{"name": one.__name__} for one in detectors.values()],
            "filters_used": [
                *({"path": f"detect_secrets.filters.heuristic.{name}"} for name in _FILTERS),
                {"path": "detect_secrets.filters.regex.should_exclude_secret", "pattern": list(_NAMES)},
            ],
        }
    )
    settings.disable_filters("detect_secrets.filters.heuristic.is_non_text_file")
    found: list[Found] = []
    for name in names:
        # The library only warns of a file that it cannot read.
        (root / name).open("rb").close()
        found += [Found(name, one.type, one.secret_hash, one.line_number) for one in scan_file(str(root / name))]
    return found


def read_known(path: Path) -> dict[str, Known]:
    """The reviewed findings by file; none where there is no such file."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    told = yaml.safe_load(text) or {}
    return {
        file: Known(entry["why"], {kind: tuple(digests) for kind, digests in entry["found"].items()})
        for file, entry in told.items()
    }


def complaints(found: Iterable[Found], known: Mapping[str, Known]) -> list[str]:
    """Why the check fails; empty when it passes. No line shows a secret."""
    found = list(found)
    reviewed = {key for file, entry in known.items() for key in entry.keys(file)}
    there = {one.key for one in found}
    new = [f"{one.file}:{one.line}: {one.kind}" for one in found if one.key not in reviewed]
    gone = [
        f"{file}: {kind} {digest[:8]} is known and no longer there" for file, kind, digest in sorted(reviewed - there)
    ]
    without = [f"{file}: known without a reason" for file, entry in sorted(known.items()) if not entry.why.strip()]
    return [*new, *gone, *without]


def renewed(found: Iterable[Found], known: Mapping[str, Known]) -> str:
    """The text of the list for what is found now; reasons stay, new files have none."""
    told = {}
    for file, ones in groupby(sorted(found), key=lambda one: one.file):
        kinds: dict[str, list[str]] = {}
        for one in ones:
            kinds.setdefault(one.kind, []).append(one.digest)
        why = known[file].why if file in known else ""
        told[file] = {"why": why, "found": {kind: sorted(set(digests)) for kind, digests in kinds.items()}}
    return _HEAD + yaml.safe_dump(told, sort_keys=False, width=160, allow_unicode=True)


def main(arguments: list[str] | None = None) -> int:
    """Scan and tell; 1 for anything that is not known."""
    parser = argparse.ArgumentParser(prog="python -m supply.secrets", description="look for secrets in tracked files")
    parser.add_argument("--root", type=Path, default=ROOT)
    parser.add_argument("--known", type=Path, default=KNOWN)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--write", action="store_true", help="bring the list of known findings up to date")
    given = parser.parse_args(arguments)
    names = tracked(given.root)
    found = scan(given.root, names, given.workers)
    if given.write:
        given.known.write_text(renewed(found, read_known(given.known)), encoding="utf-8")
    told = complaints(found, read_known(given.known))
    for line in told:
        print(line)
    print(f"{len(names)} files, {len(found)} findings, {len(told)} complaints")
    if told:
        print(
            "look at each: take the secret out and revoke it, or run `python -m supply.secrets --write` and give the reason in the list"
        )
    return bool(told)


if __name__ == "__main__":
    sys.exit(main())
