"""One line of a segment: CRC-32 in eight hex digits, a space, JSON, a line feed.

JSON writes NUL and line feed inside strings as escapes, so no line holds either: a NUL byte in a segment is always space that was
prepared and not written, and a line feed always ends a line.
"""

from math import isfinite
from typing import Final, Literal
from zlib import crc32

import msgspec

from tidegate.errors import LogUnavailable
from tidegate.serving.log.record import Row

MAX_LINE_BYTES: Final = 1 << 20
_CRC: Final = 8
_MARK: Final = b'{"segment":'


class Begin(msgspec.Struct, frozen=True, tag_field="segment", tag="begin"):
    """A segment's first line. `size` is the file's size in bytes while it is open."""

    instance: str
    number: int
    size: int
    opened_at: int
    form: Literal[1] = 1


class Commit(msgspec.Struct, frozen=True, tag_field="segment", tag="commit"):
    """Ends the rows that were made durable together. `number` counts from 1 in each segment, `rows` those since the last one."""

    number: int
    rows: int


class End(msgspec.Struct, frozen=True, tag_field="segment", tag="end"):
    """A closed segment's last line: what it holds, and the earliest and latest `received_at` among its rows."""

    commits: int
    rows: int
    received_from: int | None
    received_until: int | None
    closed_at: int


Mark = Begin | Commit | End

_encode: Final = msgspec.json.Encoder().encode
_decode_row: Final = msgspec.json.Decoder(Row).decode
_decode_mark: Final = msgspec.json.Decoder(Mark).decode


def mark_line(mark: Mark) -> bytes:
    """A mark as a line."""
    return _line(_encode(mark))


def row_line(row: Row) -> bytes:
    """A row as a line.

    Raises:
        LogUnavailable: the row holds what could not be read back: NaN, infinity, a value of no JSON type, or more than a line takes.
    """
    try:
        payload = _encode(row)
    except (TypeError, ValueError, OverflowError) as error:
        raise LogUnavailable("row cannot be logged", expected="values of the contract's types") from error
    if not _finite(row):  # JSON has neither NaN nor infinity, and null would lie about them
        raise LogUnavailable("row cannot be logged", expected="finite numbers", actual="NaN or infinity")
    if len(payload) + _CRC + 2 > MAX_LINE_BYTES:
        raise LogUnavailable(
            "row cannot be logged", expected=f"at most {MAX_LINE_BYTES} bytes", actual=len(payload) + _CRC + 2
        )
    return _line(payload)


def row_bytes(row: Row) -> bytes:
    """A row's JSON, the same for equal rows."""
    return _encode(row)


def parse(line: bytes) -> Row | Mark | None:
    """What a line with its line feed says; None when it is not whole or says nothing of this version."""
    if len(line) < _CRC + 3 or line[_CRC] != ord(" ") or line[-1] != ord("\n"):
        return None
    payload = line[_CRC + 1 : -1]
    if line[:_CRC] != b"%08x" % crc32(payload):
        return None
    try:
        return _decode_mark(payload) if payload.startswith(_MARK) else _decode_row(payload)
    except msgspec.MsgspecError:
        return None


def _line(payload: bytes) -> bytes:
    return b"%08x %b\n" % (crc32(payload), payload)


def _finite(row: Row) -> bool:
    features = row.features or ()
    alone = (row.probability or 0.0, row.out_of_distribution or 0.0)
    # A finite sum proves finite terms; finite terms whose sum overflows are looked at one by one.
    return isfinite(sum(features) + sum(alone)) or all(map(isfinite, (*features, *alone)))
