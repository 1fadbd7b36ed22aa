"""The Rust client's own tests: units, exchanges with real sockets, the OpenAPI file, the policy's cases, the README's code, the paper bot's ledger."""

import re
import subprocess

import pytest
from tests.cargo import BUILD_TIMEOUT_S, CRATE, cargo, environment


@pytest.mark.slow
@pytest.mark.timeout(BUILD_TIMEOUT_S + 300)
@pytest.mark.parametrize(("kind", "least"), [("--all-targets", 100), ("--doc", 4)])
def test_cargos_tests_pass(kind: str, least: int) -> None:
    found = subprocess.run(
        [str(cargo()), "test", "--quiet", "--locked", "--all-features", kind],
        cwd=CRATE,
        env=environment(),
        check=False,
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT_S + 240,
    )
    assert found.returncode == 0, (found.stdout + found.stderr)[-8000:]
    assert sum(map(int, re.findall(r"(\d+) passed", found.stdout))) >= least


def test_the_lock_holds_versions_and_checksums_and_no_address() -> None:
    text = (CRATE / "crates.lock").read_text(encoding="utf-8")
    packages = text.count("[[package]]")
    assert packages > 50
    assert text.count("\nchecksum = ") == packages - 1, "all but the crate itself come with a checksum"
    assert "://" not in text
    assert "source" not in re.findall(r"^(\w+) = ", text, flags=re.MULTILINE)
