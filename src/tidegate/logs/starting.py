"""Begins a process's log: where its lines go and which are written."""

import contextlib
import logging
import sys
from typing import TextIO

from tidegate.logs.files import RotatedFile, rotated_file
from tidegate.logs.ids import identify
from tidegate.logs.lines import JsonLines
from tidegate.logs.syslog import SyslogTcp, syslog
from tidegate.settings.operations import Logs


def start_logging(logs: Logs, process: str, *, instance: str | None = None, stream: TextIO | None = sys.stderr) -> None:
    """Send the lines of this process to a stream, and to the file and the syslog server that the settings name.

    tidegate's own lines are written from `logs.level` on, those of libraries from `warning` on. Calling it again begins anew: what the call before
    opened is closed first.

    Args:
        logs: level, file and syslog server.
        process: what this process is, such as `serving`, `watch` or `monitor`; in every line, and `{process}` in the file's name.
        instance: the serving process's name, in every line too.
        stream: standard error for services; None for commands whose terminal belongs to a person.

    Raises:
        ConfigurationError: the file cannot be written, or the syslog server's address is none. Lines go on to the stream as before.
    """
    root = logging.getLogger()
    for own in [each for each in root.handlers if isinstance(each, (RotatedFile, SyslogTcp))]:
        root.removeHandler(own)
        own.close()
    handlers: list[logging.Handler] = []
    with contextlib.ExitStack() as undone:
        for made in (rotated_file(logs, process), syslog(logs, process)):
            if made is not None:
                undone.callback(made.close)
                handlers.append(made)
        undone.pop_all()
    if stream is not None:
        handlers.insert(0, logging.StreamHandler(stream))
    formatter = JsonLines()
    for handler in handlers:
        handler.setFormatter(formatter)
    identify(process=process, instance=instance)
    root.handlers[:] = handlers or [logging.NullHandler()]  # with none at all, `logging` writes warnings as plain text
    root.setLevel(logging.WARNING)
    logging.getLogger("tidegate").setLevel(logs.level.upper())
    # Python's own warnings would be lines that are no JSON.
    logging.captureWarnings(capture=True)
    # uvicorn tells of each request that it cannot parse; those are counted in the metrics, and a flood of them fills no disk.
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    # It also shows the traceback of an error inside an application with whatever it was called with; the front tells those.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)


def join_logging(logs: Logs, process: str) -> None:
    """Send the lines of this process to the file and the syslog server that the settings name, beside where they go already.

    For a process whose log is begun by somebody else, such as a flow's run in Prefect's worker: its handlers stay. Calling it again begins anew.

    Args:
        logs: level, file and syslog server; where neither is named, nothing changes.
        process: what this process is, such as `monitor`.

    Raises:
        ConfigurationError: the file cannot be written, or the syslog server's address is none.
    """
    root = logging.getLogger()
    for own in [each for each in root.handlers if isinstance(each, (RotatedFile, SyslogTcp))]:
        root.removeHandler(own)
        own.close()
    made = [each for each in (rotated_file(logs, process), syslog(logs, process)) if each is not None]
    for handler in made:
        handler.setFormatter(JsonLines())
        root.addHandler(handler)
    if made:
        identify(process=process)
        logging.getLogger("tidegate").setLevel(logs.level.upper())
