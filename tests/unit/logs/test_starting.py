"""A process whose log somebody else began keeps it, and its lines go to our file as well."""

import json
import logging
from pathlib import Path

from tests.unit.logs.quiet import restored

from tidegate.logs.files import RotatedFile
from tidegate.logs.ids import bound
from tidegate.logs.starting import join_logging
from tidegate.settings.operations import Logs


def own_handlers() -> list[logging.Handler]:
    return [each for each in logging.getLogger().handlers if isinstance(each, RotatedFile)]


def test_lines_go_to_the_file_beside_the_log_that_is_there(tmp_path: Path) -> None:
    with restored():
        before = list(logging.getLogger().handlers)
        for _ in range(2):
            join_logging(Logs(file=tmp_path / "{process}.jsonl"), "monitor")
        assert logging.getLogger().handlers[: len(before)] == before
        assert len(own_handlers()) == 1
        with bound(run_id="r-1", strategy="s"):
            logging.getLogger("tidegate.x").info("looked at %d", 3)
        own_handlers()[0].flush()
        (written,) = tmp_path.glob("monitor*.jsonl")
        line = json.loads(written.read_text().splitlines()[-1])
    told = {name: line[name] for name in ("message", "process", "run_id", "strategy")}
    assert told == {"message": "looked at 3", "process": "monitor", "run_id": "r-1", "strategy": "s"}


def test_without_a_file_nothing_is_added() -> None:
    with restored():
        before = list(logging.getLogger().handlers)
        join_logging(Logs(), "monitor")
        assert logging.getLogger().handlers == before
