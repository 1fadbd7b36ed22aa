"""A Docker engine for the container's tests, a base image made from Debian's packages, and the image that is tested.

An engine that runs already is used. Without one, root starts one of its own in a temporary folder where Debian's packages are
installed (`make system`); else the tests are skipped with the reason, and under CI=true they fail.
"""

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.unavailable import unavailable

ROOT: Final = Path(__file__).parents[2]
# Its Python is that of the Dockerfile's default base.
RELEASE: Final = "trixie"
BASE: Final = "tidegate-test-base"
IMAGE: Final = "tidegate-test-serving"
_BASE_KEPT_S: Final = 7 * 86_400
_CA: Final = Path("/etc/ssl/certs/ca-certificates.crt")
# What slim images leave out as well.
_LEFT_OUT: Final = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*")


@dataclass(frozen=True)
class Engine:
    """A running engine and the client that talks to it. `own` says that it was started here."""

    client: str
    host: str | None
    own: bool

    def run(self, *arguments: str, timeout_s: float = 120, check: bool = True) -> str:
        """Run a `docker` command and return what it printed."""
        done = subprocess.run(
            [self.client, *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )
        if check and done.returncode:
            raise RuntimeError(f"docker {' '.join(arguments)} failed:\n{done.stdout[-6000:]}{done.stderr[-6000:]}")
        return done.stdout.strip()

    def logs(self, name: str) -> str:
        """What a container wrote to both of its streams."""
        command = [self.client, "logs", "--tail=200", name]
        done = subprocess.run(
            command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        return done.stdout

    @property
    def environment(self) -> dict[str, str]:
        """The client's environment."""
        host = {} if self.host is None else {"DOCKER_HOST": self.host}
        return {**os.environ, **host, "DOCKER_BUILDKIT": "1", "BUILDKIT_PROGRESS": "plain"}


@contextlib.contextmanager
def dockerd(folder: Path) -> Iterator[Engine]:
    """An engine; one of its own keeps everything in the folder and is stopped at the end."""
    # Debian's client first: another one that comes first on PATH may not know BuildKit.
    client = next((path for path in ("/usr/bin/docker", shutil.which("docker")) if path and Path(path).exists()), None)
    if client is None:
        unavailable("there is no docker on this machine: `make system` installs it")
    running = Engine(client, os.environ.get("DOCKER_HOST"), own=False)
    if _answers(running):
        yield running
        return
    program = shutil.which("dockerd") or "/usr/sbin/dockerd"
    if os.geteuid() != 0 or not Path(program).exists():
        unavailable("no Docker engine runs, and this user cannot start one: `make system` as root, or start yours")
    with _own(program, Engine(client, f"unix://{folder}/docker.sock", own=True), folder) as engine:
        yield engine


@contextlib.contextmanager
def _own(program: str, engine: Engine, folder: Path) -> Iterator[Engine]:
    folder.mkdir(parents=True, exist_ok=True)
    command = [program, "--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec", "--pidfile", f"{folder}/pid"]
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "-H", str(engine.host)], stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 60
        while not _answers(engine):
            if process.poll() is not None or time.monotonic() > deadline:
                unavailable(f"dockerd does not start here:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.1)
        yield engine
    finally:
        _end(process, log)
        for line in Path("/proc/self/mounts").read_text().splitlines():
            if line.split()[1].startswith(f"{folder}/"):
                subprocess.run(["umount", "--lazy", line.split()[1]], check=False)
        shutil.rmtree(folder, ignore_errors=True)


def _end(process: subprocess.Popen[bytes], log: Path) -> None:
    process.terminate()
    deadline = time.monotonic() + 30
    # Its last word; then it waits a quarter of a minute for its containerd, which the kernel kills with it.
    while process.poll() is None and time.monotonic() < deadline and "Daemon shutdown complete" not in log.read_text():
        time.sleep(0.05)
    process.kill()
    process.wait(10)


def _answers(engine: Engine) -> bool:
    with contextlib.suppress(RuntimeError, subprocess.TimeoutExpired):
        return bool(engine.run("version", "--format", "{{.Server.Version}}", timeout_s=10))
    return False


def base_archive() -> Path:
    """A minimal system with Python from Debian's packages, kept for a week in the project's cache; half a minute to make."""
    archive = ROOT / ".cache" / "container" / f"{RELEASE}.tar"
    if archive.exists() and time.time() - archive.stat().st_mtime < _BASE_KEPT_S:
        return archive
    program = shutil.which("mmdebstrap")
    if program is None or os.geteuid() != 0:
        unavailable("the base image is made by root with mmdebstrap: `make system`")
    archive.parent.mkdir(parents=True, exist_ok=True)
    made = archive.with_suffix(".part.tar")
    options = ["--mode=root", "--variant=minbase", "--include=ca-certificates,python3,python3-venv"]
    options += [f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT]
    options += ["--dpkgopt=path-include=/usr/share/doc/*/copyright"]
    done = subprocess.run(
        [program, *options, RELEASE, str(made)], capture_output=True, text=True, check=False, timeout=280
    )
    if done.returncode:
        raise RuntimeError(f"mmdebstrap failed:\n{done.stderr[-4000:]}")
    return made.replace(archive)


def base_image(engine: Engine) -> str:
    """The base as an image; an engine that has it keeps it."""
    if not engine.run("images", "--quiet", BASE):
        engine.run("import", str(base_archive()), BASE)
    return BASE


def build(engine: Engine, base: str, image: str = IMAGE) -> str:
    """Build the serving image and return its name."""
    _build(engine, base, "docker/serving/Dockerfile", image, timeout_s=280)
    return image


def _build(engine: Engine, base: str, file: str, image: str, *, timeout_s: float) -> None:
    options = ["--build-arg", f"BASE_IMAGE={base}", "--file", file, "--tag", image]
    if _CA.exists():
        options += ["--secret", f"id=ca,src={_CA}"]
    if os.environ.get("PIP_CONFIG_FILE"):
        options += ["--secret", f"id=pip,src={os.environ['PIP_CONFIG_FILE']}"]
    engine.run("build", *options, ".", timeout_s=timeout_s)


def build_others(engine: Engine, base: str) -> dict[str, str]:
    """Build the pipeline's image and that of Debian's servers; gives the variables of docker/compose.yaml that name them."""
    debian = "tidegate-test-debian"
    images = {"PIPELINE_IMAGE": build_pipeline(engine, base), "DEBIAN_IMAGE": debian}
    _build(engine, base, "docker/debian/Dockerfile", debian, timeout_s=900)
    return images


def build_pipeline(engine: Engine, base: str) -> str:
    """Build the pipeline's image and return its name."""
    image = "tidegate-test-pipeline"
    _build(engine, base, "docker/pipeline/Dockerfile", image, timeout_s=900)
    return image


def derive(engine: Engine, image: str, name: str, module: Path, folder: str) -> None:
    """Build an image with one module more, as a user does who has features of their own."""
    with tempfile.TemporaryDirectory() as context:
        shutil.copy(module, context)
        Path(context, "Dockerfile").write_text(f"FROM {image}\nCOPY {module.name} {folder}/\n")
        engine.run("build", "--tag", name, context)
