"""Lines reach the central rsyslog server whole and with their ids: from files by the sender, and straight from a process by TCP."""

import json
import logging
import signal
import socket
from pathlib import Path

import pytest
from tests.integration.logs.rsyslog import both, central, sender
from tests.unit.logs.quiet import restored

from tidegate.logs.ids import bound
from tidegate.logs.starting import start_logging
from tidegate.settings.operations import Logs


def write(folder: Path, process: str, first: int, last: int) -> None:
    """Lines as a process of that name writes them, in a file that is rotated several times meanwhile."""
    logs = Logs(file=folder / "logs" / "{process}.jsonl", max_mb=0.05, keep=1000)
    log = logging.getLogger("tidegate.writer")
    with restored(), bound(strategy="eurusd-sample", run_id="r-1", version=3):
        start_logging(logs, process, instance="one", stream=None)
        for number in range(first, last):
            log.info("%d Ünïcode\nand a second line", number)


def numbers(lines: list[str]) -> list[int]:
    return [int(json.loads(line)["message"].split()[0]) for line in lines]


def test_rsyslog_takes_the_shipped_files(tmp_path: Path) -> None:
    there = central(tmp_path)
    for server in (there, sender(tmp_path, there.port)):
        told = server.check()
        assert told.returncode == 0, told.stderr
        remarks = [
            line for line in told.stderr.splitlines() if "config validation" not in line and not line.startswith(" ")
        ]
        assert remarks == []


def test_lines_of_rotated_files_arrive_once_and_whole_with_their_ids(tmp_path: Path) -> None:
    with both(tmp_path) as (there, _):
        write(tmp_path, "watch", 0, 1000)
        write(tmp_path, "monitor", 0, 300)
        of_watch, of_monitor = there.wait_for("watch", 1000), there.wait_for("monitor", 300)
    assert len(list((tmp_path / "logs").glob("watch-*.jsonl"))) > 2, "the file was meant to be rotated"
    assert sorted(numbers(of_watch)) == list(range(1000))
    assert sorted(numbers(of_monitor)) == list(range(300))
    kept = [line for path in (tmp_path / "logs").glob("watch-*.jsonl") for line in path.read_text().splitlines()]
    assert sorted(of_watch) == sorted(kept), "not a byte is different"
    line = json.loads(of_watch[0])
    ids = {name: line[name] for name in ("process", "instance", "run_id", "strategy", "version")}
    assert ids == {
        "process": "watch",
        "instance": "one",
        "run_id": "r-1",
        "strategy": "eurusd-sample",
        "version": 3,
    }
    assert line["message"].endswith("Ünïcode\nand a second line")


def test_nothing_is_lost_while_the_central_server_is_away(tmp_path: Path) -> None:
    with both(tmp_path) as (there, _):
        write(tmp_path, "watch", 0, 200)
        there.wait_for("watch", 200)
        there.stop()
        write(tmp_path, "watch", 200, 1000)
        there.start()
        found = there.wait_for("watch", 1000)
    assert sorted(set(numbers(found))) == list(range(1000))


def test_the_queue_outlives_a_sender_that_is_started_again_meanwhile(tmp_path: Path) -> None:
    with both(tmp_path) as (there, here):
        write(tmp_path, "watch", 0, 200)
        there.wait_for("watch", 200)
        there.stop()
        write(tmp_path, "watch", 200, 700)
        here.stop()
        here.start()
        write(tmp_path, "watch", 700, 1000)
        there.start()
        found = there.wait_for("watch", 999)
    # The one line that was written into the closed connection is known to nobody after the restart: so it is with TCP and no answers.
    assert set(range(1000)) - set(numbers(found)) <= {200}


def test_a_sender_that_was_killed_loses_nothing(tmp_path: Path) -> None:
    with both(tmp_path) as (there, here):
        write(tmp_path, "watch", 0, 250)
        there.wait_for("watch", 250)
        here.stop(signal.SIGKILL)
        (here.folder / "pid").unlink()
        write(tmp_path, "watch", 250, 400)
        here.start()
        found = there.wait_for("watch", 400)
    assert set(numbers(found)) == set(range(400))


def test_lines_without_an_id_of_their_process_are_kept_by_their_files_name(tmp_path: Path) -> None:
    with both(tmp_path) as (there, _):
        (tmp_path / "logs" / "access.jsonl").write_text('{"at": 1, "route": "/v1/predict"}\n' * 3)
        assert there.wait_for("access", 3) == ['{"at": 1, "route": "/v1/predict"}'] * 3


def test_a_process_sends_straight_to_it_and_goes_on_when_it_is_back(tmp_path: Path) -> None:
    log = logging.getLogger("tidegate.direct")
    with central(tmp_path) as there, restored():
        start_logging(Logs(syslog=f"127.0.0.1:{there.port}"), "serving", instance="one", stream=None)
        with bound(request_id="q-1", strategy="s", version=4):
            log.warning("before\nwith Ünïcode and %s", "x" * 9000)
        (first,) = there.wait_for("serving", 1)
        there.stop()
        for number in range(100):
            log.info("%d meanwhile", number)
        there.start()
        found = there.wait_for("serving", 101)
    line = json.loads(first)
    assert [line[name] for name in ("process", "instance", "request_id", "strategy", "version")] == [
        "serving",
        "one",
        "q-1",
        "s",
        4,
    ]
    assert len(line["message"]) > 8192
    assert numbers(found[1:]) == list(range(100))


@pytest.mark.parametrize(
    ("host", "process", "place"),
    [
        ("box", "x", "box/x.jsonl"),
        ("../../up", "x", ".._.._up/x.jsonl"),
        ("box", "../../../x", "box/.._.._.._x.jsonl"),
        ("..", "x", "_./x.jsonl"),
    ],
)
def test_no_name_leads_out_of_its_folder_and_what_is_no_json_is_wrapped(
    tmp_path: Path, host: str, process: str, place: str
) -> None:
    with central(tmp_path) as there:
        with socket.create_connection(("127.0.0.1", there.port)) as connection:
            for about in (f"{host} {process}", "here plain"):
                message = f'<131>1 2026-05-28T20:26:40Z {about} 1 - - not "JSON"'.encode()
                connection.sendall(b"%d %b" % (len(message), message))
        kept = there.folder / "kept"
        plain = kept / "here" / "plain.jsonl"
        while not plain.exists() or not plain.read_text().endswith("\n"):
            assert there.process is not None
            assert there.process.poll() is None, there.output()
        there.stop()
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.jsonl")}
    expected = {"central/kept/here/plain.jsonl", f"central/kept/{place}"}
    assert files == expected
    (line,) = plain.read_text().splitlines()
    wrapped = json.loads(line)
    assert (wrapped["message"], wrapped["level"], wrapped["logger"]) == ('not "JSON"', "err", "plain")
