"""One server as a supervised child process: start, wait until ready, stop; nothing is left behind (see `guard`)."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tidegate.errors import ServiceError
from tidegate.services import guard

TAIL_LINES = 20
_ROTATE_BYTES = 10_000_000


class Interrupted(Exception):
    """Starting was given up because somebody asked to stop. Not an error: nothing is wrong."""


@dataclass(frozen=True)
class Service:
    """What is needed to run one server.

    Args:
        name: short id, also the log's file name.
        title: the name in messages.
        command: program and arguments.
        environment: the child's whole environment; nothing else is inherited.
        folder: the child's working folder.
        log: file that receives stdout and stderr.
        ready: tells whether the server answers; asked until it does.
        grace_s: seconds between SIGTERM, the second SIGTERM and SIGKILL.
        address: where people reach it, if they do.
    """

    name: str
    title: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)  # may hold passwords
    folder: Path
    log: Path
    ready: Callable[[], bool]
    grace_s: float = 10.0
    address: str | None = None


class Process:
    """A started server. Make one with `start`.

    Args:
        service: what runs.
        popen: the guard's process.
        lifeline: the pipe's end whose closing stops the server.
        log_offset: where this start's output begins in the log.
    """

    def __init__(self, service: Service, popen: "subprocess.Popen[bytes]", lifeline: int, log_offset: int) -> None:
        self.service = service
        self._popen = popen
        self._lifeline: int | None = lifeline
        self._log_offset = log_offset

    @property
    def pid(self) -> int:
        """The guard's process, which is also the process group's id."""
        return self._popen.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._popen.poll()

    def log_tail(self, lines: int = TAIL_LINES) -> str:
        """The last lines that this start has written."""
        with self.service.log.open("rb") as log:
            log.seek(self._log_offset)
            text = log.read().decode("utf-8", errors="replace")
        return "\n".join(text.rstrip().splitlines()[-lines:])

    def wait_finished(self, timeout_s: float, stop: threading.Event | None = None) -> None:
        """Return when a command that ends by itself has succeeded.

        Raises:
            ServiceError: it failed, or did not end in time.
            Interrupted: `stop` was set.
        """
        stop = stop or threading.Event()
        deadline = time.monotonic() + timeout_s
        while (code := self.exit_code) is None:
            if time.monotonic() >= deadline:
                raise ServiceError(
                    f"{self.service.title} did not end within {timeout_s:g} s",
                    setting="prefect.start_timeout_s",
                    next_step=self.advice("raise the limit if the machine is just slow"),
                )
            if stop.wait(0.1):
                raise Interrupted(self.service.name)
        if code:
            raise ServiceError(
                f"{self.service.title} failed", expected="exit code 0", actual=code, next_step=self.advice("see why")
            )

    def require_alive(self, when: str) -> None:
        """Raise when the server has ended.

        Args:
            when: the rest of the message's sentence, such as "while it was in use".

        Raises:
            ServiceError: it has.
        """
        if (code := self.exit_code) is not None:
            raise ServiceError(
                f"{self.service.title} ended with exit code {code} {when}", next_step=self.advice("see why")
            )

    def stop(self) -> None:
        """Stop the server and all that it started; calling it again does nothing.

        Raises:
            ServiceError: processes are left even after SIGKILL.
        """
        if self._lifeline is None:
            return
        os.close(self._lifeline)
        self._lifeline = None
        limit_s = 3 * self.service.grace_s + 5
        try:
            self._popen.wait(timeout=limit_s)
        except subprocess.TimeoutExpired:
            left = sorted(guard.descendants(self._popen.pid))
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._popen.pid, signal.SIGKILL)
            self._popen.wait()
            raise ServiceError(
                f"{self.service.title} did not stop within {limit_s:g} s",
                next_step=f"its group {self._popen.pid} was killed; check that processes {left} are gone",
            ) from None
        # The guard ends after its whole family; this catches a guard that was itself killed.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._popen.pid, signal.SIGKILL)

    def advice(self, step: str) -> str:
        """A next step with the log's place and last lines."""
        tail = self.log_tail() or "(nothing was written)"
        indented = "\n".join(f"    {line}" for line in tail.splitlines())
        return f"{step}: {self.service.log}, whose last lines are\n{indented}"


def wait_ready(
    processes: Sequence[Process],
    timeout_s: float,
    stop: threading.Event | None = None,
    on_ready: Callable[[Process], None] = lambda _: None,
) -> None:
    """Return as soon as all servers answer; one that ends is noticed while others are still waited for.

    Args:
        processes: the servers.
        timeout_s: time limit for all, in seconds.
        stop: gives up when set.
        on_ready: told of each server as it becomes ready.

    Raises:
        ServiceError: one ended, or did not answer in time; the message carries its log's last lines.
        Interrupted: `stop` was set.
    """
    stop = stop or threading.Event()
    deadline = time.monotonic() + timeout_s
    waiting = list(processes)
    while waiting:
        for process in tuple(waiting):
            answers = process.service.ready()
            # Looked at after the answer: somebody else's server may answer at this address while ours has ended.
            process.require_alive("before it was ready")
            if answers:
                waiting.remove(process)
                on_ready(process)
            elif time.monotonic() >= deadline:
                raise ServiceError(
                    f"{process.service.title} did not become ready",
                    expected=f"an answer within {timeout_s:g} s",
                    setting="prefect.start_timeout_s",
                    next_step=process.advice("raise the limit if the machine is just slow"),
                )
        if waiting and stop.wait(0.2):
            raise Interrupted(waiting[0].service.name)


def start(service: Service) -> Process:
    """Start a server in a session of its own, so that Ctrl-C in the terminal reaches only the parent.

    Raises:
        ServiceError: its log cannot be written or the process cannot be created.
    """
    try:
        service.log.parent.mkdir(parents=True, exist_ok=True)
        if service.log.exists() and service.log.stat().st_size > _ROTATE_BYTES:
            service.log.replace(service.log.with_suffix(".log.1"))
        log = service.log.open("ab")
    except OSError as error:
        raise ServiceError(
            f"{service.title} cannot write its log {service.log}: {error}", setting="paths.runs"
        ) from error
    reader, lifeline = os.pipe()
    with log:
        offset = log.tell()
        arguments = (str(reader), str(service.grace_s), *service.command)
        try:
            popen = subprocess.Popen(  # noqa: S603  the command is built by this package
                (sys.executable, "-I", "-S", str(Path(guard.__file__)), *arguments),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(service.environment),
                cwd=service.folder,
                pass_fds=(reader,),
                start_new_session=True,
            )
        except OSError as error:
            os.close(lifeline)
            raise ServiceError(f"{service.title} cannot be started: {error}") from error
        finally:
            os.close(reader)
    return Process(service, popen, lifeline, offset)


def is_guard(pid: int) -> bool:
    """Whether a process is a server's guard, and not another one that has got its number since.

    Answered from /proc; False where there is none.
    """
    with contextlib.suppress(OSError):
        return Path(guard.__file__).name.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False
