"""Ruff's security rules are on wherever code of ours runs: what is planted is found under the project's own settings."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUFF = Path(sys.executable).with_name("ruff")
PLACES = ("src/tidegate/serving", "src/tidegate/client", "flows", "clients/conformance", "docker", "docs", "supply")
PLANTED = {
    "S102": "exec(input())",
    "S113": "import httpx\nhttpx.get('http://a.example', timeout=None)",
    "S301": "import pickle\npickle.loads(b'')",
    "S307": "eval(input())",
    "S324": "import hashlib\nhashlib.md5(b'')",
    "S501": "import httpx\nhttpx.get('https://a.example', verify=False)",
    "S506": "import yaml\nyaml.load('a')",
    "S602": "import subprocess\nsubprocess.run(input(), shell=True)",
    "S605": "import os\nos.system(input())",
    "S608": "name = input()\nquery = f'SELECT a FROM {name}'",
    "S701": "import jinja2\njinja2.Environment()",
}
# Each with its reason in pyproject.toml; a further one needs a change here, so somebody sees it.
IGNORED = {"S101"}
IGNORED_IN = {
    "tests/**": {"S603", "S607", "S310", "S108"},
    "benchmarks/**": {"S603", "S607"},
    "docker/pipeline/**": {"S606"},
    "clients/rust/lock.py": {"S603"},
}


def found(place: str, text: str) -> set[str]:
    done = subprocess.run(
        [RUFF, "check", "--no-cache", "--output-format=concise", f"--stdin-filename={place}/planted.py", "-"],
        cwd=ROOT,
        input=text + "\n",
        capture_output=True,
        text=True,
        check=False,
    )
    return {word for line in done.stdout.splitlines() for word in line.split()[1:2]}


@pytest.mark.parametrize("place", PLACES)
def test_everything_planted_is_found(place: str) -> None:
    text = "\n".join(line for lines in PLANTED.values() for line in lines.splitlines())
    assert set(PLANTED) - found(place, text) == set()


@pytest.mark.parametrize("code", PLANTED)
def test_each_is_found_alone_and_in_tests_as_well(code: str) -> None:
    assert code in found("tests/unit", PLANTED[code]) or code in IGNORED_IN["tests/**"]
    assert code in found("src/tidegate/gates", PLANTED[code])


def test_code_without_faults_has_none() -> None:
    assert not any(word.startswith("S") for word in found("src/tidegate/gates", "VALUE = 1"))


def test_what_is_ignored_is_what_somebody_looked_at() -> None:
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    assert lint["select"] == ["ALL"]
    assert security(lint["ignore"]) == IGNORED
    assert {
        place: codes for place, rules in lint["per-file-ignores"].items() if (codes := security(rules))
    } == IGNORED_IN


def security(codes: list[str]) -> set[str]:
    return {code for code in codes if code.startswith("S") and code[1:].isdigit()}


def test_nothing_runs_without_asserts() -> None:
    """Asserts narrow types for mypy and check no input; still, nothing that we ship strips them."""
    shipped = [
        *(ROOT / "docker").rglob("*"),
        *(ROOT / "src").rglob("*.py"),
        *(ROOT / "flows").rglob("*.py"),
        ROOT / "Makefile",
    ]
    stripped = [
        path.relative_to(ROOT).as_posix()
        for path in shipped
        if path.is_file()
        and path.suffix != ".pyc"
        and any(word in path.read_bytes() for word in (b"PYTHONOPTIMIZE", b"python -O", b'"-O"'))
    ]
    assert stripped == []


def test_every_exception_of_the_security_rules_says_why() -> None:
    """A silenced rule has its reason on the line: a word after the mark, or on the line of the same rule before it."""
    silent: list[str] = []
    for path in sorted([*(ROOT / "src").rglob("*.py"), *(ROOT / "flows").rglob("*.py")]):
        told: set[str] = set()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            _, mark, rest = line.partition("# noqa: ")
            codes, _, reason = rest.partition("  ")
            named = {code for code in codes.replace(",", " ").split() if code.startswith("S") and code[1:].isdigit()}
            if mark and named and not reason.strip() and not named <= told:
                silent.append(f"{path.relative_to(ROOT)}:{number}")
            told |= named
    assert silent == []
