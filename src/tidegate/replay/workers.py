"""Months and models side by side on Dask: the home of `distributed`. Texts go out and come back; bars and models stay in files.

Without `compute.dask_address` a cluster is made for the run: a scheduler in this process and `compute.workers` processes, on the loopback address, each
connection encrypted and authenticated by a certificate that lives as long as the cluster. A process that is killed, or needs more than
`compute.worker_memory_gb`, is replaced, and its work tried again; what kills its process three times is an error.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any, Final

import dask
from distributed import Client, KilledWorker, LocalCluster, WorkerPlugin, as_completed
from distributed.client import FutureCancelledError
from distributed.security import Security

from tidegate.errors import ConfigurationError, ServiceError
from tidegate.logs.starting import start_logging
from tidegate.pipeline.fold_identity import library_versions
from tidegate.pipeline.threads import limit_linear_algebra
from tidegate.replay.identity import LIBRARIES
from tidegate.replay.mapping import Mapper
from tidegate.settings.operations import Logs
from tidegate.settings.settings import Settings

LOOPBACK: Final = "127.0.0.1"
_ALLOWED_DEATHS: Final = 2
_CONNECT_S: Final = 30
_GIGABYTE: Final = 1_000_000_000
# Libraries of linear algebra and compilers would each start as many threads as there are processors, in each process.
_THREADS: Final = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)


@contextmanager
def dask_mapper(settings: Settings) -> Iterator[Mapper]:
    """A mapper that works on Dask's workers; what it still works on when the context ends is given up.

    Args:
        settings: `compute` says where and how, `paths.cache` holds the workers' own files, `logs` their lines.
    Raises:
        ServiceError: no scheduler or no worker answers, or a worker's libraries differ from those here.
    """
    # What this process computes meanwhile has the last bits that its workers' sums have.
    limit_linear_algebra(settings.compute.threads)
    with connected(settings) as client:
        yield lambda function, references: _map(client, function, references)


@contextmanager
def connected(settings: Settings) -> Iterator[Client]:
    """A client of the cluster that the settings name, or of one of its own.

    Raises:
        ConfigurationError: the scheduler is encrypted, and there are no certificates.
        ServiceError: no scheduler or no worker answers, or a worker's libraries differ from those here.
    """
    address = settings.compute.dask_address
    if address and address.startswith("tls://"):
        _require_certificates()
    with ExitStack() as stack:
        cluster = stack.enter_context(nullcontext(address) if address else local_cluster(settings))
        try:
            client = stack.enter_context(Client(cluster, set_as_default=False, timeout=_CONNECT_S))
            client.wait_for_workers(1, timeout=_CONNECT_S)
        except (OSError, TimeoutError) as error:
            raise ServiceError(
                f"no Dask worker answers at {address or 'the local cluster'}",
                expected=f"a scheduler with a worker within {_CONNECT_S} s",
                setting="compute.dask_address",
                next_step="start one (`dask scheduler`, `dask worker`), or leave the setting empty for a local cluster",
            ) from error
        if address:
            _require_same_libraries(client)
        yield client


def local_cluster(settings: Settings) -> LocalCluster:
    """A cluster of processes on this machine, to be closed by whoever made it."""
    compute = settings.compute
    scratch = settings.paths.cache / "dask"
    scratch.mkdir(parents=True, exist_ok=True)
    with dask.config.set(_configuration(compute.threads)):
        return LocalCluster(
            n_workers=compute.workers,
            threads_per_worker=1,
            processes=True,
            host=LOOPBACK,
            protocol="tls",
            security=True,
            dashboard_address=f"{LOOPBACK}:0",
            memory_limit=int(compute.worker_memory_gb * _GIGABYTE),
            local_directory=str(scratch),
            silence_logs=logging.CRITICAL,  # what goes wrong is raised here, once
            env=dict.fromkeys(_THREADS, str(compute.threads)),
            plugins=(_WorkerLog(settings.logs),),
        )


def _configuration(threads: int) -> dict[str, Any]:
    return {
        "distributed.scheduler.allowed-failures": _ALLOWED_DEATHS,
        # One piece of work a process: what waits beside it would count as having killed it.
        "distributed.scheduler.worker-saturation": 1.0,
        # Pages with insight into the cluster, for anybody on this machine.
        "distributed.scheduler.http.routes": [],
        "distributed.worker.http.routes": [],
        # A process must not wait for memory that it will not get back; it works on, or is ended at 95 %.
        "distributed.worker.memory.target": False,
        "distributed.worker.memory.spill": False,
        "distributed.worker.memory.pause": False,
        "distributed.nanny.pre-spawn-environ": {"MALLOC_TRIM_THRESHOLD_": 65536}
        | dict.fromkeys(_THREADS, str(threads)),
        # A fit holds Python's lock for long; that is no fault.
        "distributed.admin.tick.limit": "1h",
    }


class _WorkerLog(WorkerPlugin):  # type: ignore[misc]  # Dask carries no types
    """Begins a worker's log: lines go to the file and server that the settings name, none to the terminal of the command."""

    name = "tidegate-log"

    def __init__(self, logs: Logs) -> None:
        self._logs = logs

    def setup(self, worker: object) -> None:
        """Begin."""
        del worker
        start_logging(self._logs, "replay-worker", stream=None)


