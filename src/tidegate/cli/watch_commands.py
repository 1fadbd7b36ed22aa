"""`watch`: looks at the serving processes until Ctrl-C, and rolls back by the rules."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Annotated

import typer

from tidegate.cli.context import served_project
from tidegate.cli.output import errors

PANEL = "Servers and settings"


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel=PANEL)(watch)


def watch(
    strategies: Annotated[
        list[str] | None,
        typer.Argument(help="Strategies to watch. Default: all of the project.", show_default=False),
    ] = None,
) -> None:
    """Look at every serving process every few seconds, and roll back or halt by the strategies' rules, until Ctrl-C.

    It keeps ledger and registry together, follows incidents, and shows its metrics with the figures of all flows to Prometheus. `tidegate up`
    starts it; there is one a project.
    """
    from tidegate.logs.starting import start_logging
    from tidegate.services import lock, watch_service
    from tidegate.watch.opening import opened

    stop = threading.Event()
    with _signals(stop), served_project(quiet=False) as project:
        settings = project.settings
        held = lock.hold(watch_service.lock_file(settings), "tidegate watch")
        with held as noted:
            noted.write([])  # what a killed one left is not its address
            start_logging(settings.logs, "watch")
            with opened(settings, tuple(strategies or ())) as (running, address):
                noted.write([lock.Entry(watch_service.NAME, os.getpid(), "", address)])
                errors.print(f"[cyan]watching[/], metrics at {address}/metrics", soft_wrap=True)
                running.run(stop)


@contextlib.contextmanager
def _signals(stop: threading.Event) -> Iterator[None]:
    """Have SIGINT, SIGTERM and SIGHUP set the event."""

    def ask_to_stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        stop.set()

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, ask_to_stop) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
