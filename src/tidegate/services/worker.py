"""How the worker that runs flows is started: one flow run at a time, as a process in the project's folder or by `work_pool.type`."""

import contextlib
import os
import sys
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from tidegate.services import mlflow_server, prefect_server
from tidegate.services.environment import TUNING, child_environment
from tidegate.services.probe import post_json
from tidegate.services.process import Service
from tidegate.settings.settings import Settings

NAME = "worker"
TITLE = "worker"
POOL = "tidegate"
"""Of processes; the other types have pools of their own, since Prefect never changes a pool's type."""


def pool_name(settings: Settings) -> str:
    """The work pool's name."""
    return POOL if settings.work_pool.type == "process" else f"{POOL}-{settings.work_pool.type}"


def flow_environment(settings: Settings, root: Path, inherited: Mapping[str, str]) -> dict[str, str]:
    """The environment of the worker and of every flow run.

    Args:
        settings: where the servers are.
        root: the project's folder.
        inherited: the caller's environment; `TIDEGATE_*` and credentials of an MLflow server pass.
    """
    own = prefect_server.client_environment(settings) | {
        "TIDEGATE_ROOT": str(root),
        # Never what a pyproject.toml suggests: flows run in the environment that `tidegate up` runs in.
        "PREFECT_RUNNER_AUTO_INSTALL_DEPENDENCIES": "false",
    }
    if mlflow_server.is_ours(settings):
        own["TIDEGATE_MLFLOW__TRACKING_URI"] = mlflow_server.address(settings)
    made = child_environment(inherited, own, keep=(*TUNING, "MLFLOW_TRACKING_"))
    for variable, folder in (("NUMBA_CACHE_DIR", "numba"), ("MPLCONFIGDIR", "matplotlib")):
        made.setdefault(variable, str(settings.paths.cache.resolve() / folder))
    return made


def service(settings: Settings, root: Path, logs: Path, inherited: Mapping[str, str]) -> Service:
    """Describe the worker. It is ready when the server has heard from it since this call.

    Args:
        settings: where the Prefect server is.
        root: the project's folder.
        logs: folder of the log.
        inherited: the caller's environment.
    """
    described_at = time.time()
    # Workers of several projects may share one PostgreSQL database: the process tells them apart.
    worker = f"{POOL}-{os.getpid()}"
    command = (
        *(sys.executable, "-m", "prefect", "worker", "start"),
        *("--pool", pool_name(settings), "--type", settings.work_pool.type, "--name", worker, "--limit", "1"),
        *("--install-policy", "never", "--no-create-pool-if-not-found"),
    )
    return Service(
        name=NAME,
        title=TITLE,
        command=command,
        environment=flow_environment(settings, root, inherited),
        folder=root,
        log=logs / f"{NAME}.log",
        ready=lambda: has_reported(prefect_server.api_url(settings), worker, described_at, pool_name(settings)),
    )


def has_reported(api_url: str, worker: str, since: float, pool: str = POOL) -> bool:
    """Whether the server has had a heartbeat of this worker since a time in Unix seconds."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        workers = post_json(f"{api_url}/work_pools/{pool}/workers/filter", {"limit": 200})
        return isinstance(workers, list) and any(
            found["name"] == worker
            and datetime.fromisoformat(found["last_heartbeat_time"]).timestamp() >= since
            and found["status"] == "ONLINE"
            for found in workers
        )
    return False
