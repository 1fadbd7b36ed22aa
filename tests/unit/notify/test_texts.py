"""Texts of people and libraries can do no harm in a header, a ledger or a mail."""

import pytest

from tidegate.notify.texts import MOST_BODY, MOST_TITLE, one_line, plain_text


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("plain", "plain"),
        ("a\r\nBcc: x@y", "a Bcc: x@y"),
        ("  a \t\x00 b\u2028c\x85d ", "a b c d"),
        ("Über 5 %", "Über 5 %"),
        ("lone \ud800 one", "lone one"),
        ("http://u:pw123@h", "http://u:***@h"),
        ("\n", ""),
        ("x" * 500, "x" * MOST_TITLE),
    ],
    ids=ascii,
)
def test_one_line(text: str, line: str) -> None:
    assert one_line(text) == line


def test_plain_text_keeps_lines_and_nothing_that_moves_a_cursor() -> None:
    assert plain_text("a\n\tb\r\n\x1b[31mred\x00") == "a\n\tb\n[31mred"


def test_plain_text_is_cut_and_says_so() -> None:
    assert plain_text("x" * (MOST_BODY + 7)).endswith("xx\n(7 characters more)")


def test_plain_text_masks_secrets() -> None:
    assert plain_text("Authorization: Bearer abcdefgh12") == "Authorization: Bearer ***"
