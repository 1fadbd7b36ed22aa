"""Bills of materials: whole, valid, the same each time, and refused where image and lock differ. Real images: tests/container/test_sbom.py."""

import importlib.metadata
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import cyclonedx
import pytest
from packaging.utils import canonicalize_name
from supply import inside, sbom
from supply.locks import Locked, read_lock
from supply.sbom import NoBill, Origin, bill, environment_of, faults, from_lock, invalid

ROOT = Path(__file__).parents[3]
PYTHON = {"implementation": "CPython", "version": "3.13.5", "machine": "x86_64"}
SITE = "/opt/tidegate/lib/python3.13/site-packages"
LOCKED = (
    Locked("Fast.One", "1.0", None, ("a" * 64, "b" * 64)),
    Locked("other", "2.0", "sys_platform == 'win32'", ("c" * 64,)),
)


def package(name: str, version: str, folder: str = SITE, **more: Any) -> dict[str, Any]:  # noqa: ANN401  JSON
    return {"name": name, "version": version, "folder": folder, **more}


def told(*packages: dict[str, Any]) -> dict[str, Any]:
    debian = {
        "name": "libc6", "version": "2.41-12", "architecture": "amd64", "source": "glibc", "licenses": ["GPL-2+", "MIT"],
    }  # fmt: skip
    release = {"ID": "debian", "VERSION_ID": "13", "VERSION_CODENAME": "trixie"}
    return {"python": PYTHON, "release": release, "packages": list(packages), "debian": [debian]}


def components(text: str) -> dict[str, Any]:
    return {one["name"]: one for one in json.loads(text)["components"]}


@pytest.mark.parametrize("name", ["serving", "pipeline"])
def test_a_lock_alone_gives_a_valid_bill_with_every_hash(name: str) -> None:
    locked = read_lock(ROOT / "requirements" / f"{name}.lock")
    # Whatever the schema refuses raises here.
    found = components(bill(Origin(name, "sha256:1", "lock"), from_lock(locked), locked))
    wanted = [one for one in locked if one.needed(environment_of(PYTHON))]
    assert len(found) == len(wanted) + 1, "and the interpreter"
    for one in wanted:
        (files,) = found[one.name]["externalReferences"]
        assert {each["content"] for each in files["hashes"]} == set(one.hashes)
        assert found[one.name]["purl"] == f"pkg:pypi/{canonicalize_name(one.name)}@{one.version}"
    assert sum("licenses" in found[one.name] for one in wanted) > 0.9 * len(wanted)


def test_the_same_gives_the_same_bytes_and_another_content_another_number() -> None:
    one, two = package("fast-one", "1.0"), package("tidegate", "0.1.0")
    first = bill(Origin("serving", "sha256:1", "image"), told(one, two), LOCKED)
    assert bill(Origin("serving", "sha256:1", "image"), told(two, one), LOCKED) == first
    assert "timestamp" not in first
    other = bill(Origin("serving", "sha256:1", "image"), told(one), LOCKED)
    assert json.loads(first)["serialNumber"] != json.loads(other)["serialNumber"]


