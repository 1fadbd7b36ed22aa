"""`serve`: the service that answers trading bots, in this terminal."""

from typing import TYPE_CHECKING, Annotated

import typer

from tidegate.cli.context import open_project
from tidegate.cli.output import errors

if TYPE_CHECKING:
    from tidegate.serving.http.server import Address

PANEL = "Servers and settings"


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel=PANEL)(serve)


def serve(
    *,
    port: Annotated[
        int | None, typer.Option(help="Port to listen on; 0 takes a free one. Default: serving.port.", min=0, max=65535)
    ] = None,
) -> None:
    """Serve the production models of serving.strategies over HTTP until Ctrl-C.

    The same as `python -m tidegate.serving`, which is what the container runs. Logs are JSON lines: the process's on standard error, one line a
    request on standard output.
    """
    from tidegate.serving.http.process_log import log_to_stderr
    from tidegate.serving.http.server import refuse_unsafe, run
    from tidegate.serving.service import Service

    project = open_project()
    settings = project.settings
    if port is not None:
        settings = settings.model_copy(update={"serving": settings.serving.model_copy(update={"port": port})})
    refuse_unsafe(settings)
    log_to_stderr()

    def announce(address: "Address") -> None:
        errors.print(f"[cyan]serving[/] {', '.join(settings.serving.strategies)} on {address.url}", soft_wrap=True)
        if settings.serving.docs:
            errors.print(f"        try it in a browser: {address.url}/docs", soft_wrap=True)
        if settings.serving.api_keys_file is None:
            errors.print("        no API key is asked for: serving.api_keys_file is empty", soft_wrap=True)

    run(settings, Service, announce=announce)
