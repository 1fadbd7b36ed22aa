"""What the serving container installs is enough for it, is what the tests run with, and is all there is."""

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REQUIREMENTS = ROOT / "requirements"
HEAVY = ("mlflow", "pandas", "prefect", "scipy", "sqlalchemy", "typer", "xgboost")
# Imports every module of the server; the last line of the output names what could be imported and should not.
EVERYTHING = """
import importlib, importlib.util, pkgutil, sys, tidegate.serving as serving
names = [found.name for found in pkgutil.walk_packages(serving.__path__, "tidegate.serving.")]
assert "tidegate.serving.predictor" in names
for name in names:
    importlib.import_module(name)
foreign = sorted(name for name in sys.modules if name.startswith(("tidegate.registry", "tidegate.pipeline", "tidegate.cli")))
print([name for name in HEAVY if importlib.util.find_spec(name)] + foreign)
"""


def pins(lock: str) -> set[str]:
    """The lock's versions; markers are left out, as a smaller set of packages may need fewer of them."""
    return set(re.findall(r"^([\w.-]+==[\w.]+)", (REQUIREMENTS / lock).read_text(), flags=re.MULTILINE))


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with the container's packages, tidegate's wheel and no others."""
    folder, uv = tmp_path_factory.mktemp("slim") / "env", str(Path(sys.executable).with_name("uv"))
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, folder], check=True, timeout=120)
    python = folder / "bin" / "python"
    lock = str(REQUIREMENTS / "serving.lock")
    subprocess.run(
        [uv, "pip", "sync", "--quiet", "--python", python, "--require-hashes", lock], check=True, timeout=240
    )
    build = "from hatchling.builders.wheel import WheelBuilder; import sys; print(*WheelBuilder(sys.argv[1]).build(directory=sys.argv[2]))"
    wheels = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-c", build, str(ROOT), str(wheels)], check=True, capture_output=True, timeout=120)
    (wheel,) = wheels.glob("*.whl")
    install = [uv, "pip", "install", "--quiet", "--python", str(python), "--no-deps", "--offline"]
    subprocess.run([*install, str(wheel)], check=True, timeout=120)
    return python


@pytest.mark.slow
def test_the_server_imports_with_its_own_packages_alone(python: Path) -> None:
    done = subprocess.run(
        [python, "-P", "-W", "error", "-c", EVERYTHING.replace("HEAVY", repr(HEAVY))],
        cwd=python.parent,
        env={"PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_the_heavy_packages_are_known_by_these_names_here() -> None:
    # A name that nothing has would be found missing by any test.
    assert [name for name in HEAVY if not version({"xgboost": "xgboost-cpu"}.get(name, name))] == []


@pytest.mark.parametrize("lock", ["serving.lock", "pipeline.lock", "build.lock"])
def test_the_image_installs_the_versions_that_the_tests_run_with(lock: str) -> None:
    assert len(pins(lock)) >= 5
    assert pins(lock) - pins("tidegate.lock") == set()


@pytest.mark.parametrize("lock", ["tidegate.lock", "serving.lock", "pipeline.lock", "build.lock"])
def test_every_package_has_hashes_and_no_address(lock: str) -> None:
    text = (REQUIREMENTS / lock).read_text()
    assert "://" not in text
    entries = re.split(r"\n(?=[\w])", text.strip())
    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []


def test_the_serving_extra_is_what_the_lock_was_made_from() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    (extra,) = re.findall(r"^serving = \[\n(.*?)^\]", project, flags=re.MULTILINE | re.DOTALL)
    (core,) = re.findall(r"^dependencies = \[\n(.*?)^\]", project, flags=re.MULTILINE | re.DOTALL)
    wanted = {name.lower() for name in re.findall(r'^  "([\w.-]+)', core + extra, flags=re.MULTILINE)}
    assert "onnxruntime" in wanted
    assert wanted - {pin.partition("==")[0] for pin in pins("serving.lock")} == set()
