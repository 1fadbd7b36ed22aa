"""One record of `logging` as one line of JSON."""

import json
import logging
from typing import Any, Final

from tidegate.logs.ids import of_record
from tidegate.logs.redaction import without_secrets

MOST_MESSAGE: Final = 8_192
MOST_TRACEBACK: Final = 16_384
"""Longest texts in characters: a line with both fits into one message of the syslog servers in docker/logs."""
_MILLISECONDS: Final = 1000


class JsonLines(logging.Formatter):
    """One line a record: `at` in UTC ms, level, logger, message, the ids that are known, and the traceback of an error.

    A line holds no line break and no lone surrogate, so it can be written to any file and sent by any protocol; passwords and keys are masked.
    Whatever a record holds becomes a line: arguments that do not fit its message are shown beside it.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, Any] = {
            "at": int(record.created * _MILLISECONDS),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _start(without_secrets(_message(record)), MOST_MESSAGE),
            **of_record(record),
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["traceback"] = _end(without_secrets(self.formatException(record.exc_info)), MOST_TRACEBACK)
        text = json.dumps(line, ensure_ascii=False, default=repr)
        return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001  a wrong format must not cost the line that tells of it
        return f"{record.msg} (arguments {record.args!r})"


def _start(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}... ({len(text) - most} characters more)"


def _end(text: str, most: int) -> str:
    """The last lines of a traceback tell the most."""
    return text if len(text) <= most else f"({len(text) - most} characters more) ...{text[-most:]}"
