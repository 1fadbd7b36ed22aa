"""The Rust client's own tests: units, exchanges with real sockets, the OpenAPI file, the policy's cases, the README's code, the paper bot's ledger."""

import re
import subprocess

import pytest
from tests.cargo import BUILD_TIMEOUT_S, CRATE, cargo, environment


@pytest.mark.slow
@pytest.mark.timeout(BUILD_TIMEOUT_S + 300)
def test_all_of_cargos_tests_pass() -> None:
    found = subprocess.run(
        [str(cargo()), "test", "--quiet", "--locked", "--all-features", "--all-targets"],
        cwd=CRATE,
        env=environment(),
        check=False,
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT_S + 240,
    )
    assert found.returncode == 0, (found.stdout + found.stderr)[-8000:]
    assert sum(map(int, re.findall(r"(\d+) passed", found.stdout))) > 20


@pytest.mark.slow
@pytest.mark.timeout(BUILD_TIMEOUT_S + 300)
def test_the_documentations_code_works() -> None:
    found = subprocess.run(
        [str(cargo()), "test", "--quiet", "--locked", "--all-features", "--doc"],
        cwd=CRATE,
        env=environment(),
        check=False,
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT_S + 240,
    )
    assert found.returncode == 0, (found.stdout + found.stderr)[-8000:]
    assert sum(map(int, re.findall(r"(\d+) passed", found.stdout))) >= 1