def test_what_a_bill_says() -> None:
    text = bill(
        Origin("serving", "sha256:1", "image"),
        told(
            package("fast-one", "1.0", expression="MIT OR Apache-2.0"),
            package(
                "pip", "26.0", "/usr/lib/python3/dist-packages", classifiers=["License :: OSI Approved :: MIT License"]
            ),
            package("long", "1", license="a whole text\nof a licence"),
        ),
        LOCKED,
    )
    found = components(text)
    assert found["fast-one"]["licenses"][0]["expression"] == "MIT OR Apache-2.0"
    assert found["pip"]["licenses"][0]["license"]["name"] == "MIT License"
    assert {one["name"]: one["value"] for one in found["pip"]["properties"]} == {
        "tidegate:folder": "/usr/lib/python3/dist-packages",
        "tidegate:locked": "no",
    }
    assert "externalReferences" not in found["pip"]
    assert "licenses" not in found["long"]
    assert found["libc6"]["purl"] == "pkg:deb/debian/libc6@2.41-12?arch=amd64&distro=trixie"
    assert (found["CPython"]["version"], found["debian"]["type"]) == ("3.13.5", "operating-system")
    written = json.loads(text)
    assert written["metadata"]["component"]["name"] == "tidegate-serving"
    (graph,) = [one for one in written["dependencies"] if one["ref"] == "image"]
    assert len(graph["dependsOn"]) == len(written["components"])


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ('"bomFormat": "CycloneDX"', '"bomFormat": "Other"'),
        ('"type": "container"', '"type": "ship"'),
        ('"name": "libc6"', '"nom": "libc6"'),
        ('"SHA-256"', '"SHA-257"'),
    ],
)
def test_the_schema_refuses_what_is_no_bill(good: str, bad: str) -> None:
    text = bill(Origin("serving", "sha256:1", "image"), told(package("fast-one", "1.0")), LOCKED)
    assert good in text
    assert invalid(text.replace(good, bad, 1)) != ""


def test_an_image_that_is_not_its_lock_is_told() -> None:
    whole = (
        package("fast_one", "1.0"),
        package("tidegate", "0.1.0"),
        package("pip", "26.0", "/usr/lib/python3/dist-packages"),
    )
    assert faults(told(*whole), LOCKED) == [], "what the base brings is told in the bill; win32 is not this image"
    assert faults(told(*whole, package("stray", "9")), LOCKED) == ["stray 9 is in the image and not in the lock"]
    assert faults(told(package("fast-one", "1.1")), LOCKED) == [
        "fast-one 1.1 is in the image and not in the lock",
        "fast-one 1.0 is in the lock and not in the image",
    ]


def test_without_an_engine_the_locks_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["serving=no-such-image", "--docker", str(tmp_path / "nothing"), "--to", str(tmp_path)]
    assert sbom.main(given) == 0
    out = capsys.readouterr().out
    assert "no container engine answers" in out
    assert "components, from the lock" in out
    text = (tmp_path / "tidegate-serving.cdx.json").read_text()
    assert json.loads(text)["metadata"]["component"]["properties"] == [{"name": "tidegate:source", "value": "lock"}]


def test_packages_are_found_in_an_environments_files(tmp_path: Path) -> None:
    site = Path(cyclonedx.__file__).parents[1]
    found = {one["name"]: one for one in inside.packages_of(str(site))}
    assert found["cyclonedx-python-lib"]["version"] == importlib.metadata.version("cyclonedx-python-lib")
    assert "Apache-2.0" in found["cyclonedx-python-lib"].values()
    (tmp_path / "old.egg-info").mkdir()
    (tmp_path / "old.egg-info" / "PKG-INFO").write_text("Name: old\nVersion: 3\n")
    (tmp_path / "empty.dist-info").mkdir()
    assert [(one["name"], one["version"]) for one in inside.python_packages(str(tmp_path))] == [("old", "3")]


def test_debians_packages_are_those_that_dpkg_tells() -> None:
    program = shutil.which("dpkg-query")
    if program is None:
        pytest.skip("this is no Debian")
    done = subprocess.run(
        [program, "--show", "--showformat", "${Package} ${Version} ${Architecture} ${db:Status-Status}\n"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    expected = sorted(
        line.removesuffix(" installed") for line in done.stdout.splitlines() if line.endswith(" installed")
    )
    assert (
        sorted(f"{one['name']} {one['version']} {one['architecture']}" for one in inside.debian_packages()) == expected
    )


def test_an_image_that_is_not_there_gives_no_bill(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    client = tmp_path / "docker"
    client.write_text('#!/bin/sh\n[ "$1" = version ]\n')
    client.chmod(0o755)
    assert sbom.main(["serving=gone", "--docker", str(client), "--to", str(tmp_path)]) == 1
    assert "there is no image gone" in capsys.readouterr().out
    assert list(tmp_path.glob("*.json")) == []
    with pytest.raises(NoBill, match="make image-serving"):
        sbom.ask(str(client), "gone")
