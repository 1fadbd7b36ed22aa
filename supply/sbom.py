"""Writes the images' bills of materials, CycloneDX 1.6 as JSON: `python -m supply.sbom`, as `make sbom` does.

Each image is asked for what is installed in it (inside.py), in a container without a network that can write nothing. Python's packages get the hashes of their
lock, Debian's their versions and architectures. Where no container engine answers, the bill is made from the lock alone, and says so: it has no Debian packages.

The same image and lock give the same bytes: there is no time in a bill, and its serial number is computed from its content. A package of tidegate's environment that
is not in the lock, or one that the lock wants and the image lacks, is a fault, and then nothing is written.
"""

import argparse
import importlib.metadata
import json
import subprocess
import sys
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from packaging.utils import canonicalize_name

from supply import inside
from supply.locks import Locked, by_name, read_lock

ROOT: Final = Path(__file__).parents[1]
ENVIRONMENT: Final = "/opt/tidegate"
"""Where the Dockerfiles put Python's packages."""
DEFAULT_PYTHON: Final = "3.13.0"
"""Of the Dockerfiles' default base; what a lock is read for where no image is asked."""
_LONGEST_S: Final = 300
_SPACE: Final = uuid.UUID("6f4a1f0e-3b5f-5d0c-9a55-7c8d3f2b1e60")
_NO_LICENCE: Final = {"", "unknown", "UNKNOWN"}


class NoBill(Exception):
    """A bill cannot be made, and why."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What a bill is of.

    Attributes:
        name: `serving` or `pipeline`.
        version: the image's id, or the lock's digest.
        source: `image` or `lock`.
    """

    name: str
    version: str
    source: str


def environment_of(python: Mapping[str, str]) -> dict[str, str]:
    """The names of PEP 508 for CPython on Linux."""
    version = python["version"]
    return {
        "implementation_name": python["implementation"].lower(),
        "implementation_version": version,
        "os_name": "posix",
        "platform_machine": python["machine"],
        "platform_python_implementation": python["implementation"],
        "platform_system": "Linux",
        "python_full_version": version,
        "python_version": ".".join(version.split(".")[:2]),
        "sys_platform": "linux",
    }


def ask(docker: str, image: str) -> tuple[str, dict[str, Any]]:
    """The image's id, and what `inside.py` finds in it.

    Raises:
        NoBill: there is no such image, or it cannot be asked.
    """
    identity = _run([docker, "image", "inspect", "--format", "{{.Id}}", image])
    if identity.returncode:
        raise NoBill(
            f"there is no image {image}: `make image-serving image-pipeline` builds both; {identity.stderr.strip()}"
        )
    command = [
        docker,
        "run",
        "--rm",
        "--interactive",
        "--network=none",
        "--read-only",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
    ]
    command += [f"--entrypoint={ENVIRONMENT}/bin/python", image, "-I", "-S", "-"]
    done = _run(command, Path(inside.__file__).read_text(encoding="utf-8"))
    if done.returncode:
        raise NoBill(f"image {image} cannot be asked: {done.stderr.strip()[-500:]}")
    return identity.stdout.strip(), json.loads(done.stdout)


def answers(docker: str) -> bool:
    """Whether a container engine answers."""
    try:
        return not _run([docker, "version", "--format", "{{.Server.Version}}"]).returncode
    except (OSError, subprocess.TimeoutExpired):
        return False


def _run(command: Sequence[str], given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  the operator's docker, without a shell
        command, input=given, capture_output=True, text=True, check=False, timeout=_LONGEST_S
    )


def from_lock(locked: Iterable[Locked]) -> dict[str, Any]:
    """What would be in an image on the default base by its lock. Licences are those of the same versions here, where they are installed."""
    python = {"implementation": "CPython", "version": DEFAULT_PYTHON, "machine": "x86_64"}
    here = {(canonicalize_name(one["name"]), one["version"]): one for one in _installed()}
    packages = []
    for one in locked:
        if one.needed(environment_of(python)):
            told = here.get((canonicalize_name(one.name), one.version), {})
            packages.append({**told, "name": one.name, "version": one.version, "folder": ENVIRONMENT})
    return {"python": python, "release": {}, "packages": packages, "debian": []}


