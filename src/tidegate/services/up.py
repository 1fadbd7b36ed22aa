"""`tidegate up`: Prefect, MLflow, a worker, the watch and the schedules on one machine, until asked to stop."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Literal

from tidegate.errors import ServiceError
from tidegate.services import deployments, lock, mlflow_server, prefect_server, watch_service, worker
from tidegate.services.deployments import MONTHLY
from tidegate.services.probe import require_free
from tidegate.services.process import Interrupted, Process, Service, is_guard, start, wait_ready
from tidegate.services.status import lock_file, logs_folder
from tidegate.settings.reference import without_password
from tidegate.settings.settings import Settings

_WATCH_S = 1.0
_STALE_PATIENCE_S = 35.0  # as long as servers of a killed `up` may take to stop: three times their grace


@dataclass(frozen=True)
class Notice:
    """Something to tell the user.

    Args:
        service: short id of the server, or "up" for the whole.
        event: what happened; "up" is "ready" once all is.
        detail: an address, a number of seconds or a sentence.
        address: where people reach the server.
    """

    service: str
    event: Literal["starting", "ready", "stopping", "stopped", "note"]
    detail: str = ""
    address: str | None = None


Notify = Callable[[Notice], None]


def up(
    settings: Settings,
    root: Path,
    strategies: Sequence[str],
    stop_event: threading.Event,
    *,
    notify: Notify,
    cron: str = MONTHLY,
) -> None:
    """Start everything, wait until `stop_event`, Ctrl-C or SIGTERM, stop everything in reverse order.

    Args:
        settings: paths, ports and time limits; relative paths are taken from the working folder.
        root: the project's folder, which holds `flows/`.
        strategies: names of strategies; one deployment each.
        stop_event: set it to stop; it is set by SIGINT, SIGTERM and SIGHUP too when called in the main thread.
        notify: told of every step; called in this thread.
        cron: the schedule of retraining, UTC.

    Raises:
        ServiceError: another `up` runs in this project, a port is taken, a server does not start, or one ends
            while in use. Everything that was started is stopped before it is raised.
    """
    root = root.resolve()
    logs = logs_folder(settings)
    logs.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        held = stack.enter_context(lock.hold(lock_file(settings)))
        stack.enter_context(_signals(stop_event))
        started = _Started(stack, held, settings, stop_event, notify)
        if held.left is not None:
            notify(Notice("up", "note", f"the last tidegate up (process {held.left.pid}) was killed"))
        try:
            if held.left is not None:
                _wait_until_gone(held.left.entries, stop_event)
            _start_all(started, root, logs, strategies, cron)
        except Interrupted:
            return
        notify(Notice("up", "ready", f"{len(strategies)} strategies scheduled at {cron!r} UTC"))
        started.watch()


def _wait_until_gone(entries: Sequence[lock.Entry], stop_event: threading.Event) -> None:
    """Wait for servers of a killed `up`: two workers at once would run the same flow twice."""
    deadline = time.monotonic() + _STALE_PATIENCE_S
    while left := [entry for entry in entries if is_guard(entry.pid)]:
        if time.monotonic() >= deadline:
            raise ServiceError(
                f"servers of a killed tidegate up do not stop: {', '.join(entry.name for entry in left)}",
                next_step=f"end their process groups: {', '.join(str(entry.pid) for entry in left)}",
            )
        if stop_event.wait(0.2):
            raise Interrupted(left[0].name)


def _start_all(started: "_Started", root: Path, logs: Path, strategies: Sequence[str], cron: str) -> None:
    settings, inherited = started.settings, dict(os.environ)
    servers = []
    # All ports are looked at before anything is started, so that a refusal has nothing to undo.
    require_free(settings.prefect.port, prefect_server.TITLE, prefect_server.PORT_SETTING)
    watched = watch_service.running(settings)
    if watched is None and settings.watch.port:
        require_free(settings.watch.port, watch_service.TITLE, watch_service.PORT_SETTING)
    if mlflow_server.is_ours(settings):
        require_free(settings.mlflow.port, mlflow_server.TITLE, mlflow_server.PORT_SETTING)
        servers.append(started.start(mlflow_server.service(settings, logs, inherited)))
    else:
        started.notify(
            Notice(mlflow_server.NAME, "note", f"not started: using {without_password(settings.tracking_uri)}")
        )
    servers.append(started.start(prefect_server.service(settings, logs, inherited)))
    started.wait_ready(*servers)
    _deploy(started, deployments.service(settings, root, logs, strategies, cron, inherited), logs)
    further = [started.start(worker.service(settings, root, logs, inherited))]
    if watched is None:
        further.append(started.start(watch_service.service(settings, root, logs, inherited)))
    else:
        started.notify(Notice(watch_service.NAME, "note", f"not started: one runs already, as process {watched.pid}"))
    started.wait_ready(*further)


def _deploy(started: "_Started", service: Service, logs: Path) -> None:
    process = started.start(service, keep=False)
    try:
        process.wait_finished(started.settings.prefect.start_timeout_s, started.stop_event)
    finally:
        process.stop()
    done = deployments.read_outcome(logs)
    counts = f"{len(done.created)} created, {len(done.updated)} updated, {len(done.unchanged)} unchanged"
    started.notify(Notice(service.name, "ready", counts))
    if done.skipped_runs:
        detail = f"{done.skipped_runs} missed runs skipped; the newest missed run of each strategy catches up"
        started.notify(Notice(service.name, "note", detail))
    if done.crashed_runs:
        detail = f"{done.crashed_runs} runs that were cut off are marked as crashed"
        started.notify(Notice(service.name, "note", detail))
    for detail in done.not_caught_up:
        started.notify(Notice(service.name, "note", detail))
    for name in done.without_strategy:
        detail = f"deployment {name} has no strategy file any more; delete it in Prefect to end its schedule"
        started.notify(Notice(service.name, "note", detail))


class _Started:
    """What was started so far, registered for stopping in reverse order."""

    def __init__(
        self, stack: ExitStack, held: lock.Held, settings: Settings, stop_event: threading.Event, notify: Notify
    ) -> None:
        self.held = held
        self.settings = settings
        self.stop_event = stop_event
        self.notify = notify
        self._stack = stack
        self._processes: list[Process] = []
        self._began: dict[str, float] = {}

    def start(self, service: Service, *, keep: bool = True) -> Process:
        """Start a server; one that is kept is stopped at the end and watched until then."""
        if self.stop_event.is_set():
            raise Interrupted(service.name)
        self.notify(Notice(service.name, "starting"))
        self._began[service.name] = time.monotonic()
        process = start(service)
        if keep:
            self._stack.callback(self._stop, process)
            self._processes.append(process)
            self.held.write([_entry(one) for one in self._processes])
        return process

    def wait_ready(self, *processes: Process) -> None:
        """Wait for servers and tell how long each took."""
        wait_ready(processes, self.settings.prefect.start_timeout_s, self.stop_event, self._tell_ready)

    def watch(self) -> None:
        """Return when asked to stop; raise when a server ends."""
        while not self.stop_event.wait(_WATCH_S):
            for process in self._processes:
                process.require_alive("while it was in use")

    def _tell_ready(self, process: Process) -> None:
        name = process.service.name
        took_s = time.monotonic() - self._began[name]
        self.notify(Notice(name, "ready", f"after {took_s:.1f} s", process.service.address))

    def _stop(self, process: Process) -> None:
        try:
            self.notify(Notice(process.service.name, "stopping"))
        finally:  # also when there is no terminal left to tell
            process.stop()
        self.notify(Notice(process.service.name, "stopped"))


def _entry(process: Process) -> lock.Entry:
    service = process.service
    return lock.Entry(service.name, process.pid, str(service.log), service.address)


@contextmanager
def _signals(stop_event: threading.Event) -> Iterator[None]:
    """Have SIGINT, SIGTERM and SIGHUP set the event; python allows that in the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask_to_stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        stop_event.set()

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, ask_to_stop) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
