"""Servers for one command of the command line: those of `tidegate up` while it runs, else one of its own.

Artifacts always go through an MLflow server, so that their addresses are the same whoever wrote them, and the serving container can
fetch any of them.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tidegate.services import mlflow_server, prefect_server
from tidegate.services.probe import free_port
from tidegate.services.process import start, wait_ready
from tidegate.services.status import logs_folder, status
from tidegate.settings.settings import Settings

_START_TIMEOUT_S = "90"  # Prefect's own limit of 20 s is short for a first start on two cores


@contextmanager
def mlflow_at_hand(settings: Settings) -> Iterator[Settings]:
    """Settings whose MLflow server answers.

    Args:
        settings: a configured `mlflow.tracking_uri` is used as it is. Otherwise the server of `tidegate up` is used if it runs, else one is
            started on a free port, on the same database and artifacts, and stopped at the end.

    Raises:
        ServiceError: the server did not start; the message carries its log's last lines.
    """
    if settings.mlflow.tracking_uri is not None:
        yield settings
        return
    if _is_up(settings, mlflow_server.NAME):
        yield _at(settings, mlflow_server.address(settings))
        return
    own = settings.model_copy(update={"mlflow": settings.mlflow.model_copy(update={"port": free_port()})})
    logs: Path = logs_folder(settings)
    logs.mkdir(parents=True, exist_ok=True)
    process = start(mlflow_server.service(own, logs, os.environ))
    try:
        wait_ready([process], settings.prefect.start_timeout_s)
        # With its port as well, so that it is known as a server of tidegate's own, whose database a backup finds.
        yield _at(own, mlflow_server.address(own))
    finally:
        process.stop()


def flow_variables(settings: Settings, inherited: Mapping[str, str]) -> dict[str, str]:
    """Variables to set before Prefect is imported for a flow in this very process.

    While `tidegate up` runs, its Prefect server is used. Otherwise Prefect starts a server of its own for the run, on the same database,
    so that the run is there when `tidegate up` is started later.

    Args:
        settings: with the address of an MLflow server, see `mlflow_at_hand`.
        inherited: the caller's environment; a level for Prefect's console log is kept if it is set.
    """
    prefect_server.home(settings).mkdir(parents=True, exist_ok=True)
    own = prefect_server.client_environment(settings)
    if not _is_up(settings, prefect_server.NAME):
        del own["PREFECT_API_URL"]
        own["PREFECT_SERVER_ALLOW_EPHEMERAL_MODE"] = "true"
        own["PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"] = _START_TIMEOUT_S
        own["PREFECT_API_DATABASE_CONNECTION_URL"] = prefect_server.database_url(settings)
    if settings.mlflow.tracking_uri is not None:
        own["TIDEGATE_MLFLOW__TRACKING_URI"] = settings.mlflow.tracking_uri
        own["TIDEGATE_MLFLOW__PORT"] = str(settings.mlflow.port)
    own["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = inherited.get("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "ERROR")
    return own | {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}


def _is_up(settings: Settings, name: str) -> bool:
    return any(one.name == name and one.running and one.answering for one in status(settings).services)


def _at(settings: Settings, address: str) -> Settings:
    return settings.model_copy(update={"mlflow": settings.mlflow.model_copy(update={"tracking_uri": address})})