def _map(client: Client, function: Callable[[str], str], references: Sequence[str]) -> Iterator[str]:
    # Not `pure`: the same text may stand for other files by now.
    futures = [client.submit(function, reference, pure=False) for reference in references]
    numbers = {future.key: number for number, future in enumerate(futures)}
    found: dict[int, str] = {}
    due = 0
    try:
        for future in as_completed(futures, loop=client.loop):
            number = numbers[future.key]
            found[number] = result_of(future.result, references[number])
            while due in found:
                yield found.pop(due)
                due += 1
    finally:
        client.cancel(futures)


def result_of(result: Callable[[], str], reference: str) -> str:
    """What came of one piece of work.

    Args:
        result: waits for it; of a future.
        reference: what it was, for the message.
    Raises:
        ServiceError: the process that worked on it ended again and again.
        Exception: what the work raised.
    """
    try:
        return result()
    except (KilledWorker, FutureCancelledError) as error:
        raise ServiceError(
            f"the process that worked on {reference} was ended {_ALLOWED_DEATHS + 1} times, or its cluster is gone",
            expected="one that lives",
            setting="compute.worker_memory_gb",
            next_step="give workers more memory or run fewer of them (compute.workers), or let tables lie in files earlier "
            "(compute.max_training_mb), and start again: what is done is kept",
        ) from error


def _require_certificates() -> None:
    """Refuse an encrypted scheduler without certificates at once; Dask itself would wait for a minute and then speak of its internals.

    Raises:
        ConfigurationError: no certificate is named, or its file cannot be read.
    """
    try:
        found = Security().get_connection_args("client").get("ssl_context")
    except OSError as error:
        found, why = None, str(error)
    else:
        why = "none is named"
    if found is None:
        raise ConfigurationError(
            "an encrypted Dask scheduler needs certificates",
            expected="files of DASK_DISTRIBUTED__COMM__TLS__CA_FILE, __CLIENT__CERT and __CLIENT__KEY",
            actual=why,
            setting="compute.dask_address",
        )


def _require_same_libraries(client: Client) -> None:
    """Refuse workers that would train other models than this machine."""
    here = library_versions(LIBRARIES)
    for worker, there in client.run(library_versions, LIBRARIES).items():
        differing = sorted(name for name in here.keys() | there.keys() if here.get(name) != there.get(name))
        if differing:
            raise ServiceError(
                f"the Dask worker {worker} has other versions of {', '.join(differing)}",
                expected=", ".join(f"{name} {here.get(name)}" for name in differing),
                actual=", ".join(f"{name} {there.get(name)}" for name in differing),
                setting="compute.dask_address",
                next_step="install the same lock on every worker",
            )
