"""The image: small, without what a server never uses, for a user that is not root."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.container.engine import ROOT, Engine

DOCKERFILE = ROOT / "docker" / "serving" / "Dockerfile"
LARGEST_MB = 260
HEAVY = ("mlflow", "pandas", "prefect", "pyarrow", "rich", "scipy", "sklearn", "sqlalchemy", "typer", "xgboost")

engine_needed = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(600)]


def test_hadolint_finds_nothing() -> None:
    program = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([program, DOCKERFILE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_hadolint_would_find_something(tmp_path: Path) -> None:
    worse = tmp_path / "Dockerfile"
    worse.write_text(DOCKERFILE.read_text().replace("# hadolint ignore=DL3006\n", "") + "USER root\n")
    done = subprocess.run(
        [Path(sys.executable).with_name("hadolint"), worse], capture_output=True, text=True, check=False
    )
    assert "DL3002" in done.stdout


class TestBuilt:
    pytestmark = engine_needed

    def test_it_is_small(self, engine: Engine, image: str) -> None:
        size_mb = int(engine.run("inspect", "--format", "{{.Size}}", image)) / 1e6
        assert size_mb <= LARGEST_MB

    def test_its_user_is_a_number_that_is_not_root(self, engine: Engine, image: str) -> None:
        config = json.loads(engine.run("inspect", "--format", "{{json .Config}}", image))
        assert config["User"] == "10001:10001"
        assert config["Entrypoint"] == ["python", "-m", "tidegate.serving"]
        assert set(config["ExposedPorts"]) == {"8080/tcp"}
        assert config["Healthcheck"]["Test"] == ["CMD", "python", "-m", "tidegate.serving", "--check"]
        assert "TIDEGATE_ENVIRONMENT=production" in config["Env"]

    def test_nothing_heavy_and_no_installer_is_there(self, engine: Engine, image: str) -> None:
        code = f"from importlib.util import find_spec; print([name for name in {(*HEAVY, 'pip')} if find_spec(name)])"
        assert engine.run("run", "--rm", "--entrypoint=python", image, "-c", code) == "[]"

    def test_no_layer_holds_certificates_or_settings_of_the_building_machine(self, engine: Engine, image: str) -> None:
        code = "from pathlib import Path; print(sorted(map(str, Path('/run/secrets').glob('*'))), sorted(map(str, Path('/etc/tidegate').glob('*'))))"
        assert engine.run("run", "--rm", "--entrypoint=python", image, "-c", code) == "[] []"

    def test_without_settings_it_says_what_is_missing_and_does_not_start(self, engine: Engine, image: str) -> None:
        with pytest.raises(RuntimeError, match=r"serving\.") as refused:
            engine.run("run", "--rm", "--network=none", image)
        assert "Traceback" not in str(refused.value)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="libraries of another format")
def test_a_library_without_its_symbols_still_loads(tmp_path: Path) -> None:
    import httptools.parser.parser as module

    library = tmp_path / Path(module.__file__).name
    shutil.copy(module.__file__, library)
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'docker' / 'serving')!r})\n"
        "from slim import strip; from pathlib import Path; import importlib.util as u\n"
        f"path = Path({str(library)!r}); cut = strip(path)\n"
        "spec = u.spec_from_file_location('httptools.parser.parser', path); module = u.module_from_spec(spec)\n"
        "spec.loader.exec_module(module); print(cut > 0, strip(path), module.HttpRequestParser.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "0", "HttpRequestParser"]
