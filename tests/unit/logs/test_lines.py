"""A record becomes one line that any JSON parser reads, whatever is in it."""

import json
import logging
import sys
from typing import Any

import pytest

from tidegate.logs.ids import NAMES, bound
from tidegate.logs.lines import MOST_MESSAGE, MOST_TRACEBACK, JsonLines


def record(message: object = "hello", *arguments: object, **extra: object) -> logging.LogRecord:
    made = logging.getLogger("tidegate.x").makeRecord(
        "tidegate.x", logging.WARNING, "file.py", 1, message, arguments, None, extra=dict(extra) or None
    )
    made.created = 1_780_000_000.123
    return made


def line(made: logging.LogRecord) -> dict[str, Any]:
    text = JsonLines().format(made)
    assert "\n" not in text
    found: dict[str, Any] = json.loads(text)
    return found


def test_the_fields_that_every_line_has() -> None:
    assert line(record("n is %s", 3)) == {
        "at": 1_780_000_000_123,
        "level": "warning",
        "logger": "tidegate.x",
        "message": "n is 3",
    }


def test_ids_stand_in_one_order_whatever_the_order_they_were_given_in() -> None:
    with bound(version=7, strategy="s", instance="i", request_id="q", run_id="r"):
        found = line(record())
    assert [name for name in found if name in NAMES] == ["instance", "run_id", "request_id", "strategy", "version"]
    assert (found["version"], found["request_id"]) == (7, "q")


def test_a_lines_own_ids_win_and_none_says_nothing() -> None:
    with bound(strategy="outer", version=1):
        found = line(record(strategy="own", version=None, request_id="r-1"))
    assert (found["strategy"], found["version"], found["request_id"]) == ("own", 1, "r-1")


def test_what_else_a_record_carries_is_left_out() -> None:
    assert "password" not in line(record(password="hunter2"))  # noqa: S106  no secret


@pytest.mark.parametrize(
    "message",
    ["two\nlines", "tab\t and \x00 nul", "Ünïcödé 🜁", "lone \ud800 surrogate", "\u2028 separator", '"quotes" \\ {}'],
    ids=ascii,
)
def test_any_text_is_one_whole_line(message: str) -> None:
    text = JsonLines().format(record(message))
    assert len(text.splitlines()) == 1 or "\u2028" in message, text
    assert text.encode()
    assert json.loads(text)["message"] == message.replace("\ud800", "?")


def test_arguments_that_do_not_fit_cost_no_line() -> None:
    found = line(record("%d and %d", "one"))
    assert "%d and %d" in found["message"]
    assert "one" in found["message"]


def fail(text: str) -> None:
    raise RuntimeError(text)


def failed(text: str) -> logging.LogRecord:
    made = record()
    try:
        fail(text)
    except RuntimeError:
        made.exc_info = sys.exc_info()
    return made


def test_an_error_brings_its_traceback() -> None:
    made = failed("inside")
    assert "RuntimeError: inside" in line(made)["traceback"]


def test_long_texts_are_cut_and_say_so() -> None:
    made = failed("y" * MOST_TRACEBACK + "the end")
    made.msg = "x" * (MOST_MESSAGE + 5)
    found = line(made)
    assert found["message"].endswith("... (5 characters more)")
    assert found["traceback"].endswith("the end")
    assert len(found["traceback"]) < MOST_TRACEBACK + 100
    assert len(JsonLines().format(made)) < 32_768
