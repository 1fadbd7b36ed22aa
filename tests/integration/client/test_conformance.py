"""Both clients against every case of the conformance kit, as the author of a third one would run it."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests import cargo

KIT = Path(__file__).parents[3] / "clients" / "conformance" / "kit.py"
PYTHON_DRIVER = f"{sys.executable} -m tidegate.client.driver"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(KIT), *arguments], check=False, capture_output=True, text=True, timeout=240
    )


def test_the_python_client_passes_every_case() -> None:
    done = run("--driver", PYTHON_DRIVER)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr


@pytest.mark.timeout(1200)  # a first build of the crate
def test_the_rust_client_passes_every_case() -> None:
    done = run("--driver", str(cargo.built("conformance_driver")))
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr
