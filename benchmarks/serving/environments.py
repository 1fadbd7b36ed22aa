"""Each rival's own packages in its own environment under `.cache/bench/`, from hashed locks in `benchmarks/requirements/`."""

import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
CACHE: Final = ROOT / ".cache" / "bench"
REQUIREMENTS: Final = ROOT / "benchmarks" / "requirements"
_RUST: Final = Path(__file__).parent / "rival_servers" / "bare_rust"
_INSTALL_S: Final = 900


class NotInstalled(Exception):
    """A rival cannot be installed on this machine; the message says why."""


def environment(name: str, lock: Path | None = None) -> Path:
    """The folder of an environment with exactly the packages of a lock, made if need be.

    Args:
        name: of the environment.
        lock: the lock; by default `benchmarks/requirements/<name>.lock`.

    Raises:
        NotInstalled: uv or the registry refuses.
    """
    lock = lock or REQUIREMENTS / f"{name}.lock"
    folder = CACHE / name
    digest, stamp = hashlib.sha256(lock.read_bytes()).hexdigest(), folder / ".installed"
    if stamp.exists() and stamp.read_text() == digest:
        return folder
    uv = str(Path(sys.executable).with_name("uv"))
    python = folder / "bin" / "python"
    if not python.exists():
        run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)])
    run([uv, "pip", "sync", "--quiet", "--python", str(python), "--compile-bytecode", "--require-hashes", str(lock)])
    stamp.write_text(digest)
    return folder


def serving_environment() -> Path:
    """The environment of our service: the image's packages, and tidegate as the source stands now, from a wheel.

    Raises:
        NotInstalled: uv, the build or the registry refuses.
    """
    folder = environment("serving", ROOT / "requirements" / "serving.lock")
    uv, python = str(Path(sys.executable).with_name("uv")), str(folder / "bin" / "python")
    with tempfile.TemporaryDirectory(prefix="tidegate-wheel-") as wheels:
        run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", wheels])
        (wheel,) = Path(wheels).glob("*.whl")
        options = ["--quiet", "--no-deps", "--reinstall", "--compile-bytecode", "--python", python]
        run([uv, "pip", "install", *options, str(wheel)])
    return folder


def write_lock(name: str) -> None:
    """Write `<name>.lock` anew from `<name>.in`; `xgboost` is left out, as `xgboost-cpu` is the same without 450 MB for GPUs."""
    uv = str(Path(sys.executable).with_name("uv"))
    without = CACHE / "without.txt"
    without.parent.mkdir(parents=True, exist_ok=True)
    without.write_text('xgboost ; sys_platform == "none"\n')
    options = ["--quiet", "--universal", "--python-version", "3.11", "--generate-hashes", "--no-emit-index-url"]
    options += ["--no-annotate", "--no-header", "--override", str(without)]
    run([uv, "pip", "compile", *options, str(REQUIREMENTS / f"{name}.in"), "-o", str(REQUIREMENTS / f"{name}.lock")])


def bare_rust() -> Path:
    """The bare server, compiled without any crate.

    Raises:
        NotInstalled: there is no cargo, or it fails.
    """
    target = CACHE / "bare_rust"
    run(
        [
            "cargo",
            "build",
            "--quiet",
            "--release",
            "--offline",
            "--manifest-path",
            str(_RUST / "Cargo.toml"),
            "--target-dir",
            str(target),
        ]
    )
    return target / "release" / "bare"


def run(command: list[str]) -> None:
    """Run a command to its end.

    Raises:
        NotInstalled: there is no such program, it fails, or it takes too long.
    """
    try:
        done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=_INSTALL_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstalled(f"{command[0]}: {error}") from error
    if done.returncode:
        raise NotInstalled(f"{' '.join(command[:4])}: {done.stderr.strip()[-400:]}")
