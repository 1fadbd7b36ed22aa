"""Runs one server and never leaves it behind; a program of its own, started by `process.start`.

`python guard.py FD GRACE_S COMMAND...` starts the command in the guard's own process group and waits. The command is
stopped when

- the other end of the pipe FD closes: the parent wants it, or the parent is gone, even by kill -9;
- the guard receives SIGTERM, SIGINT or SIGHUP;
- the command ends by itself, since what it started must not outlive it.

Stopping is SIGTERM to the group, SIGTERM to every descendant, SIGKILL to every descendant, GRACE_S seconds apart. A
Prefect worker starts each flow run in a session of its own, out of reach of a group signal: on Linux the guard therefore
adopts orphaned descendants (PR_SET_CHILD_SUBREAPER), and ends only when none is left. A pipe is used, not the parent's
PR_SET_PDEATHSIG, because that one fires when the *thread* that started the child ends, and exists on Linux only. Should the
guard itself be killed with -9, its direct child dies with it on Linux.

Imports the standard library only, so that it starts in milliseconds and needs a few megabytes.
"""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def main(arguments: list[str]) -> int:
    """Run the command until it ends or is to be stopped.

    Returns:
        The command's exit code, 128 + n where signal n ended it.
    """
    pipe, grace_s, command = int(arguments[0]), float(arguments[1]), arguments[2:]
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    wakeup = _wake_on_signals()
    # preexec_fn is safe here: this process has one thread and runs nothing but this module. The command is that of our own caller.
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=_die_with_guard)  # noqa: S603, PLW1509  ours
    except OSError as error:
        sys.stderr.write(f"{command[0]} cannot be started: {error}\n")
        return 127
    family = Family(child.pid)
    _wait_for_end(family, pipe, wakeup)
    family.stop(grace_s, wakeup)
    return family.exit_code


class Family:
    """The command and all that it started.

    Args:
        pid: the command's process.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._code: int | None = None

    @property
    def ended(self) -> bool:
        """Whether the command itself has ended."""
        return self._code is not None

    @property
    def exit_code(self) -> int:
        """The command's exit code, 128 + n after signal n, 1 while it runs."""
        code = 1 if self._code is None else self._code
        return 128 - code if code < 0 else code

    def reap(self) -> bool:
        """Collect all that have ended; True when nobody is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return True
            if pid == 0:
                return False
            if pid == self._pid:
                self._code = os.waitstatus_to_exitcode(status)

    def stop(self, grace_s: float, wakeup: int) -> None:
        """Stop every member: SIGTERM to the group, SIGTERM to all, SIGKILL to all."""
        for step, number in enumerate((signal.SIGTERM, signal.SIGTERM, signal.SIGKILL)):
            if self.reap():
                return
            if step == 0:
                os.killpg(os.getpgrp(), number)
            for pid in descendants(os.getpid()) if step else ():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            deadline = time.monotonic() + grace_s
            while (left := deadline - time.monotonic()) > 0:
                select.select([wakeup], [], [], min(left, 0.5))
                _drain(wakeup)
                if self.reap():
                    return


def descendants(root: int) -> Iterator[int]:
    """Every living process below `root`, read from /proc; none where there is no /proc."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            # The command's name, in parentheses, may hold spaces: count from its end.
            parent = int((folder / "stat").read_text(errors="replace").rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(folder.name))
    waiting = [root]
    while waiting:
        for pid in children.get(waiting.pop(), []):
            yield pid
            waiting.append(pid)


def _wait_for_end(family: Family, pipe: int, wakeup: int) -> None:
    while True:
        readable, _, _ = select.select([pipe, wakeup], [], [])
        signals = _drain(wakeup) if wakeup in readable else b""
        family.reap()
        if pipe in readable or family.ended or any(number in _STOP_SIGNALS for number in signals):
            return


def _wake_on_signals() -> int:
    """Have signals written into a pipe as bytes, so that one `select` waits for them and for the parent."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in (*_STOP_SIGNALS, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    return reader


def _drain(wakeup: int) -> bytes:
    with contextlib.suppress(BlockingIOError):
        return os.read(wakeup, 4096)
    return b""


def _die_with_guard() -> None:
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
