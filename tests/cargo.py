"""The Rust client's programs, built for tests: `built("paper_bot")` is the path of an example that is up to date.

Where there is no cargo that can build the crate, the test is skipped with the reason; with CI=true it fails.
"""

import functools
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).parents[1]
CRATE = ROOT / "clients" / "rust"
BUILD_TIMEOUT_S = 900.0


def cargo() -> Path:
    """Cargo's path, also where rustup put it and the PATH does not know it."""
    path, why = _found()
    if path is None:
        _give_up(why)
    return path


def environment() -> dict[str, str]:
    """This process's environment, with the folder in which cargo builds."""
    return {"CARGO_TARGET_DIR": str(ROOT / ".cache" / "cargo"), **os.environ}


def built(example: str) -> Path:
    """The path of an example's program, built from what the crate is now (once in a process).

    Args:
        example: such as paper_bot.
    """
    cargo()
    path, errors = _build("--example", example)
    if path is None:
        pytest.fail(f"example {example} cannot be built:\n{errors}", pytrace=False)
    return path


def built_binary(name: str) -> Path:
    """The same for one of the crate's own programs, such as tidegate-client."""
    cargo()
    path, errors = _build("--bin", name)
    if path is None:
        pytest.fail(f"program {name} cannot be built:\n{errors}", pytrace=False)
    return path


@functools.cache
def _build(kind: str, name: str) -> tuple[Path | None, str]:
    # Features are all on, so that no build of another test undoes this one's.
    command = [str(cargo()), "build", "--quiet", "--locked", "--all-features", kind, name, "--message-format=json"]
    done = subprocess.run(
        command, cwd=CRATE, env=environment(), check=False, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S
    )
    messages = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode:
        said = "".join(message["message"]["rendered"] for message in messages if message.get("message"))
        return None, (said + done.stderr)[-4000:]
    programs = [
        message["executable"] for message in messages if message.get("executable") and message["target"]["name"] == name
    ]
    return (Path(programs[-1]), "") if programs else (None, f"cargo named no program {name}")


@functools.cache
def _found() -> tuple[Path | None, str]:
    found = shutil.which("cargo") or shutil.which("cargo", path=str(Path.home() / ".cargo" / "bin"))
    if found is None:
        return None, "cargo is not on this machine"
    said = subprocess.run([found, "--version"], check=False, capture_output=True, text=True, timeout=60).stdout
    has = re.match(r"cargo (\d+)\.(\d+)", said)
    needed = tomllib.loads((CRATE / "Cargo.toml").read_text())["package"]["rust-version"]
    if has is None or (int(has[1]), int(has[2])) < tuple(int(part) for part in needed.split(".")):
        return None, f"cargo {needed} or newer is needed, {found} says {said.strip()!r}"
    written = subprocess.run(
        [sys.executable, str(CRATE / "lock.py"), "--cargo", found],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return (Path(found), "") if written.returncode == 0 else (None, written.stderr.strip())


def _give_up(why: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(f"{why}; the Rust client must be tested here", pytrace=False)
    pytest.skip(f"{why}; the Rust client is not tested")
