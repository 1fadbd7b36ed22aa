"""Reads delimited text: encoding, delimiter, names and the decimal sign are told from the content."""

import codecs
import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from tidegate.bars.messages import reason
from tidegate.errors import SourceError

_DELIMITERS: Final = (",", ";", "\t", "|")
_HEAD_LINES: Final = 40
_NUMBER: Final = re.compile(r"^\s*[-+]?(\d+([.,]\d*)?|[.,]\d+)([eE][-+]?\d+)?\s*$")
_MISSING: Final = ["", "NaN", "nan", "NAN", "null", "NULL", "None", "N/A", "NA", "n/a"]


@dataclass(frozen=True, slots=True)
class Layout:
    """How a text is laid out.

    Attributes:
        delimiter: between cells.
        names: of the columns, None when the first line is data already.
        cells: the first data row.
        first_line: its line number, counted from 1.
        offset: its position in the text, in bytes.
        comma_decimals: whether prices of the first rows hold a comma.
        notes: what was detected.
    """

    delimiter: str
    names: tuple[str, ...] | None
    cells: tuple[str, ...]
    first_line: int
    offset: int
    comma_decimals: bool
    notes: tuple[str, ...]


def to_utf8(content: bytes, where: str) -> tuple[bytes, tuple[str, ...]]:
    """Drop a byte order mark, and turn UTF-16 (as some terminals export) into UTF-8.

    Raises:
        SourceError: the text is not in the encoding that its mark names.
    """
    if content.startswith(codecs.BOM_UTF8):
        return content[3:], ("byte order mark",)
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            return content.decode("utf-16").encode(), ("UTF-16",)
        except UnicodeDecodeError as error:
            raise SourceError(
                f"{where} is damaged UTF-16 text: {reason(error)}", next_step="export it again as UTF-8"
            ) from error
    return content, ()


def find_layout(content: bytes, where: str) -> Layout:
    """Tell the layout from the first lines.

    Raises:
        SourceError: there are no rows of bars, or the delimiter cannot be told.
    """
    lines = content[: 1 << 18].split(b"\n")[:_HEAD_LINES]
    try:
        texts = [line.decode().rstrip("\r") for line in lines]
    except UnicodeDecodeError as error:
        raise SourceError(f"{where} is not UTF-8 text", next_step="export it again as UTF-8 or ASCII") from error
    candidates = {delimiter: _rows(texts, delimiter) for delimiter in _DELIMITERS}
    scores = {delimiter: sum(map(_looks_like_bars, rows)) for delimiter, rows in candidates.items()}
    best = max(scores.values())
    winners = [delimiter for delimiter, score in scores.items() if score == best]
    if best == 0 or len(winners) > 1:
        raise SourceError(
            f"{where} holds no rows of bars that can be read",
            expected="a time and five numbers per line, separated by comma, semicolon, tab or bar",
            actual=repr(texts[0][:80]),
        )
    delimiter = winners[0]
    rows = candidates[delimiter]
    first = next(place for place, row in enumerate(rows) if _looks_like_bars(row))
    above = [place for place in range(first) if any(cell.strip() for cell in rows[place])]
    names = tuple(cell.strip().strip("<>") for cell in rows[above[-1]]) if above else None
    skipped = len(above) - 1
    notes = [] if delimiter == "," else [f"delimiter {delimiter!r}"]
    notes += [f"{skipped} lines above the column names skipped"] if skipped > 0 else []
    if names is not None and len(names) != len(rows[first]):
        raise SourceError(
            f"{where}: line {above[-1] + 1} names {len(names)} columns", expected=len(rows[first]), actual=len(names),
            next_step="repair the line with the column names",
        )  # fmt: skip
    comma = any("," in cell for row in rows[first:] for cell in row if _NUMBER.match(cell))
    offset = sum(len(line) + 1 for line in lines[:first])
    return Layout(delimiter, names, tuple(rows[first]), first + 1, offset, comma, tuple(notes))


def _rows(texts: Sequence[str], delimiter: str) -> list[list[str]]:
    return [next(csv.reader([text], delimiter=delimiter), []) for text in texts]


