"""Programs that probes run: bounded in time, with their output kept."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tidegate.checklist.finding import NotMeasured
from tidegate.errors import ServiceError


@dataclass(frozen=True, slots=True)
class Done:
    """A program's end."""

    code: int
    out: str
    err: str

    @property
    def told(self) -> str:
        """What it said, shortened, for people."""
        return " ".join((self.out or self.err).split())[-300:]


class Programs:
    """Runs programs of this machine.

    Args:
        root: working folder.
        environment: variables beside those of this process.
    """

    def __init__(self, root: Path, environment: Mapping[str, str] | None = None) -> None:
        self._root = root
        self._environment = {**os.environ, **(environment or {})}

    def find(self, name: str) -> str:
        """A program beside this Python, or on the PATH.

        Raises:
            NotMeasured: it is not on this machine.
        """
        beside = Path(sys.executable).with_name(name)
        found = str(beside) if beside.exists() else shutil.which(name, path=self._environment.get("PATH"))
        if found is None:
            raise NotMeasured(f"{name} is not on this machine; install it to have this looked at")
        return found

    def run(self, name: str, *arguments: str, timeout_s: float = 60.0) -> Done:
        """Run a program to its end.

        Raises:
            NotMeasured: it is not on this machine.
            ServiceError: it does not end in time.
        """
        command = [self.find(name), *arguments]
        try:
            done = subprocess.run(  # noqa: S603  a program found by name, without a shell
                command, cwd=self._root, env=self._environment, capture_output=True, check=False, timeout=timeout_s
            )
        except subprocess.TimeoutExpired as error:
            raise ServiceError(f"{name} did not end", expected=f"within {timeout_s:g} s") from error
        return Done(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))
