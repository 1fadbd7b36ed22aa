"""A driver's process: one JSON line goes in, one comes out."""

import asyncio
import contextlib
import json
import os
import shlex
import signal
import tempfile
from typing import Any, NoReturn

from market import Json

START_TIMEOUT_S = 60.0
LONGEST_LINE = 8 * 2**20
STDERR_SHOWN = 2000


class DriverFailed(Exception):
    """The driver did not answer, ended, or answered something that is not the protocol's."""


class Driver:
    """Starts the command at its first order."""

    def __init__(self, command: str) -> None:
        self._command = shlex.split(command)
        self._process: asyncio.subprocess.Process | None = None
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 -- closed by `end`, with the process

    async def ask(self, op: str, timeout_s: float, **fields: Any) -> Json:  # noqa: ANN401 -- any JSON value
        """The driver's answer to an order.

        Args:
            op: the protocol's word.
            timeout_s: how long the answer may take, s; the process's start comes on top of it.
            fields: the order's other fields.
        Raises:
            DriverFailed: no usable answer; the process is then stopped.
        """
        if self._process is None:
            timeout_s += START_TIMEOUT_S
            self._process = await self._started()
        order = json.dumps({"op": op, **fields}) + "\n"
        try:
            self._to.write(order.encode())
            line = await asyncio.wait_for(self._from.readline(), timeout_s)
            answer: Any = json.loads(line)
        except TimeoutError:
            await self._give_up(f"no answer to {op!r} within {timeout_s:g} s")
        except (OSError, ValueError) as error:
            await self._give_up(f"no JSON line came for {op!r}: {error}")
        if not isinstance(answer, dict) or "error" in answer:
            await self._give_up(f"{op!r} was answered with {answer!r}")
        return dict(answer)

    async def end(self) -> None:
        """Ends the process for good."""
        await self.stop()
        self._said.close()

    async def stop(self) -> None:
        """Ends the process; the next order starts another one."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), 2)
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()

    @property
    def _to(self) -> asyncio.StreamWriter:
        if self._process is None or self._process.stdin is None:
            raise DriverFailed("the driver is not running")
        return self._process.stdin

    @property
    def _from(self) -> asyncio.StreamReader:
        if self._process is None or self._process.stdout is None:
            raise DriverFailed("the driver is not running")
        return self._process.stdout

    async def _started(self) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        try:
            # A session of its own, so that a driver that hangs ends with all that it started.
            return await asyncio.create_subprocess_exec(
                *self._command, stdin=pipe, stdout=pipe, stderr=self._said, limit=LONGEST_LINE, start_new_session=True
            )
        except OSError as error:
            raise DriverFailed(f"{shlex.join(self._command)} cannot be started: {error}") from error

    async def _give_up(self, why: str) -> NoReturn:
        await self.stop()
        self._said.seek(max(0, self._said.seek(0, os.SEEK_END) - STDERR_SHOWN))
        said = self._said.read().decode(errors="replace").strip()
        raise DriverFailed(f"{why}; standard error ends with: {said or '(nothing)'}")
