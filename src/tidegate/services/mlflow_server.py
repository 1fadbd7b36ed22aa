"""How MLflow's server is started: SQLite and artifacts under `paths.mlruns`, one process, loopback only, no telemetry."""

import sys
from collections.abc import Mapping
from pathlib import Path

from tidegate.services.environment import child_environment
from tidegate.services.probe import HOST, answers
from tidegate.services.process import Service
from tidegate.settings.settings import Settings

NAME = "mlflow"
TITLE = "MLflow server"
PORT_SETTING = "mlflow.port"


def address(settings: Settings) -> str:
    """Where the server started by `tidegate up` is reached, interface and API alike."""
    return f"http://{HOST}:{settings.mlflow.port}"


def is_ours(settings: Settings) -> bool:
    """Whether `tidegate up` starts MLflow: not if `mlflow.tracking_uri` names another server."""
    configured = settings.mlflow.tracking_uri
    return configured is None or configured.rstrip("/") == address(settings)


def service(settings: Settings, logs: Path, inherited: Mapping[str, str]) -> Service:
    """Describe the server.

    Args:
        settings: `mlflow.port` and `paths.mlruns` count.
        logs: folder of the log, also the working folder, so that nothing is imported from the project by accident.
        inherited: the caller's environment.
    """
    port = settings.mlflow.port
    mlruns = settings.paths.mlruns.resolve()
    artifacts = mlruns / "artifacts"
    artifacts.mkdir(parents=True, exist_ok=True)
    command = (
        *(sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port)),
        *("--workers", "1"),  # the default of four needs 2.8 GB
        *("--backend-store-uri", f"sqlite:///{mlruns / 'mlflow.db'}"),
        *("--serve-artifacts", "--artifacts-destination", str(artifacts)),
        # Only these names may address it: a page that rebinds its own name to 127.0.0.1 is refused.
        *("--allowed-hosts", f"{HOST}:{port},localhost:{port}"),
        *("--cors-allowed-origins", f"http://{HOST}:{port},http://localhost:{port}"),
    )
    own = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # otherwise ten more processes
    return Service(
        name=NAME,
        title=TITLE,
        command=command,
        environment=child_environment(inherited, own, drop=("TIDEGATE_",)),
        folder=logs,
        log=logs / f"{NAME}.log",
        ready=lambda: answers(f"http://{HOST}:{port}/health"),
        address=address(settings),
    )
