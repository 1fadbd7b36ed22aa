"""Lines leave in order, and a reader that is stuck stops nobody."""

import json
import logging
import os
import select
import time

import pytest

from tidegate.serving.http.access_log import AccessLog, Line


def line(number: int) -> Line:
    return Line(1, f"r-{number}", "bot", "POST", "/v1/predict", 200, 0.0005, number)


def test_lines_are_json_in_order() -> None:
    reading, writing = os.pipe()
    access_log = AccessLog(writing)
    access_log.start()
    for number in range(100):
        access_log.add(line(number))
    access_log.stop()
    os.close(writing)
    with open(reading, "rb") as file:  # noqa: PTH123  a pipe
        lines = [json.loads(each) for each in file]
    assert [each["bytes"] for each in lines] == list(range(100))
    assert lines[0] == {
        "at": 1,
        "request_id": "r-0",
        "key": "bot",
        "method": "POST",
        "route": "/v1/predict",
        "status": 200,
        "seconds": 0.0005,
        "bytes": 0,
    }


def test_a_stuck_reader_stops_nobody_and_what_is_left_out_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidegate.serving.http.access_log._MOST_WAITING", 1000)
    monkeypatch.setattr("tidegate.serving.http.access_log._JOIN_S", 0.05)
    reading, writing = os.pipe()
    access_log = AccessLog(writing)
    access_log.start()
    for number in range(1000):
        access_log.add(line(number))
    while access_log._waiting:
        time.sleep(0.01)
    for number in range(1000, 2500):
        access_log.add(line(number))
    thread = access_log._thread
    access_log.stop()
    assert thread is not None
    assert thread.is_alive(), "the pipe was meant to be full"
    read = b""
    while thread.is_alive() or select.select([reading], [], [], 0)[0]:
        if select.select([reading], [], [], 0.01)[0]:
            read += os.read(reading, 65_536)
    os.close(writing)
    os.close(reading)
    lines = [json.loads(each) for each in read.splitlines()]
    assert [each["bytes"] for each in lines[:-1]] == list(range(2000))
    assert lines[-1] == {"dropped": 500}


def test_a_closed_output_is_told_and_harms_nothing(caplog: pytest.LogCaptureFixture) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    access_log = AccessLog(writing)
    access_log.add(line(1))
    with caplog.at_level(logging.WARNING):
        access_log._flush()
    os.close(writing)
    assert "cannot be written" in caplog.text