def _installed() -> list[dict[str, Any]]:
    folders = {str(one.locate_file("")) for one in importlib.metadata.distributions()}
    return [one for folder in sorted(folders) for one in inside.packages_of(folder)]


def faults(told: Mapping[str, Any], locked: Iterable[Locked]) -> list[str]:
    """Where an image and its lock differ."""
    known = by_name(locked)
    needed = {key for key, one in known.items() if one.needed(environment_of(told["python"]))}
    there = {
        (canonicalize_name(one["name"]), one["version"])
        for one in told["packages"]
        if one["folder"].startswith(f"{ENVIRONMENT}/") and canonicalize_name(one["name"]) != "tidegate"
    }
    strays = [f"{name} {version} is in the image and not in the lock" for name, version in sorted(there - set(known))]
    return strays + [
        f"{name} {version} is in the lock and not in the image" for name, version in sorted(needed - there)
    ]


def bill(origin: Origin, told: Mapping[str, Any], locked: Iterable[Locked]) -> str:
    """The bill's text.

    Args:
        origin: what it is of.
        told: as `inside.look` gives it.
        locked: the lock, for the hashes.

    Raises:
        NoBill: what came out is not CycloneDX.
    """
    parts = [*_python(told, by_name(locked)), *_debian(told), *_platform(told)]
    image = Component(
        name=f"tidegate-{origin.name}",
        version=origin.version,
        type=ComponentType.CONTAINER,
        bom_ref="image",
        properties=[Property(name="tidegate:source", value=origin.source)],
    )
    bom = Bom(components=parts)
    bom.metadata.component = image
    bom.register_dependency(image, parts)
    written = json.loads(JsonV1Dot6(bom).output_as_string())
    del written["metadata"]["timestamp"], written["serialNumber"]
    content = json.dumps(written, sort_keys=True)
    written["serialNumber"] = f"urn:uuid:{uuid.uuid5(_SPACE, content)}"
    text = json.dumps(written, indent=1, sort_keys=True) + "\n"
    if fault := invalid(text):
        raise NoBill(f"the bill of {origin.name} is not valid: {fault}")
    return text


def invalid(text: str) -> str:
    """What CycloneDX's strict schema says against a bill, empty where it says nothing."""
    fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    return "" if fault is None else str(fault)[:500]


def _python(told: Mapping[str, Any], locked: Mapping[Any, Locked]) -> list[Component]:
    folders: dict[tuple[str, str], list[str]] = {}
    first: dict[tuple[str, str], Mapping[str, Any]] = {}
    for one in told["packages"]:
        key = (canonicalize_name(one["name"]), one["version"])
        first.setdefault(key, one)
        folders.setdefault(key, []).append(one["folder"])
    found = []
    for (name, version), one in sorted(first.items()):
        purl = PackageURL("pypi", None, name, version)
        known = locked.get((canonicalize_name(name), version))
        properties = [Property(name="tidegate:folder", value=folder) for folder in folders[name, version]]
        properties.append(Property(name="tidegate:locked", value="no" if known is None else "yes"))
        found.append(
            Component(
                name=one["name"],
                version=version,
                type=ComponentType.LIBRARY,
                purl=purl,
                bom_ref=str(purl),
                licenses=_licences(one),
                external_references=[] if known is None else [_files_of(purl, known)],
                properties=properties,
            )
        )
    return found


def _files_of(purl: PackageURL, locked: Locked) -> ExternalReference:
    return ExternalReference(
        type=ExternalReferenceType.DISTRIBUTION,
        url=XsUri(str(purl)),
        comment="what was installed has one of these SHA-256; the lock names those of every platform",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest) for digest in locked.hashes],
    )


