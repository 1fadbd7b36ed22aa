"""Texts that people and libraries wrote, made fit for a mail's header, a ledger and a log: no secrets, no control characters, limited length."""

from typing import Final

from tidegate.logs.redaction import without_secrets

MOST_TITLE: Final = 200
MOST_BODY: Final = 20_000


def one_line(text: str, most: int = MOST_TITLE) -> str:
    r"""A text as one line.

    >>> one_line("drawdown\r\nBcc: somebody@else")
    'drawdown Bcc: somebody@else'
    """
    plain = "".join(each if each.isprintable() else " " for each in without_secrets(text))
    return _encodable(" ".join(plain.split()))[:most]


def plain_text(text: str, most: int = MOST_BODY) -> str:
    """A text of several lines; what is cut off is counted."""
    plain = "".join(each for each in without_secrets(text) if each.isprintable() or each in "\n\t")
    return _encodable(plain if len(plain) <= most else f"{plain[:most]}\n({len(plain) - most} characters more)")


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