def _looks_like_bars(row: Sequence[str]) -> bool:
    """A time, which begins with a digit or a weekday, and at least four numbers."""
    numbers = sum(bool(_NUMBER.match(cell)) for cell in row)
    return len(row) >= 5 and numbers >= 4 and all(_NUMBER.match(cell) or ";" not in cell for cell in row)


def read_columns(
    content: bytes, layout: Layout, texts: Sequence[int], numbers: Sequence[int], where: str
) -> dict[int, pa.Array]:
    """Read chosen columns.

    Args:
        content: the whole text, UTF-8.
        layout: as `find_layout` told it.
        texts: columns to read as text.
        numbers: columns to read as float64; empty cells become NaN.
        where: the file, for messages.
    Returns:
        pyarrow arrays by column.
    Raises:
        SourceError: a line has another number of cells, or a cell is no number; the message names the line.
    """
    names = [f"c{place}" for place in range(len(layout.cells))]
    types = {f"c{place}": pa.string() for place in (*texts, *numbers)}
    if not layout.comma_decimals:
        types |= {f"c{place}": pa.float64() for place in numbers}
    body = pa.py_buffer(memoryview(content)[layout.offset :])
    options = {
        "parse_options": pa_csv.ParseOptions(delimiter=layout.delimiter),
        "convert_options": pa_csv.ConvertOptions(
            column_types=types,
            include_columns=list(types),
            null_values=_MISSING,
            strings_can_be_null=True,
            check_utf8=True,
        ),
    }
    try:
        table = pa_csv.read_csv(pa.BufferReader(body), pa_csv.ReadOptions(column_names=names), **options)
    except pa.ArrowInvalid as error:
        raise SourceError(
            f"{where} cannot be read: {_first_fault(body, names, options, layout, str(error))}",
            next_step="repair or remove that line",
        ) from error
    read = {place: table[f"c{place}"].combine_chunks() for place in (*texts, *numbers)}
    if layout.comma_decimals:
        read |= {place: _comma_numbers(read[place], where, layout.first_line) for place in numbers}
    return {place: pc.fill_null(read[place], float("nan")) if place in numbers else read[place] for place in read}


def _first_fault(body: pa.Buffer, names: Sequence[str], options: dict[str, Any], layout: Layout, message: str) -> str:
    """Arrow tells the row only when it reads with one thread."""
    try:
        pa_csv.read_csv(pa.BufferReader(body), pa_csv.ReadOptions(column_names=names, use_threads=False), **options)
    except pa.ArrowInvalid as error:
        message = str(error)

    def line(match: re.Match[str]) -> str:
        return f"line {int(match[1]) + layout.first_line - 1}"

    return re.sub(
        r"[Rr]ow #(\d+)", line, re.sub(r"column #(\d+)", lambda match: f"column {int(match[1]) + 1}", message)
    )


def _comma_numbers(cells: pa.Array, where: str, first_line: int) -> pa.Array:
    """Numbers with decimal commas.

    A comma with three digits behind it may be a thousands mark, so the column must hold other commas as well.
    """
    commas = pc.match_substring(cells, ",")
    both = pc.and_(commas, pc.match_substring(cells, "."))
    if pc.any(both).as_py():
        row = both.index(pa.scalar(value=True)).as_py()
        raise SourceError(
            f"{where}, line {first_line + row}: {cells[row].as_py()!r} holds a point and a comma",
            expected="no thousands marks",
        )
    if pc.any(commas).as_py():
        certain = pc.match_substring_regex(cells, r"^\s*[-+]?\d*,(\d{0,2}|\d{4,})\s*$")
        if not pc.any(certain).as_py():
            row = commas.index(pa.scalar(value=True)).as_py()
            raise SourceError(
                f"{where}, line {first_line + row}: the comma in {cells[row].as_py()!r} may be a decimal or a thousands mark",
                expected="prices with a decimal point",
            )
        if pc.any(pc.match_substring(cells, ".")).as_py():
            raise SourceError(
                f"{where}: some numbers have a decimal point and others a comma", expected="one decimal sign"
            )
    try:
        return pc.replace_substring(pc.utf8_trim_whitespace(cells), ",", ".").cast(pa.float64())
    except pa.ArrowInvalid as error:
        raise SourceError(f"{where} cannot be read: {reason(error)}", expected="numbers") from error
