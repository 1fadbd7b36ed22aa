"""The bill of materials of the image that was built: what is in it, with its lock's hashes, and a stray package that gives none."""

import json
import tempfile
from pathlib import Path

import pytest
from supply.locks import read_lock
from supply.sbom import NoBill, invalid, write
from tests.container.engine import ROOT, Engine

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def docker(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> str:
    if engine.host is not None:
        monkeypatch.setenv("DOCKER_HOST", engine.host)
    return engine.client


def test_it_names_what_is_in_the_image(docker: str, engine: Engine, image: str, tmp_path: Path) -> None:
    text = write("serving", image, docker, tmp_path / "one").read_text()
    assert write("serving", image, docker, tmp_path / "two").read_text() == text
    assert invalid(text) == ""
    written = json.loads(text)
    assert written["metadata"]["component"]["version"] == engine.run("image", "inspect", "--format", "{{.Id}}", image)
    purls = {one["purl"]: one for one in written["components"] if "purl" in one}
    hashed = {one.name: one for one in read_lock(ROOT / "requirements" / "serving.lock")}
    (numpy,) = [one for purl, one in purls.items() if purl.startswith("pkg:pypi/numpy@")]
    assert {each["content"] for each in numpy["externalReferences"][0]["hashes"]} == set(hashed["numpy"].hashes)
    asked = engine.run(
        "run", "--rm", "--entrypoint=dpkg-query", image, "--show", "--showformat", "${Package} ${Version}\n"
    )
    debian = {f"{one['name']} {one['version']}" for purl, one in purls.items() if purl.startswith("pkg:deb/")}
    assert debian == set(asked.splitlines())
    assert len(debian) > 50


def test_a_package_that_no_lock_has_gives_no_bill(docker: str, engine: Engine, image: str, tmp_path: Path) -> None:
    name = "tidegate-test-stray"
    site = engine.run(
        "run", "--rm", "--entrypoint=python", image, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"
    )
    with tempfile.TemporaryDirectory() as context:
        folder = Path(context, "stray-6.dist-info")
        folder.mkdir()
        (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: stray\nVersion: 6\n")
        Path(context, "Dockerfile").write_text(f"FROM {image}\nCOPY {folder.name} {site}/{folder.name}/\n")
        engine.run("build", "--tag", name, context)
    try:
        with pytest.raises(NoBill, match="stray 6 is in the image and not in the lock"):
            write("serving", name, docker, tmp_path)
    finally:
        engine.run("rmi", "--force", name)
    assert list(tmp_path.iterdir()) == []
