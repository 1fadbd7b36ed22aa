"""`up`, `status`, `settings`: servers and the installation."""

import threading
from typing import Annotated

import typer

from tidegate.cli.context import open_project
from tidegate.cli.output import AsJson, console, print_json, print_table

PANEL = "Servers and settings"


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (up, status, settings):
        app.command(rich_help_panel=PANEL)(command)


def up(
    *,
    cron: Annotated[
        str | None, typer.Option(help="When every strategy is retrained, UTC. Default: monthly, 03:17 on the first.")
    ] = None,
) -> None:
    """Start Prefect, MLflow, a worker and the watch, create the schedules, and print their addresses. Ctrl-C stops everything."""
    from tidegate.services.deployments import MONTHLY
    from tidegate.services.up import Notice
    from tidegate.services.up import up as run

    project = open_project()
    strategies = sorted(path.stem for path in project.settings.paths.strategies.glob("*.yaml"))

    def notify(notice: Notice) -> None:
        address = f" [link={notice.address}]{notice.address}[/link]" if notice.address else ""
        console.print(f"[cyan]{notice.service:12}[/] {notice.event:9} {notice.detail}{address}", soft_wrap=True)

    run(project.settings, project.root, strategies, threading.Event(), notify=notify, cron=cron or MONTHLY)


def status(*, as_json: AsJson = False) -> None:
    """Whether `tidegate up` runs in this project, and whether its servers answer."""
    from dataclasses import asdict

    from tidegate.services.status import status as look

    found = look(open_project().settings)
    if as_json:
        print_json(asdict(found) | {"healthy": found.healthy})
        return
    if found.pid is None:
        console.print(
            "[cyan]tidegate up[/] does not run in this project; start it, or ask whatever else runs its servers"
        )
        return
    rows = [tuple(str(value) for value in asdict(service).values()) for service in found.services]
    print_table("tidegate up", list(asdict(found.services[0])) if found.services else [], rows)


def settings(
    *,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="The settings reference, as in docs/settings.md.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show every setting with its value; secrets are not shown. `*` marks what is not the default.

    A setting is changed in configs/base.yaml, in configs/<environment>.yaml, or by an environment variable: mlflow.port is
    TIDEGATE_MLFLOW__PORT.
    """
    from tidegate.settings.reference import reference, rows

    if markdown:
        typer.echo(reference(), nl=False)
        return
    project = open_project()
    found = rows(project.settings)
    if as_json:
        print_json({row.key: row.value for row in found})
        return
    shown = []
    for row in found:
        value = row.value.removeprefix(f"{project.root}/")
        changed = "" if value == row.default else " *"
        shown.append((row.key, f"{value}{changed}", row.description))
    print_table("Settings", ("setting", "value", "what it decides"), shown, whole=("setting",))
