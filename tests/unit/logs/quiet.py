"""Leaves `logging` as it was found."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from tidegate.logs import ids


@contextmanager
def restored() -> Iterator[None]:
    """Take back, at the end, what `start_logging` changes for the whole process."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    levels = {name: logging.getLogger(name).level for name in ("tidegate", "uvicorn", "uvicorn.error")}
    of_process = dict(ids.of_process())
    try:
        yield
    finally:
        for handler in [each for each in root.handlers if each not in handlers]:
            root.removeHandler(handler)
            handler.close()
        root.handlers[:] = handlers
        root.setLevel(level)
        for name, before in levels.items():
            logging.getLogger(name).setLevel(before)
        logging.captureWarnings(capture=False)
        ids._of_process.clear()
        ids._of_process.update(of_process)
