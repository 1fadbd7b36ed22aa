"""The crate's lock without the address of a registry: `python3 clients/rust/lock.py` writes Cargo.lock from crates.lock.

crates.lock is Cargo.lock less the lines that say where packages come from; versions and checksums stand in it. Cargo itself says where from.

    python3 clients/rust/lock.py            # Cargo.lock from crates.lock; does nothing where it is right already
    python3 clients/rust/lock.py --write    # crates.lock from Cargo.lock, after `cargo update` or another dependency
"""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

CRATE = Path(__file__).parent
LOCK, KEPT = CRATE / "Cargo.lock", CRATE / "crates.lock"
_SOURCE = re.compile(r'^source = "[^"]*"\n', re.MULTILINE)
_CHECKSUM = re.compile(r"^checksum = ", re.MULTILINE)


def without_sources(text: str) -> str:
    """A lock less the lines that say where packages come from."""
    return _SOURCE.sub("", text)


def restore(cargo: str) -> None:
    """Write Cargo.lock where it is not what crates.lock says.

    Args:
        cargo: cargo's path.
    Raises:
        OSError, subprocess.CalledProcessError: cargo cannot be run, or cannot reach its registry.
    """
    kept = KEPT.read_text(encoding="utf-8")
    if LOCK.exists() and without_sources(LOCK.read_text(encoding="utf-8")) == kept:
        return
    subprocess.run([cargo, "generate-lockfile", "--quiet"], cwd=CRATE, check=True)
    source = _SOURCE.search(LOCK.read_text(encoding="utf-8"))
    if source is None:
        raise OSError("cargo's lock names no registry")
    whole = LOCK.with_suffix(f".{os.getpid()}")
    # Only what comes from a registry has a checksum.
    whole.write_text(_CHECKSUM.sub(lambda _: f"{source[0]}checksum = ", kept), encoding="utf-8")
    whole.replace(LOCK)


def main() -> int:
    """Run the command line; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="crates.lock from Cargo.lock")
    parser.add_argument("--cargo", default="cargo", help="cargo's path")
    chosen = parser.parse_args()
    if chosen.write:
        KEPT.write_text(without_sources(LOCK.read_text(encoding="utf-8")), encoding="utf-8")
        return 0
    try:
        restore(chosen.cargo)
    except (OSError, subprocess.CalledProcessError) as error:
        print(
            f"Cargo.lock cannot be written: {error}; is cargo there, and does it reach its registry?", file=sys.stderr
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
