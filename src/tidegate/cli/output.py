"""How the command line speaks: tables and colour for people, JSON for machines, errors with exit codes for both."""

import json
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from tidegate.errors import TidegateError
from tidegate.pipeline.job import STAGES, Stopwatch

AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON value on standard output, and nothing else there.")
]

console = Console()
errors = Console(stderr=True)


def print_json(value: object) -> None:
    """One JSON value on standard output; NaN and infinity become null."""
    sys.stdout.write(json.dumps(_plain(value), indent=2, default=str, allow_nan=False) + "\n")


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table for people; numbers align right."""
    table = Table(title=title, title_justify="left", header_style="bold")
    for at, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[at], (int, float)) for row in rows if row[at] is not None)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
    console.print(table)


def print_error(error: TidegateError, *, as_json: bool) -> None:
    """An error on standard error, or as JSON on standard output."""
    if as_json:
        fields = {"code": error.code, "message": error.what, "expected": error.expected, "actual": error.actual}
        print_json({"error": fields | {"setting": error.setting, "next_step": error.next_step}})
        return
    errors.print(f"[bold red]{error.code}[/]: {_escape(error.what)}", soft_wrap=True)
    if error.expected is not None:
        where = f" ({error.setting})" if error.setting else ""
        errors.print(f"  expected {_escape(str(error.expected))}{where}", soft_wrap=True)
    if error.actual is not None:
        errors.print(f"  was      {_escape(str(error.actual))}", soft_wrap=True)
    if error.next_step:
        errors.print(f"  next     {_escape(error.next_step)}", soft_wrap=True)


class ShownProgress(Stopwatch):
    """A stopwatch that also shows a bar with the stage's name and the time left."""

    def __init__(self, progress: Progress, title: str) -> None:
        super().__init__()
        self._progress = progress
        self._task = progress.add_task(title, total=sum(STAGES.values()))
        self._title = title
        self._done = 0.0
        self._stage = ""

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Show and time a stage."""
        self._stage = name
        self._progress.update(self._task, description=f"{self._title}: {name}")
        with super().stage(name):
            yield
        self._done += STAGES.get(name, 0)
        self._progress.update(self._task, completed=self._done)

    def step(self, done: int, of: int, what: str) -> None:
        """Show a step within the stage."""
        share = STAGES.get(self._stage, 0) * done / of
        self._progress.update(self._task, completed=self._done + share, description=f"{self._title}: {what}")


@contextmanager
def shown_progress(title: str, *, quiet: bool) -> Iterator[Stopwatch]:
    """A stopwatch that shows itself on standard error, unless `quiet`."""
    if quiet:
        yield Stopwatch()
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=errors, transient=True) as progress:
        yield ShownProgress(progress, title)


def _escape(text: str) -> str:
    return text.replace("[", r"\[")


def _plain(value: Any) -> Any:  # noqa: ANN401  any JSON value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
