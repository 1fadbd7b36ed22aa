"""How the watch is started beside the servers, and how it is found: it holds a lock of its own, whose note has its address."""

import sys
from collections.abc import Mapping
from pathlib import Path

from tidegate.services import lock, mlflow_server
from tidegate.services.environment import child_environment
from tidegate.services.probe import answers
from tidegate.services.process import Service
from tidegate.settings.settings import Settings

NAME = "watch"
TITLE = "watch"
PORT_SETTING = "watch.port"


def lock_file(settings: Settings) -> Path:
    """The lock of the project's one watch."""
    return settings.paths.runs.resolve() / "watch" / "watch.lock"


def running(settings: Settings) -> lock.Note | None:
    """The watch that runs in this project now, whoever started it."""
    return lock.read(lock_file(settings))


def health_address(settings: Settings) -> str | None:
    """Where to ask it whether its loop turns; None while it has no address."""
    note = running(settings)
    address = note.entries[0].address if note is not None and note.entries else None
    return None if address is None else f"{address}/healthz"


def service(settings: Settings, root: Path, logs: Path, inherited: Mapping[str, str]) -> Service:
    """Describe the watch of all strategies. It is ready when it answers where its lock says.

    Args:
        settings: where the servers are; `watch.port`.
        root: the project's folder.
        logs: folder of the log.
        inherited: the caller's environment; `TIDEGATE_*` and credentials of an MLflow server pass.
    """
    own = {"TIDEGATE_ROOT": str(root)}
    if mlflow_server.is_ours(settings):
        own["TIDEGATE_MLFLOW__TRACKING_URI"] = mlflow_server.address(settings)

    def ready() -> bool:
        url = health_address(settings)
        return url is not None and answers(url)

    port = settings.watch.port
    return Service(
        name=NAME,
        title=TITLE,
        command=(sys.executable, "-m", "tidegate.cli.main", "watch"),
        environment=child_environment(inherited, own, keep=("MLFLOW_TRACKING_",)),
        folder=root,
        log=logs / f"{NAME}.log",
        ready=ready,
        address=f"http://{settings.watch.host}:{port}/metrics" if port else None,
    )
