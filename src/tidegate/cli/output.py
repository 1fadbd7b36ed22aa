"""How the command line speaks: tables and colour for people, JSON for machines, errors with exit codes for both."""

import json
import math
import sys
from collections.abc import Collection, Sequence
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tidegate.errors import TidegateError

AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON value on standard output, and nothing else there.")
]

console = Console()
errors = Console(stderr=True)


def print_json(value: object) -> None:
    """One JSON value on standard output; NaN and infinity become null."""
    sys.stdout.write(json.dumps(_plain(value), indent=2, default=str, allow_nan=False) + "\n")


def print_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], *, whole: Collection[str] = ()
) -> None:
    """A table for people; numbers align right, long cells are folded into further lines, but not those of the columns `whole`."""
    table = Table(
        title=title, title_justify="left", title_style="bold", header_style="bold", box=SIMPLE_HEAD, pad_edge=False
    )
    for at, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[at], (int, float)) for row in rows if row[at] is not None)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold", no_wrap=column in whole)
    for row in rows:
        table.add_row(*("" if cell is None else escape(str(cell)) for cell in row))
    console.print(table)


def print_error(error: TidegateError, *, as_json: bool) -> None:
    """An error on standard error, or as JSON on standard output."""
    if as_json:
        fields = {"code": error.code, "message": error.what, "expected": error.expected, "actual": error.actual}
        print_json({"error": fields | {"setting": error.setting, "next_step": error.next_step}})
        return
    errors.print(f"[bold red]{error.code}[/]: {escape(error.what)}", soft_wrap=True)
    if error.expected is not None:
        where = f" ({error.setting})" if error.setting else ""
        errors.print(f"  expected {escape(str(error.expected))}{where}", soft_wrap=True)
    elif error.setting:
        errors.print(f"  setting  {error.setting}", soft_wrap=True)
    if error.actual is not None:
        errors.print(f"  was      {escape(str(error.actual))}", soft_wrap=True)
    if error.next_step:
        errors.print(f"  next     {escape(error.next_step)}", soft_wrap=True)


def _plain(value: Any) -> Any:  # noqa: ANN401  any JSON value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
