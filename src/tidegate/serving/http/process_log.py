"""The process's own log: JSON lines on standard error."""

import json
import logging
import sys
from typing import Final

_MILLISECONDS: Final = 1000


class JsonLines(logging.Formatter):
    """One line a record: `at` in UTC ms, level, logger, message, and the traceback of an error."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line = {
            "at": int(record.created * _MILLISECONDS),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def log_to_stderr() -> None:
    """Send every log of this process to standard error, tidegate's from `info` on, others' from `warning` on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("tidegate").setLevel(logging.INFO)
    # uvicorn tells of each request that it cannot parse; those are counted in the metrics, and a flood of them fills no disk.
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    # It also shows the traceback of an error inside an application with whatever it was called with; the front tells those.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
