"""`monitor`: one monitoring run at once, as the daily schedule does it."""

from typing import Annotated, Any

import typer

from tidegate.cli.context import Project, person, served_project
from tidegate.cli.output import AsJson, console, print_json

PANEL = "The main job"
_COLOURS = {
    "healthy": "green",
    "watch": "yellow",
    "rolled_back": "red",
    "halted": "red",
    "nothing_to_monitor": "yellow",
}


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel=PANEL)(monitor)


def monitor(
    strategy: Annotated[str, typer.Argument(help="Name of a strategy, or the path of its file.")],
    *,
    as_of: Annotated[
        str | None,
        typer.Option(
            help="Look at no bar that closed later; ISO 8601. Default: the end of the newest UTC day that has ended."
        ),
    ] = None,
    period: Annotated[str, typer.Option(help="daily, weekly or monthly: which rows the checklist has.")] = "daily",
    as_json: AsJson = False,
) -> None:
    """Compare what the model in production earned with its backtest's promise, judge the performance rules, and act by them.

    It may roll back or halt, as the schedule may. Doing it again with the same time gives the same figures and records nothing twice.
    """
    with served_project(quiet=as_json) as project:
        found, failed = _run(project, strategy, as_of, period)
    if as_json:
        print_json(found)
    else:
        for one in found:
            _show(one)
    if failed:
        raise failed[0]


def _run(
    project: Project, strategy: str, as_of: str | None, period: str
) -> tuple[list[dict[str, Any]], list[Exception]]:
    """Each model of the strategy; one that cannot be monitored keeps no other from being looked at."""
    from tidegate.notify.notifier import Notifier
    from tidegate.pipeline.monitor import describe, each_model, run_once
    from tidegate.pipeline.monitor_job import monitor_jobs
    from tidegate.registry.events import EventLedger

    notifier = Notifier(project.settings, EventLedger.from_settings(project.settings))
    jobs = monitor_jobs(
        project.strategy(strategy),
        project.settings,
        project.root,
        as_of=as_of,
        period=period,
        actor=person(),
        notifies=notifier,
    )
    return each_model(jobs, lambda job: describe(run_once(job)))


def _show(one: dict[str, Any]) -> None:
    word = str(one["outcome"]).replace("_", " ").upper()
    console.print(f"\n[bold {_COLOURS[one['outcome']]}]{word}[/] {one['strategy']}, production {one['production']}")
    console.print(f"  {one['reason']}", soft_wrap=True, markup=False)
    for rule, verdict in one["findings"].items():
        console.print(f"  {rule}: {str(verdict).replace('_', ' ')}", soft_wrap=True, markup=False)
    console.print(
        f"  event {one['event']}{'' if one['is_new'] else ', on record already'}", soft_wrap=True, markup=False
    )
    console.print(f"  report {one['report']}", soft_wrap=True, markup=False)
