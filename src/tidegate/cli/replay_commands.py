"""`replay`: what the whole procedure would have decided and earned, month by month, on history."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidegate.cli.context import Project, open_project
from tidegate.cli.output import AsJson, console, print_json, print_table
from tidegate.strategy.symbols import named_symbols, with_symbols

if TYPE_CHECKING:
    from tidegate.replay.mapping import Mapper
    from tidegate.replay.result import ReplayResult
    from tidegate.settings.settings import Settings
    from tidegate.strategy.strategy import Strategy

PANEL = "The main job"
COLUMNS = ("path", "return", "Sharpe", "drawdown", "trades", "yes/no/back")


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel=PANEL)(replay)


def replay(
    strategy: Annotated[str, typer.Argument(help="Name of a strategy, or the path of its file.")],
    *,
    first: Annotated[str, typer.Option("--from", help="First month, such as 2018-01.")],
    last: Annotated[str, typer.Option("--to", help="Last month, such as 2023-12; it is traded to its end.")],
    symbols: Annotated[
        str | None, typer.Option(help="These symbols instead of the file's, such as BTC/USDT,ETH/USDT.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=256, help="Processes that train months side by side; 1: this one alone.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to keep replays in. Default: replay in the runs' folder.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Live through history month by month, as the deployed procedure would have, and compare it with doing otherwise.

    Each month is trained on bars up to its first moment only. Then gates, promotion, trading with costs, monitoring and rollback follow
    in order, by the code of production. What an earlier run has finished is not done again, also where it was killed.
    """
    project = open_project()
    found = project.strategy(strategy)
    if symbols is not None:
        found = with_symbols(found, named_symbols(symbols))
    settings = _for_workers(project.settings, workers)
    with _mapper(settings) as mapper:
        told = [_one(single, settings, project, (first, last), out, mapper, quiet=as_json) for single in found.single()]
    if as_json:
        print_json([_plain(result, page) for result, page in told])
        return
    for result, page in told:
        _show(result, page)


def _one(
    strategy: "Strategy",
    settings: "Settings",
    project: Project,
    months: tuple[str, str],
    out: Path | None,
    mapper: "Mapper",
    *,
    quiet: bool,
) -> "tuple[ReplayResult, Path]":
    from tidegate.registry.database import system_clock
    from tidegate.replay.page import write_pages
    from tidegate.replay.plan import make_plan, require_past
    from tidegate.replay.replay import replay as run

    plan = make_plan(strategy, settings, project.root, *months, out=out)
    require_past(plan, system_clock())
    with _progress(strategy.name, len(plan.months), quiet=quiet) as on_month:
        result = run(plan, mapper, workers=settings.compute.workers, on_month=on_month)
    return result, write_pages(result, plan.folder)


def _for_workers(settings: "Settings", workers: int | None) -> "Settings":
    """Settings for so many processes; where there are several, each trains one fold at a time."""
    count = settings.compute.workers if workers is None else workers
    changes: dict[str, Any] = {"workers": count} | ({"parallel_folds": 1} if count > 1 else {})
    return settings.model_copy(update={"compute": settings.compute.model_copy(update=changes)})


@contextmanager
def _mapper(settings: "Settings") -> "Iterator[Mapper]":
    """A mapper of as many processes as the settings say; they are started when there is something to train."""
    from tidegate.replay.mapping import in_order

    if settings.compute.workers == 1 and settings.compute.dask_address is None:
        yield in_order
        return
    with ExitStack() as stack:
        opened: list[Mapper] = []

        def mapped(function: Callable[[str], str], references: Any) -> Iterator[str]:  # noqa: ANN401
            from tidegate.replay.workers import dask_mapper

            if not opened:
                opened.append(stack.enter_context(dask_mapper(settings)))
            return opened[0](function, references)

        yield mapped


@contextmanager
def _progress(title: str, months: int, *, quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    if quiet:
        yield lambda _what, _done, _of: None
        return
    from tidegate.cli.progress import shown_bars

    with shown_bars() as progress:
        task = progress.add_task(f"{title}: bars", total=months)
        yield lambda what, done, _of: progress.update(task, completed=done, description=f"{title}: {what}")


def _show(result: "ReplayResult", page: Path) -> None:
    rows = []
    for path in result.paths:
        found = path.summary
        error = "?" if found.sharpe_standard_error is None else f"{found.sharpe_standard_error:.2f}"
        ratio = "" if found.sharpe is None else f"{found.sharpe:.2f} ± {error}"
        decisions = f"{found.promotions}/{found.refusals}/{found.rollbacks + found.halts}" if path.policy else ""
        fall = f"{found.max_drawdown:.1%}"
        rows.append((path.title, f"{found.total_return:+.1%}", ratio, fall, found.trades, decisions))
    simulated = " (SIMULATED market)" if result.kind == "simulated" else ""
    title = f"{result.strategy}{simulated}, {result.first_month} to {result.last_month}, net of costs"
    print_table(title, COLUMNS, rows, whole=COLUMNS)
    training = result.training
    console.print(
        f"  [dim]{training.trained} months trained, {training.reused} taken from earlier runs, {training.failed} without a model; "
        f"{training.seconds['total']:.0f} s, {training.fits} fits, {training.peak_memory_mb:.0f} MB[/]",
        soft_wrap=True,
    )
    console.print("  [dim]yes/no/back: months promoted and refused, rollbacks and halts[/]", soft_wrap=True)
    console.print(f"  page {page}", soft_wrap=True, markup=False)


def _plain(result: "ReplayResult", page: Path) -> dict[str, Any]:
    """The result without its series, which are in the JSON file beside the page."""
    return {
        "strategy": result.strategy,
        "kind": result.kind,
        "first_month": result.first_month,
        "last_month": result.last_month,
        "paths": [
            {"name": path.name, "policy": path.policy}
            | asdict(path.summary)
            | {"months": [asdict(month) for month in path.months]}
            for path in result.paths
        ],
        "training": asdict(result.training),
        "folder": result.folder,
        "page": str(page),
    }
