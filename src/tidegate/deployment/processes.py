"""Serving processes that are started on this machine beside the old ones. They are found again by a mark in their environment, so that no kill leaves one unknown."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tidegate.deployment.journal import Plan
from tidegate.deployment.replicas import require_ready
from tidegate.errors import ServiceError
from tidegate.rollback.verification import Target
from tidegate.services.environment import child_environment
from tidegate.services.probe import HOST, free_port
from tidegate.settings.settings import Settings

MARK: Final = "DEPLOYED_BY_TIDEGATE"
"""Not TIDEGATE_...: settings refuse names that they do not know."""
_PORT: Final = "TIDEGATE_SERVING__PORT"
_ROOT: Final = "TIDEGATE_ROOT"
_STRATEGIES: Final = "TIDEGATE_SERVING__STRATEGIES"
_PAUSE_S: Final = 0.1
_GRACE_S: Final = 20.0
_STARTED: Final[list["subprocess.Popen[bytes]"]] = []
"""They outlive this process on purpose; kept so that nothing takes them for forgotten."""


@dataclass(frozen=True, slots=True)
class Found:
    """A process that some deployment started. Its port is that of its environment."""

    pid: int
    deployment: str
    port: int


@dataclass(frozen=True, slots=True)
class Processes:
    """`python -m tidegate.serving` beside what runs. Bots reach it by the registry's list of instances, or by a proxy that is told its port.

    Attributes:
        settings: of the installation; `mlflow.tracking_uri` names a server that stays.
        root: the project's folder.
        name: the deployment's id.
        plan: what it changes.
        folder: where its log is written.
    """

    settings: Settings
    root: Path
    name: str
    plan: Plan
    folder: Path

    def pull(self) -> str:
        """Nothing to fetch."""
        return "the process that is started fetches it from the registry"

    def start(self) -> str:
        """Start one on a free port, where none of this deployment runs."""
        found = self._own()
        if not found:
            found = self._seen(self._start())
        if not found:
            raise ServiceError(
                "the new serving process has ended at once", next_step=f"see {self._log}", setting="deploy.replicas"
            )
        return f"process {found[0].pid} on port {found[0].port}"

    def addresses(self) -> list[str]:
        """Where those of this deployment listen."""
        return [f"http://{HOST}:{one.port}" for one in self._own()]

    def require_healthy(self) -> str:
        """Require that it is alive and ready."""
        found = self._own()
        if not found:
            raise ServiceError("the new serving process has ended", next_step=f"see {self._log}")
        asked = [Target(self.name, f"http://{HOST}:{one.port}") for one in found]
        return require_ready(self.settings, asked, is_running=lambda: bool(self._own()))

    def switch(self) -> str:
        """Nothing to switch but the registry's word, where the new one still runs."""
        if not self._own():
            raise ServiceError(
                "the new serving process has ended", next_step=f"see {self._log}, and give the command again"
            )
        return "the registry names the new process"

    def back(self) -> str:
        """Nothing: the old process runs on until the new one was kept."""
        return "the old process runs on"

    def stop_old(self) -> str:
        """Stop those that earlier deployments of the strategy started; a new one that has died since the watch is started again before."""
        old = [one for one in self._all() if one.deployment != self.name]
        if old and not self._own():
            self.start()
            self.require_healthy()
        return _stop(old)

    def stop_new(self) -> str:
        """Stop those of this deployment."""
        return _stop(self._own())

    @property
    def _log(self) -> Path:
        return self.folder / f"{self.name}.log"

    def _own(self) -> list[Found]:
        return [one for one in self._all() if one.deployment == self.name]

    def _all(self) -> list[Found]:
        """Processes of deployments of this project's strategy."""
        wanted = {_ROOT: str(self.root), _STRATEGIES: self.plan.strategy}
        return [
            Found(pid, there[MARK], int(there[_PORT]))
            for pid, there in _environments()
            if MARK in there and all(there.get(name) == value for name, value in wanted.items())
        ]

    def _seen(self, process: "subprocess.Popen[bytes]") -> list[Found]:
        """What was started, as soon as its environment can be read: while a program is being replaced by another one it has none."""
        ends_at = time.monotonic() + _GRACE_S
        while not (found := self._own()) and process.poll() is None and time.monotonic() < ends_at:
            time.sleep(_PAUSE_S)
        return found

    def _start(self) -> "subprocess.Popen[bytes]":
        own = {
            MARK: self.name,
            _ROOT: str(self.root),
            _STRATEGIES: self.plan.strategy,
            _PORT: str(free_port()),
            "TIDEGATE_SERVING__INSTANCE": self.name,
            "TIDEGATE_SERVING__CACHE": str(self.settings.serving.cache.resolve().parent / self.name),
            "TIDEGATE_SERVING__REGISTRY_URI": self.settings.serving.registry_uri or self.settings.tracking_uri,
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with self._log.open("ab") as log:
                process = subprocess.Popen(
                    (sys.executable, "-m", "tidegate.serving"),
                    cwd=self.root,
                    env=child_environment(os.environ, own, keep=("MLFLOW_TRACKING_",)),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            _STARTED.append(process)
        except OSError as error:
            raise ServiceError(f"the new serving process cannot be started: {error}") from error
        return process


def _stop(found: list[Found]) -> str:
    for one in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(one.pid, signal.SIGTERM)
    ends_at = time.monotonic() + _GRACE_S
    while left := [one for one in found if _is_running(one)]:
        if time.monotonic() >= ends_at:
            raise ServiceError(
                f"process {left[0].pid} does not stop within {_GRACE_S:g} s of SIGTERM",
                next_step="end it yourself, and give the command again",
            )
        time.sleep(_PAUSE_S)
    for process in _STARTED:
        process.poll()  # what has ended is nobody's child any more
    return f"stopped by SIGTERM: {', '.join(str(one.pid) for one in found)}" if found else "none was there to stop"


def _is_running(found: Found) -> bool:
    return any(pid == found.pid and there.get(MARK) == found.deployment for pid, there in _environments())


def _environments() -> Iterator[tuple[int, dict[str, str]]]:
    """Environments of this user's processes; one that has ended and waits for its parent has none."""
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            pairs = path.read_bytes().decode(errors="replace").split("\0")
            yield int(path.parent.name), dict(pair.partition("=")[::2] for pair in pairs if "=" in pair)
