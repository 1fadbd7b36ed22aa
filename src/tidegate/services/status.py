"""What runs in a project right now."""

import os
from dataclasses import dataclass
from pathlib import Path

from tidegate.services import lock, mlflow_server, prefect_server, watch_service, worker
from tidegate.services.probe import HOST, answers
from tidegate.settings.settings import Settings


@dataclass(frozen=True)
class ServiceStatus:
    """One server.

    Args:
        name: its short id.
        running: whether its processes exist.
        answering: whether it answers; None where it has no address to ask.
        pid: its process group.
        address: where people reach it.
        log: its log file.
    """

    name: str
    running: bool
    answering: bool | None
    pid: int | None
    address: str | None
    log: str | None


@dataclass(frozen=True)
class Status:
    """All servers of a project.

    Args:
        pid: the process of `tidegate up`, None when it does not run.
        services: one entry a server, in the order of their start.
    """

    pid: int | None
    services: tuple[ServiceStatus, ...]

    @property
    def healthy(self) -> bool:
        """Whether everything that `tidegate up` starts is there and answers."""
        return self.pid is not None and all(one.running and one.answering is not False for one in self.services)


def logs_folder(settings: Settings) -> Path:
    """Where the servers' logs and the lock are."""
    return settings.paths.runs.resolve() / "services"


def lock_file(settings: Settings) -> Path:
    """The project's lock."""
    return logs_folder(settings) / "up.lock"


def status(settings: Settings) -> Status:
    """Look at the lock, the processes and the addresses. Starts nothing and waits two seconds a server at most."""
    note = lock.read(lock_file(settings))
    entries = {entry.name: entry for entry in note.entries} if note else {}
    watch = watch_service.running(settings)
    if watch is not None and watch_service.NAME not in entries:  # somebody started it beside `tidegate up`
        entries[watch_service.NAME] = (
            watch.entries[0] if watch.entries else lock.Entry(watch_service.NAME, watch.pid, "")
        )
    health = {
        mlflow_server.NAME: f"http://{HOST}:{settings.mlflow.port}/health",
        prefect_server.NAME: f"{prefect_server.api_url(settings)}/health",
        worker.NAME: None,
        watch_service.NAME: watch_service.health_address(settings),
    }
    if not mlflow_server.is_ours(settings):
        del health[mlflow_server.NAME]
    found = []
    for name, url in health.items():
        entry = entries.get(name)
        running = entry is not None and _exists(entry.pid)
        found.append(
            ServiceStatus(
                name=name,
                running=running,
                answering=None if url is None else running and answers(url),
                pid=entry.pid if entry else None,
                address=entry.address if entry else None,
                log=(entry.log or None) if entry else None,
            )
        )
    return Status(note.pid if note else None, tuple(found))


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it belongs to somebody else
        return True
    return True
