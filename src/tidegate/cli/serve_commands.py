"""`serve`: the service that answers trading bots, in this terminal."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tidegate.cli.context import open_project, served_project
from tidegate.cli.output import errors
from tidegate.settings.serving import Serving

if TYPE_CHECKING:
    from tidegate.serving.http.server import Address
    from tidegate.settings.settings import Settings

PANEL = "Servers and settings"


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel=PANEL)(serve)


def serve(
    strategies: Annotated[
        list[str] | None, typer.Argument(help="Strategies to serve. Default: serving.strategies.", show_default=False)
    ] = None,
    *,
    port: Annotated[
        int | None, typer.Option(help="Port to listen on; 0 takes a free one. Default: serving.port.", min=0, max=65535)
    ] = None,
    clock: Annotated[
        Literal["system", "bars"] | None,
        typer.Option(
            help="`bars` judges data and models at the newest bar's time: for simulated markets and replays. Default: serving.clock.",
        ),
    ] = None,
) -> None:
    """Serve the production models of strategies over HTTP until Ctrl-C.

    The same as `python -m tidegate.serving`, which is what the container runs. Logs are JSON lines: the process's on standard error, one line a
    request on standard output.
    """
    from tidegate.serving.http.process_log import log_to_stderr
    from tidegate.serving.http.server import refuse_unsafe
    from tidegate.settings.settings import Settings

    given = {"strategies": tuple(strategies) if strategies else None, "port": port, "clock": clock}
    settings = open_project().settings
    own = settings.serving.model_dump() | {name: value for name, value in given.items() if value is not None}
    # Built anew, not changed: what production refuses is refused on the command line as well.
    serving = Settings(environment=settings.environment, serving=Serving.model_validate(own)).serving
    refuse_unsafe(settings.model_copy(update={"serving": serving}))
    log_to_stderr()
    if serving.registry_uri is not None:
        _serve(settings.model_copy(update={"serving": serving}))
        return
    with served_project(quiet=False) as project:
        _serve(project.settings.model_copy(update={"serving": serving}))


def _serve(settings: "Settings") -> None:
    from tidegate.serving.http.server import run
    from tidegate.serving.service import Service

    def announce(address: "Address") -> None:
        errors.print(f"[cyan]serving[/] {', '.join(settings.serving.strategies)} on {address.url}", soft_wrap=True)
        if settings.serving.docs:
            errors.print(f"        try it in a browser: {address.url}/docs", soft_wrap=True)
        if settings.serving.api_keys_file is None:
            errors.print("        no API key is asked for: serving.api_keys_file is empty", soft_wrap=True)

    run(settings, Service, announce=announce)
