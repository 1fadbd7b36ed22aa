"""`instances`: the serving processes and what each one answers with."""

import typer

from tidegate.cli.context import served_project
from tidegate.cli.output import AsJson, console, print_json, print_table

PANEL = "Versions and their ledger"


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel=PANEL)(instances)


def instances(*, as_json: AsJson = False) -> None:
    """Serving processes by what they say in MLflow: which answer, and with which version. Alive is who wrote within the last minute."""
    from tidegate.bars.bars import iso
    from tidegate.registry.database import system_clock
    from tidegate.registry.instances import Instances

    with served_project(quiet=as_json) as project:
        found = Instances(project.settings).all(system_clock())
    if as_json:
        from dataclasses import asdict

        print_json([asdict(each) | {"models": [model.model_dump() for model in each.models]} for each in found])
        return
    if not found:
        console.print("no serving process has written to this MLflow yet")
        return
    rows = [
        (
            each.instance,
            each.address,
            each.fault or ("alive" if each.alive else "silent"),
            "yes" if each.ready and each.alive else "no",
            ", ".join(f"{model.strategy} v{model.version} ({model.role})" for model in each.models),
            iso(each.heartbeat_at) if each.heartbeat_at else "",
        )
        for each in found
    ]
    print_table("Serving instances", ("instance", "address", "state", "ready", "models", "heartbeat (UTC)"), rows)
