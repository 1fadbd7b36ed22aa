"""Makes the evidence that no probe can see by itself: records of the clients, of a load test, of backups that were restored.

Each command is bounded in time and ends with all that it has started. What failed leaves its line as it was; nothing here passes a line.
"""

import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Literal

from tidegate.settings.settings import Settings

_GRACE_S: Final = 20.0
_CONFORMANCE: Final = Path("clients/conformance/kit.py")
_LOAD: Final = Path("benchmarks/serving")
Outcome = Literal["made", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class Step:
    """One command.

    Attributes:
        name: of the evidence.
        command: program and arguments.
        limit_s: seconds before it is ended.
        record: file that it writes; None where it writes into the ledgers.
        is_printed: whether the record is what it prints.
        missing: why it cannot be run; empty where it can.
    """

    name: str
    command: tuple[str, ...]
    limit_s: float
    record: Path | None = None
    is_printed: bool = False
    missing: str = ""

    @property
    def told(self) -> str:
        """The command as one would type it."""
        return shlex.join((Path(self.command[0]).name, *self.command[1:]))


@dataclass(frozen=True, slots=True)
class Gathered:
    """What came of one command."""

    step: Step
    outcome: Outcome
    told: str
    took_s: float


def steps(settings: Settings, root: Path) -> tuple[Step, ...]:
    """The commands, in their order.

    Args:
        settings: of the installation.
        root: the project's folder, in which they are run.
    """
    records, bot = settings.checklist.records, settings.checklist.bot_config
    own = (sys.executable, "-m", "tidegate.cli.main")
    kit, load, check = (records / f"{name}.json" for name in ("conformance", "load", "bot-check"))
    lacks = "" if settings.backup.repository else "there is no repository: backup.repository"
    return (
        Step(
            "conformance of the client",
            (sys.executable, str(_CONFORMANCE), "--driver", settings.checklist.driver, "--json", str(kit)),
            600.0,
            kit,
            missing=_absent(root / _CONFORMANCE),
        ),
        Step(
            "load test",
            (sys.executable, "-m", "benchmarks.serving", "--ours", "--json", str(load)),
            1800.0,
            load,
            missing=_absent(root / _LOAD),
        ),
        Step(
            "check of the bot's settings",
            (*own, "bot", "check", "--config", str(bot), "--json"),
            120.0,
            check,
            is_printed=True,
            missing="" if bot else "no bot's settings are named: checklist.bot_config",
        ),
        Step("backup", (*own, "backup", "--reason", "evidence for the checklist"), 3600.0, missing=lacks),
        Step("look at the backup", (*own, "verify"), 3600.0, missing=lacks),
        Step("restore drill", (*own, "restore-drill"), 3600.0, missing=lacks),
    )


def _absent(path: Path) -> str:
    return "" if path.exists() else f"{path} is not in this project's folder"


def gather(settings: Settings, root: Path, begins: Callable[[Step], None] = lambda _step: None) -> Iterator[Gathered]:
    """Run every command that can be run, one after the other.

    Args:
        settings: of the installation.
        root: the project's folder.
        begins: told each command before it is run.
    """
    settings.checklist.records.mkdir(parents=True, exist_ok=True)
    for step in steps(settings, root):
        if step.missing:
            yield Gathered(step, "skipped", step.missing, 0.0)
            continue
        begins(step)
        began = time.monotonic()
        outcome, told = run(step, root)
        yield Gathered(step, outcome, told, time.monotonic() - began)


def run(step: Step, root: Path) -> tuple[Outcome, str]:
    """Run one command to its end, or end it when its time is over.

    A record counts as made when it was written anew, whatever the exit code: a load test that meets no target is evidence too. Where
    there is none, the exit code counts.
    """
    before = _written(step.record)
    # Commands name `python` and `tidegate`: those beside this one, also where the environment was not activated.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    environment = {**os.environ, "TIDEGATE_ROOT": str(root), "PATH": path}
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(  # noqa: S603  the commands are built by this module
            step.command, cwd=root, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
            start_new_session=True,
        )  # fmt: skip
        try:
            code = process.wait(step.limit_s)
        except subprocess.TimeoutExpired:
            _end(process)
            return "failed", f"did not end within {step.limit_s:g} s"
        except BaseException:
            _end(process)
            raise
        printed, complained = (_whole(stream) for stream in (out, err))
    if step.record is not None and step.is_printed and printed.startswith(b"{"):
        step.record.write_bytes(printed)
    said = (complained.strip() or printed.strip()).decode(errors="replace").splitlines()
    told = f"exit code {code}: {said[-1][:200] if said else 'it said nothing'}"
    if step.record is None:
        return ("failed", told) if code else ("made", "in the ledgers")
    return ("failed", told) if _written(step.record) == before else ("made", str(step.record))


def _written(path: Path | None) -> int | None:
    return path.stat().st_mtime_ns if path is not None and path.is_file() else None


def _whole(stream: IO[bytes]) -> bytes:
    stream.seek(0)
    return stream.read()


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ctrl-C first, so that it ends the servers that it has started in sessions of their own."""
    for kind in (signal.SIGINT, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, kind)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_S)
            return
