"""Lines to a syslog server over TCP, by a thread of their own: a server that is slow or gone holds nobody up.

Messages are those of RFC 5424, framed by octet counting (RFC 6587, 3.4.1), so a line may hold anything. TCP has no answer that says "stored": lines
that were on their way when the server ended are lost, though what it closed before is noticed. Where no line may be lost, write a file and let the
sender in docker/logs carry it.
"""

import json
import logging
import os
import re
import select
import socket
import threading
import time
from collections import deque
from datetime import UTC, datetime
from typing import Final

from tidegate.errors import ConfigurationError
from tidegate.logs.ids import of_process
from tidegate.settings.operations import Logs

MOST_WAITING: Final = 10_000
"""Lines that wait while the server is away; further ones are left out and counted."""
_FIRST_PAUSE_S: Final = 0.25
_LONGEST_PAUSE_S: Final = 15.0
_CONNECT_S: Final = 5.0
_LAST_S: Final = 2.0
_LOCAL0: Final = 16
_SEVERITIES: Final = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_DEBUG: Final = 7
_MOST_PORT: Final = 65_535
_WARNING: Final = 4
_ADDRESS: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s:\[\]/@]+)):(\d{1,5})")


class SyslogTcp(logging.Handler):
    """A handler whose `emit` only puts the line into a queue.

    Args:
        address: host and port.
        process: the messages' APP-NAME.
        most_waiting: lines that the queue holds.
    """

    def __init__(self, address: tuple[str, int], process: str, *, most_waiting: int = MOST_WAITING) -> None:
        super().__init__()
        self.dropped = 0
        self._address = address
        self._most_waiting = most_waiting
        self._app = _name(process, 48)
        self._host = _name(socket.gethostname(), 255)
        self._waiting: deque[bytes] = deque()
        self._changed = threading.Condition()
        self._untold = 0
        self._ends_at: float | None = None
        self._connection: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, name="syslog", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a line; formatted here, where the ids of the one who writes it are known."""
        try:
            message = self._message(_severity(record.levelno), record.created, self.format(record))
        except Exception:  # noqa: BLE001  as every handler of logging
            self.handleError(record)
            return
        with self._changed:
            if len(self._waiting) < self._most_waiting:
                self._waiting.append(message)
                self._changed.notify()
            else:
                self.dropped += 1
                self._untold += 1

    def close(self) -> None:
        """Send what waits, for two seconds at most, and end."""
        with self._changed:
            if self._ends_at is None:
                self._ends_at = time.monotonic() + _LAST_S
            self._changed.notify_all()
        self._thread.join(_LAST_S + _FIRST_PAUSE_S)
        super().close()

    def _message(self, severity: int, created: float, line: str) -> bytes:
        at = datetime.fromtimestamp(created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        header = f"<{_LOCAL0 * 8 + severity}>1 {at} {self._host} {self._app} {os.getpid()} - - "
        whole = header.encode("ascii") + line.encode("utf-8", "backslashreplace")
        return b"%d %b" % (len(whole), whole)

    def _run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while (message := self._next()) is not None:
            try:
                self._send(message)
            except OSError:
                self._disconnect()
                if not self._rest(pause_s):
                    break
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            else:
                pause_s = _FIRST_PAUSE_S
                with self._changed:
                    self._waiting.popleft()
                    self._tell_dropped()
        self._disconnect()

    def _next(self) -> bytes | None:
        """The oldest line, once there is one; it stays in the queue until it was sent. None: the end."""
        with self._changed:
            while not self._waiting and self._ends_at is None:
                self._changed.wait()
            late = self._ends_at is not None and time.monotonic() >= self._ends_at
            return None if late or not self._waiting else self._waiting[0]

    def _rest(self, pause_s: float) -> bool:
        """Wait before the next try; whether there is to be one."""
        with self._changed:
            ends_at = self._ends_at
            if ends_at is None:
                self._changed.wait_for(lambda: self._ends_at is not None, pause_s)
                return True
            left_s = ends_at - time.monotonic()
        time.sleep(max(0.0, min(pause_s, left_s)))
        return left_s > pause_s

    def _send(self, message: bytes) -> None:
        if self._connection is not None and _is_closed(self._connection):
            self._disconnect()
        if self._connection is None:
            self._connection = socket.create_connection(self._address, timeout=_CONNECT_S)
            self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._connection.sendall(message)

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _tell_dropped(self) -> None:
        """Say how many lines were left out, once there is room again."""
        if not self._untold or len(self._waiting) >= self._most_waiting:
            return
        now = time.time()
        told = f"{self._untold} lines were left out: the syslog server was away"
        line = {"at": int(now * 1000), "level": "warning", "logger": __name__, "message": told, **of_process()}
        self._waiting.append(self._message(_WARNING, now, json.dumps(line, ensure_ascii=False)))
        self._untold = 0


def syslog(logs: Logs, process: str) -> SyslogTcp | None:
    """The handler that the settings ask for, None where they ask for none.

    Raises:
        ConfigurationError: the address is none. A server that does not answer is no error: lines wait for it.
    """
    return None if logs.syslog is None else SyslogTcp(parse_address(logs.syslog), process)


def parse_address(text: str) -> tuple[str, int]:
    """Host and port of `host:port` or `[IPv6]:port`.

    >>> parse_address("[::1]:6514")
    ('::1', 6514)

    Raises:
        ConfigurationError: it is none.
    """
    found = _ADDRESS.fullmatch(text)
    port = int(found[3]) if found else 0
    if found is None or not 0 < port <= _MOST_PORT:
        raise ConfigurationError(
            "the syslog server's address cannot be used", expected="host:port", actual=text, setting="logs.syslog"
        )
    return found[1] or found[2], port


def _is_closed(connection: socket.socket) -> bool:
    """Whether the server has closed it; what is written then would be lost without a sign."""
    # Asked for beforehand: Python waits for a socket with a time-out, whatever the flags of `recv` say.
    readable = select.poll()
    readable.register(connection, select.POLLIN)
    try:
        return bool(readable.poll(0)) and not connection.recv(1, socket.MSG_PEEK)
    except OSError:
        return True


def _severity(level: int) -> int:
    return next((severity for least, severity in _SEVERITIES if level >= least), _DEBUG)


def _name(text: str, most: int) -> str:
    """A header field of RFC 5424: printable ASCII without spaces, of limited length."""
    return re.sub(r"[^!-~]", "_", text)[:most] or "-"
