"""`bot`: what whoever connects a bot asks first."""

from pathlib import Path
from typing import Annotated

import typer

from tidegate.cli.output import AsJson, console, print_json, print_table

_PANEL = "The bot's side"


def add_to(app: typer.Typer) -> None:
    """Add the group."""
    bot = typer.Typer(no_args_is_help=True, help="Of a trading bot's client: look at everything before the first bar.")
    bot.command()(check)
    app.add_typer(bot, name="bot", rich_help_panel=_PANEL)


def check(
    *,
    config: Annotated[Path, typer.Option(help="The client's settings, a TOML file; the environment overrides it.")],
    as_json: AsJson = False,
) -> None:
    """Look at settings, network, key, model, interval, version and clock, and send one heartbeat; ends with 1 where anything fails."""
    import msgspec

    from tidegate.client.checking import check as look
    from tidegate.client.config import Config

    found = look(lambda: Config.load(config))
    if as_json:
        print_json(msgspec.to_builtins(found))
    else:
        rows = [(one.name, "pass" if one.passed else "FAIL", one.detail, one.next_step) for one in found.checked]
        print_table("Before the first bar", ("what", "", "why", "next step"), rows, whole=("what", ""))
        console.print("everything passes" if found.passed else "not everything passes", markup=False)
    if not found.passed:
        raise typer.Exit(1)