def _licences(told: Mapping[str, Any]) -> list[License]:
    factory = LicenseFactory()
    for given in (told.get("expression"), told.get("license")):
        # Some put the whole text there.
        if given and given not in _NO_LICENCE and "\n" not in given and len(given) < 100:
            return [factory.make_from_string(given)]
    named = {one.rpartition(" :: ")[2] for one in told.get("classifiers", ())}
    return [factory.make_with_name(name) for name in sorted(named)]


def _debian(told: Mapping[str, Any]) -> list[Component]:
    found = []
    for one in told["debian"]:
        system = told["release"].get("ID", "debian")
        qualifiers = {"arch": one["architecture"], "distro": told["release"].get("VERSION_CODENAME", "unknown")}
        purl = PackageURL("deb", system, one["name"], one["version"], qualifiers)
        found.append(
            Component(
                name=one["name"],
                version=one["version"],
                type=ComponentType.LIBRARY,
                purl=purl,
                bom_ref=str(purl),
                licenses=[LicenseFactory().make_with_name(name) for name in one["licenses"]],
                properties=[Property(name="tidegate:source_package", value=one["source"])],
            )
        )
    return found


def _platform(told: Mapping[str, Any]) -> list[Component]:
    python, release = told["python"], told["release"]
    found = [
        Component(
            name=python["implementation"], version=python["version"], type=ComponentType.PLATFORM, bom_ref="interpreter"
        )
    ]
    if release:
        version = release.get("VERSION_ID", "unknown")
        name = release.get("ID", "linux")
        found.append(Component(name=name, version=version, type=ComponentType.OPERATING_SYSTEM, bom_ref="system"))
    return found


def write(name: str, image: str | None, docker: str, to: Path) -> Path:
    """Make one bill.

    Args:
        name: `serving` or `pipeline`; the lock's name.
        image: None makes it from the lock alone.
        docker: the client.
        to: folder.

    Raises:
        NoBill: as above, or the image differs from the lock.
    """
    lock = ROOT / "requirements" / f"{name}.lock"
    locked = read_lock(lock)
    if image is None:
        origin, told = Origin(name, f"sha256:{sha256(lock.read_bytes()).hexdigest()}", "lock"), from_lock(locked)
    else:
        identity, told = ask(docker, image)
        origin = Origin(name, identity, "image")
        if found := faults(told, locked):
            raise NoBill(f"image {image} is not what requirements/{name}.lock says: " + "; ".join(found[:20]))
    text = bill(origin, told, locked)
    to.mkdir(parents=True, exist_ok=True)
    path = to / f"tidegate-{name}.cdx.json"
    path.write_text(text, encoding="utf-8")
    return path


def main(arguments: list[str] | None = None) -> int:
    """Make the bills that are asked for; 1 where one cannot be made."""
    parser = argparse.ArgumentParser(prog="python -m supply.sbom", description="bills of materials of the images")
    parser.add_argument(
        "images", nargs="*", default=["serving=tidegate-serving", "pipeline=tidegate-pipeline"], metavar="NAME=IMAGE"
    )
    parser.add_argument("--docker", default="docker", help="the client")
    parser.add_argument("--from-lock", action="store_true", help="ask no image")
    parser.add_argument("--to", type=Path, default=ROOT / "runs" / "sbom")
    given = parser.parse_args(arguments)
    engine = not given.from_lock and answers(given.docker)
    if not engine and not given.from_lock:
        print("no container engine answers: the bills are made from the locks, without Debian's packages")
    for name, _, image in (one.partition("=") for one in given.images):
        try:
            path = write(name, image if engine else None, given.docker, given.to)
        except NoBill as fault:
            print(f"supply.sbom: {fault}")
            return 1
        count = len(json.loads(path.read_text(encoding="utf-8"))["components"])
        print(f"{path}: {count} components, from the {'image ' + image if engine else 'lock'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
