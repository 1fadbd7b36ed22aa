"""Serving processes of a deployment: those that follow the registry by themselves, or by the operator's own commands."""

import os
import shlex
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tidegate.deployment.journal import Plan
from tidegate.errors import ServiceError
from tidegate.rollback.answers import Asker, NoAnswer
from tidegate.rollback.verification import Target, live_instances
from tidegate.services.probe import answers
from tidegate.settings.settings import Settings
from tidegate.watch.opening import api_key

READY: Final = "alive and ready: "
_PAUSE_S: Final = 0.2
_TAIL: Final = 600


class Following:
    """Processes that run already, and take a new version over from the registry without a restart."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def addresses(self) -> list[str]:
        """None: nothing new is started."""
        return []

    def pull(self) -> str:
        """Nothing to fetch: each process fetches the bundle itself."""
        return "processes fetch it from the registry"

    def start(self) -> str:
        """Nothing to start."""
        return "no process is started: those that run take the version over"

    def require_healthy(self) -> str:
        """Require that every process known to the registry is ready."""
        return require_ready(self._settings, live_instances(self._settings))

    def switch(self) -> str:
        """Nothing to switch but the registry's word."""
        return "processes are told through the registry"

    def back(self) -> str:
        """As `switch`."""
        return "processes are told through the registry"

    def stop_old(self) -> str:
        """Nothing to stop."""
        return "no process is stopped"

    def stop_new(self) -> str:
        """Nothing to stop."""
        return "no process is stopped"


@dataclass(frozen=True, slots=True)
class Commands:
    """The operator's own commands, of `deploy.*_command`. They find `DEPLOY_ID`, `DEPLOY_STRATEGY` and `DEPLOY_VERSION` in their environment.

    A kill may come between a command and the journal, so that each must do nothing more when it is given twice, as `docker compose up -d` does.

    Attributes:
        settings: of the installation.
        root: the project's folder, in which commands run.
        name: the deployment's id.
        plan: what it changes.
    """

    settings: Settings
    root: Path
    name: str
    plan: Plan

    def pull(self) -> str:
        """Run `deploy.pull_command`, where there is one."""
        command = self.settings.deploy.pull_command
        return "there is no deploy.pull_command" if command is None else self._run(command)

    def start(self) -> str:
        """Run `deploy.start_command`."""
        return self._run(self.settings.deploy.start_command)

    def addresses(self) -> list[str]:
        """Where `deploy.start_command` has the new ones listen."""
        return list(self.settings.deploy.new_instances)

    def require_healthy(self) -> str:
        """Require that `deploy.new_instances`, else every process known to the registry, is ready."""
        named = [Target(address, address) for address in self.settings.deploy.new_instances]
        told = require_ready(self.settings, named or live_instances(self.settings))
        if not told.startswith(READY):
            raise ServiceError(
                f"what deploy.start_command started cannot be seen: {told}",
                setting="deploy.new_instances",
                next_step="name its addresses there, and give the command again",
            )
        return told

    def switch(self) -> str:
        """Run `deploy.switch_command`."""
        return self._run(self.settings.deploy.switch_command)

    def back(self) -> str:
        """Run `deploy.back_command`."""
        return self._run(self.settings.deploy.back_command)

    def stop_old(self) -> str:
        """Run `deploy.stop_old_command`."""
        return self._run(self.settings.deploy.stop_old_command)

    def stop_new(self) -> str:
        """Run `deploy.stop_new_command`."""
        return self._run(self.settings.deploy.stop_new_command)

    def _run(self, command: str | None) -> str:
        assert command, "the settings refuse replicas `commands` without them"
        own = {"ID": self.name, "STRATEGY": self.plan.strategy, "VERSION": str(self.plan.version)}
        # Into a file: the end of a pipe would only come once all that the command leaves running has ended.
        with tempfile.TemporaryFile() as output:
            try:
                done = subprocess.run(  # noqa: S603  the operator's own words, without a shell
                    shlex.split(command),
                    cwd=self.root,
                    env={**os.environ, **{f"DEPLOY_{name}": value for name, value in own.items()}},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    timeout=self.settings.deploy.command_s,
                    check=False,
                )
            except (OSError, ValueError, subprocess.TimeoutExpired) as error:
                raise ServiceError(f"the command `{command}` could not be run: {error}") from error
            output.seek(0)
            said = output.read().decode(errors="replace").strip()[-_TAIL:]
        if done.returncode:
            raise ServiceError(
                f"the command `{command}` failed: {said}", expected="exit code 0", actual=done.returncode
            )
        return f"`{command}`" + (f": {said}" if said else "")


def require_ready(
    settings: Settings, targets: Sequence[Target], *, is_running: Callable[[], bool] = lambda: True
) -> str:
    """Require that processes are alive (`/healthz`) and ready (`/readyz`) within `deploy.ready_s`.

    One that has been silent in the registry and takes no connection is passed over: it is not there.

    Args:
        settings: `deploy.ready_s`, `watch.timeout_s` and `watch.api_key_file`.
        targets: the processes.
        is_running: asked while one is waited for; where it says no, waiting ends.

    Raises:
        ServiceError: names the process and what it said.
    """
    if not targets:
        return "no serving process is known that could be asked"
    ends_at, key = time.monotonic() + settings.deploy.ready_s, api_key(settings.watch.api_key_file)()
    passed: list[str] = []
    with closing(Asker(key, settings.watch.timeout_s)) as asker:
        for target in targets:
            if target.is_silent and not answers(f"{target.address.rstrip('/')}/healthz", settings.watch.timeout_s):
                continue
            _wait_ready(asker, target, ends_at, is_running)
            passed.append(target.instance)
    return f"{READY}{', '.join(passed)}" if passed else "no serving process answers"


def _wait_ready(asker: Asker, target: Target, ends_at: float, is_running: Callable[[], bool]) -> None:
    while True:
        told = "/healthz is not answered"
        if answers(f"{target.address.rstrip('/')}/healthz"):
            try:
                asker.require_ready(target.address, ends_at)
            except NoAnswer as error:
                told = str(error)
            else:
                return
        told = told if is_running() else "it has ended"
        if told == "it has ended" or time.monotonic() + _PAUSE_S >= ends_at:
            raise ServiceError(
                f"{target.instance} at {target.address} is not ready: {told}",
                setting="deploy.ready_s",
                next_step="see its log; nothing that bots see has changed. Give the command again, or with --abandon give it up",
            )
        time.sleep(_PAUSE_S)
