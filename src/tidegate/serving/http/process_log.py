"""The process's own log until its settings are known: JSON lines on standard error. `server.run` goes on by the settings."""

from typing import Final

from tidegate.logs.starting import start_logging
from tidegate.settings.operations import Logs

PROCESS: Final = "serving"


def log_to_stderr() -> None:
    """Send every log of this process to standard error, tidegate's from `info` on, others' from `warning` on."""
    start_logging(Logs.model_construct(level="info", file=None, syslog=None), PROCESS)
