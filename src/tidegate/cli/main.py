"""`tidegate`: the entry point, its commands' groups and its exit codes."""

import errno
import sys
import tempfile
import traceback
from typing import Annotated

import typer

from tidegate import __version__
from tidegate.cli import (
    backup_commands,
    bot_commands,
    calibrate_commands,
    checklist_commands,
    data_commands,
    deploy_commands,
    incident_commands,
    instance_commands,
    key_commands,
    log_commands,
    monitor_commands,
    notify_commands,
    proposal_commands,
    registry_commands,
    replay_commands,
    retrain_commands,
    serve_commands,
    server_commands,
    trial_commands,
    watch_commands,
)
from tidegate.cli.output import errors, print_error
from tidegate.errors import ConfigurationError, ServiceError, TidegateError

_INTERRUPTED = 130
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


def _version(shown: bool) -> None:
    if shown:
        typer.echo(f"tidegate {__version__}")
        raise typer.Exit


app = typer.Typer(
    name="tidegate",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Takes a trading-signal model from market data to production, every month, with nobody fooling themselves.\n\n"
        "[bold]First steps[/]: [cyan]tidegate demo[/] shows the whole job; [cyan]tidegate new NAME[/] writes a strategy file of your own; "
        "[cyan]tidegate retrain NAME[/] trains, tests and judges it; [cyan]tidegate up[/] starts the servers and the monthly schedule.\n\n"
        "[bold]Exit codes[/]: 0 done, 1 other error, 2 configuration, 3 data, 4 model, 5 promotion refused, 6 registry, 7 servers, 130 interrupted."
    ),
)
retrain_commands.add_to(app)
replay_commands.add_to(app)
monitor_commands.add_to(app)
calibrate_commands.add_to(app)
data_commands.add_to(app)
registry_commands.add_to(app)
trial_commands.add_to(app)
proposal_commands.add_to(app)
instance_commands.add_to(app)
incident_commands.add_to(app)
key_commands.add_to(app)
server_commands.add_to(app)
serve_commands.add_to(app)
log_commands.add_to(app)
watch_commands.add_to(app)
notify_commands.add_to(app)
bot_commands.add_to(app)
backup_commands.add_to(app)
checklist_commands.add_to(app)
deploy_commands.add_to(app)


@app.callback()
def options(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_version),
    ] = False,
) -> None:
    """Options of the program itself."""
    del version


def main() -> None:
    """Run the command line; every error becomes a message and an exit code."""
    as_json = "--json" in sys.argv
    try:
        app()
    except TidegateError as error:
        print_error(error, as_json=as_json)
        sys.exit(error.exit_code)
    except SystemExit as end:
        if end.code == _INTERRUPTED:  # typer has turned Ctrl-C into this
            errors.print("interrupted; nothing was left half-written")
        raise
    except ModuleNotFoundError as error:
        told = _not_installed(error)
        print_error(told, as_json=as_json)
        sys.exit(told.exit_code)
    except Exception as error:  # noqa: BLE001  the border: nothing else may end in a traceback
        told = _of_the_disk(error) or _unexpected(error)
        print_error(told, as_json=as_json)
        sys.exit(told.exit_code)


def _not_installed(error: ModuleNotFoundError) -> TidegateError:
    library = (error.name or "a library").partition(".")[0]
    return ConfigurationError(
        f"{library} is not installed",
        next_step="install what this command needs: pip install 'tidegate[flows]' for all of it, 'tidegate[ccxt]' for exchanges",
    )


def _of_the_disk(error: BaseException | None) -> TidegateError | None:
    """A disk that takes nothing more is no defect of ours, whichever library ran into it; None where it is something else."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            return ServiceError(
                f"the disk takes nothing more: {error.strerror}",
                expected="room in the project's folder and in the folder of temporary files",
                actual=error.filename or "a file that has no name",
                next_step="free the disk and run the command again; nothing was left half-written",
            )
        error = error.__cause__ or error.__context__
    return None


def _unexpected(error: Exception) -> TidegateError:
    """An error that nobody foresaw, as a message; its traceback goes to a file."""
    line = " ".join(str(error).split())[:300]
    return TidegateError(
        f"unexpected {type(error).__name__}: {line}",
        next_step=f"this is a defect of tidegate; its traceback is in {_traceback_file(error)}",
    )


def _traceback_file(error: Exception) -> str:
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="tidegate-", suffix=".log", delete=False, encoding="utf-8"
        ) as file:
            traceback.print_exception(error, file=file)
    except OSError as unwritten:
        return f"no file, since none could be written ({unwritten.strerror})"
    return file.name


if __name__ == "__main__":
    main()
