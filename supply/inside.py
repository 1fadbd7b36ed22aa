"""Runs inside an image, on the standard library alone, and prints as JSON what is installed there: Python's packages and Debian's.

It looks at the files, not at what an interpreter would import, so it finds packages of every environment in the image.
"""

import json
import os
import platform
import re
import sys
from email.parser import Parser
from pathlib import Path
from typing import Any

_NOT_FILES = ("/proc", "/sys", "/dev")
_STATUS = Path("/var/lib/dpkg/status")
_OWN_FILES = Path("/var/lib/dpkg/status.d")


def python_packages(top: str = "/") -> list[dict[str, Any]]:
    """Name, version, licences and folder of every installed distribution, sorted."""
    found: list[dict[str, Any] | None] = []
    for folder, inner, _ in os.walk(top):
        inner[:] = [name for name in inner if str(Path(folder, name)) not in _NOT_FILES]
        found += [_distribution(Path(folder, name)) for name in inner if name.endswith((".dist-info", ".egg-info"))]
    return sorted((one for one in found if one), key=lambda one: (one["name"].lower(), one["version"], one["folder"]))


def packages_of(site: str) -> list[dict[str, Any]]:
    """The same of one environment's folder."""
    found = [_distribution(path) for path in sorted(Path(site).glob("*-info"))]
    return [one for one in found if one]


def _distribution(folder: Path) -> dict[str, Any] | None:
    for name in ("METADATA", "PKG-INFO"):
        if (folder / name).is_file():
            told = Parser().parsestr((folder / name).read_text(encoding="utf-8", errors="replace"), headersonly=True)
            classifiers = told.get_all("Classifier") or []
            return {
                "name": told["Name"],
                "version": told["Version"],
                "expression": told.get("License-Expression"),
                "license": told.get("License"),
                "classifiers": [one for one in classifiers if one.startswith("License ::")],
                "folder": str(folder.parent),
            }
    return None


def debian_packages() -> list[dict[str, Any]]:
    """Name, version, architecture and licences of every package that dpkg installed, sorted."""
    files = [_STATUS] if _STATUS.is_file() else []
    if _OWN_FILES.is_dir():
        files += sorted(path for path in _OWN_FILES.iterdir() if not path.name.endswith(".md5sums"))
    found = []
    for path in files:
        for block in path.read_text(encoding="utf-8", errors="replace").split("\n\n"):
            told = dict(re.findall(r"^(Package|Version|Architecture|Status|Source): (.*)$", block, re.MULTILINE))
            if "Package" in told and told.get("Status", "ok installed").endswith("ok installed"):
                found.append(
                    {
                        "name": told["Package"],
                        "version": told["Version"],
                        "architecture": told["Architecture"],
                        "source": told.get("Source", told["Package"]),
                        "licenses": _copyright(told["Package"]),
                    }
                )
    return sorted(found, key=lambda one: (one["name"], one["architecture"]))


def _copyright(package: str) -> list[str]:
    """Short names of licences, where the package's copyright file is one that machines can read; they stand for parts of it."""
    try:
        text = Path(f"/usr/share/doc/{package}/copyright").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    if "copyright-format/1" not in text[:2000]:
        return []
    return sorted({one.strip() for one in re.findall(r"^License:[ \t]*(\S[^\n]{0,99})$", text, re.MULTILINE)})


def release() -> dict[str, str]:
    """What /etc/os-release says."""
    try:
        lines = Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    return {name: value.strip('"') for name, _, value in (line.partition("=") for line in lines) if value}


def look() -> dict[str, Any]:
    """All of it."""
    return {
        "python": {
            "implementation": platform.python_implementation(),
            "version": platform.python_version(),
            "machine": platform.machine(),
        },
        "release": release(),
        "packages": python_packages(),
        "debian": debian_packages(),
    }


if __name__ == "__main__":
    json.dump(look(), sys.stdout)
