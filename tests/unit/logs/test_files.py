"""Rotation loses no line, and no two processes write one file."""

import io
import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.logs.quiet import restored

from tidegate.errors import ConfigurationError
from tidegate.logs.files import RotatedFile
from tidegate.logs.starting import start_logging
from tidegate.settings.operations import Logs

WRITER = """
import logging, sys
from pathlib import Path
from tidegate.logs.starting import start_logging
from tidegate.settings.operations import Logs
start_logging(Logs(file=Path(sys.argv[1]), max_mb=0.02, keep=1000), "writer", stream=None)
print("ready", flush=True)
sys.stdin.readline()
log = logging.getLogger("tidegate.writer")
for number in range(1000):
    log.info("%s %d", sys.argv[2], number)
"""


def messages(*paths: Path) -> list[str]:
    return [json.loads(line)["message"] for path in paths for line in path.read_text().splitlines()]


def test_lines_go_to_the_file_and_the_stream_from_the_level_on(tmp_path: Path) -> None:
    stream = io.StringIO()
    with restored():
        start_logging(Logs(level="warning", file=tmp_path / "logs/{process}.jsonl"), "watch", stream=stream)
        logging.getLogger("tidegate.a").info("too low")
        logging.getLogger("tidegate.a").warning("told")
        logging.getLogger("library").info("too low")
        logging.getLogger("library").warning("told too")
        logging.getLogger("uvicorn.error").warning("never")
    assert (tmp_path / "logs/watch-000001.jsonl").read_text() == stream.getvalue()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(each["logger"], each["message"], each["process"]) for each in lines] == [
        ("tidegate.a", "told", "watch"),
        ("library", "told too", "watch"),
    ]


def test_two_processes_that_name_one_file_take_one_each_and_lose_no_line(tmp_path: Path) -> None:
    path = tmp_path / "{process}.jsonl"
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, path, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for name in ("a", "b")
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.communicate("go\n", timeout=30)
        assert writer.returncode == 0
    files = [sorted(tmp_path.glob(f"{name}-0*.jsonl")) for name in ("writer", "writer-2")]
    assert min(map(len, files)) > 3, "it was meant to be rotated"
    of_first, of_second = (messages(*paths) for paths in files)
    assert len({text[0] for text in of_first}) == len({text[0] for text in of_second}) == 1
    assert [*of_first, *of_second] == [f"{name} {n}" for name in (of_first[0][0], of_second[0][0]) for n in range(1000)]


def test_no_more_than_the_given_number_is_kept(tmp_path: Path) -> None:
    handler = RotatedFile(tmp_path / "x.jsonl", max_bytes=100, keep=2)
    for number in range(50):
        handler.emit(logging.LogRecord("x", logging.INFO, "f", 1, f"line {number} {'.' * 40}", (), None))
    handler.close()
    kept = sorted(tmp_path.glob("*.jsonl"))
    assert len(kept) == 3
    told = [int(line.split()[1]) for path in kept for line in path.read_text().splitlines()]
    assert told
    assert told == list(range(50 - len(told), 50))


def test_a_name_is_free_again_after_the_end(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    for _ in range(2):
        first, second = (RotatedFile(path, max_bytes=1000, keep=1) for _ in range(2))
        assert (Path(first.baseFilename).name, Path(second.baseFilename).name) == ("x-000001.jsonl", "x-2-000001.jsonl")
        first.close()
        second.close()


def test_starting_again_takes_the_newest_file(tmp_path: Path) -> None:
    (tmp_path / "x-000001.jsonl").touch()
    (tmp_path / "x-000007.jsonl").touch()
    (tmp_path / "x-y-000009.jsonl").touch()
    with restored():
        for number in range(3):
            start_logging(Logs(file=tmp_path / "x.jsonl"), "p", stream=None)
            logging.getLogger("tidegate").info("%d", number)
    assert messages(tmp_path / "x-000007.jsonl") == ["0", "1", "2"]


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file, no folder")
    with restored(), pytest.raises(ConfigurationError, match=r"logs\.file"):
        start_logging(Logs(file=tmp_path / "taken" / "x.jsonl"), "p", stream=None)


def test_lines_that_cannot_be_written_are_counted_and_harm_nobody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = RotatedFile(tmp_path / "x.jsonl", max_bytes=1_000_000, keep=1)
    assert handler.stream is not None
    handler.stream.close()
    handler.stream = Path("/dev/full").open("a", encoding="utf-8")  # noqa: SIM115  the handler closes it
    for _ in range(3):
        handler.emit(logging.LogRecord("x", logging.INFO, "f", 1, "lost", (), None))
    told = capsys.readouterr().err
    assert [json.loads(line)["message"] for line in told.splitlines()] == ["1 lines lost: OSError"]
    assert handler._lost == 3
    with pytest.raises(OSError, match="No space"):  # what is buffered still goes nowhere
        handler.close()
