"""`log show`, `log verify`: the prediction log."""

import sys
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from tidegate.cli.context import open_project
from tidegate.cli.output import AsJson, console, errors, print_json, print_table

if TYPE_CHECKING:
    from pathlib import Path

    from tidegate.serving.log.record import Row
    from tidegate.serving.log.scan import Damage

PANEL = "Servers and settings"
COLUMNS = ("answered (UTC)", "model", "p", "target", "strategy", "symbol", "outcome")


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="Read the prediction log, also while the service writes it.")
    group.command()(show)
    group.command()(verify)
    app.add_typer(group, name="log", rich_help_panel=PANEL)


def show(
    *,
    strategy: Annotated[str | None, typer.Option(help="Only this strategy.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Only requests received at or after this time; ISO 8601, UTC.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Only requests received before this time; ISO 8601, UTC.")] = None,
    canonical: Annotated[
        bool, typer.Option("--canonical", help="Only the row that counts for each bar, model and role.")
    ] = False,
    limit: Annotated[
        int | None,
        typer.Option(help="Only the newest N rows. Default: 50 as a table, all with --json.", min=1),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show rows of all instances, oldest first; exit with 3 when a file is damaged, after the rows that are whole.

    A table has the main columns, --json all of them.
    """
    from tidegate.bars.bars import parse_time
    from tidegate.serving.log.reader import canonical as canonical_rows
    from tidegate.serving.log.reader import read

    damages: list[Damage] = []
    rows: Iterator[Row] = read(
        _folder(),
        strategy=strategy,
        since_ms=None if since is None else parse_time(since),
        until_ms=None if until is None else parse_time(until),
        on_corrupt=damages.append,
    )
    if canonical:
        rows = iter(canonical_rows(rows))
    if as_json:
        _write_json(rows if limit is None else iter(deque(rows, maxlen=limit)))
    else:
        _print(rows, limit or 50)
    _end(damages)


def verify(*, as_json: AsJson = False) -> None:
    """Read the whole prediction log and list every damage; exit with 3 when there is any."""
    from tidegate.serving.log.reader import verify as read_all

    folder = _folder()
    found = read_all(folder)
    if as_json:
        print_json(
            {
                "folder": folder,
                "instances": found.instances,
                "files": found.files,
                "open_files": found.open_files,
                "rows": found.rows,
                "damages": [{"path": each.path, "offset": each.offset, "what": each.what} for each in found.damages],
            }
        )
    else:
        word = "[green]whole[/]" if not found.damages else "[red]DAMAGED[/]"
        console.print(
            f"{escape(str(folder))}: {word}, {found.rows:,} rows in {found.files:,} files ({found.open_files} open)"
            f" of {found.instances:,} instances",
            soft_wrap=True,
        )
    _end(list(found.damages))


def _folder() -> "Path":
    project = open_project()
    return project.root / project.settings.serving.log_folder


def _print(rows: "Iterator[Row]", limit: int) -> None:
    count = 0
    newest: deque[Row] = deque(maxlen=limit)
    for row in rows:
        count += 1
        newest.append(row)
    if not count:
        console.print("no rows")
        return
    print_table("Prediction log", COLUMNS, [_cells(row) for row in newest], whole=COLUMNS[:4])
    if count > limit:
        console.print(f"the newest {limit:,} of {count:,} rows; [cyan]--limit[/] shows more")


def _cells(row: "Row") -> tuple[object, ...]:
    from tidegate.bars.bars import iso

    model = "none" if row.version is None else f"v{row.version}"
    return (
        iso(row.answered_at)[:19].replace("T", " "),
        model if row.role == "production" else f"{model} {row.role}",
        None if row.probability is None else f"{row.probability:.4f}",
        row.target_position,
        row.strategy,
        row.symbol,
        row.status if row.abstain_reason is None else f"{row.status}: {row.abstain_reason}",
    )


def _write_json(rows: "Iterator[Row]") -> None:
    """One JSON list, written while it is read: a log may be larger than the memory."""
    from tidegate.serving.log.lines import row_bytes

    between = "[\n"
    for row in rows:
        sys.stdout.write(between + row_bytes(row).decode())
        between = ",\n"
    sys.stdout.write("[]\n" if between == "[\n" else "\n]\n")


def _end(damages: "list[Damage]") -> None:
    if not damages:
        return
    from tidegate.errors import LogDamaged

    for each in damages:
        errors.print(f"{LogDamaged.code}: {each.path} at byte {each.offset}: {each.what}", markup=False, soft_wrap=True)
    raise typer.Exit(LogDamaged.exit_code)
