"""The environment of a flow that the command line runs in its own process."""

from collections.abc import Mapping

from tidegate.services import mlflow_server, prefect_server
from tidegate.services.status import status
from tidegate.settings.settings import Settings

_START_TIMEOUT_S = "90"  # Prefect's own limit of 20 s is short for a first start on two cores


def flow_environment(settings: Settings, inherited: Mapping[str, str]) -> dict[str, str]:
    """Variables to set before Prefect is imported.

    While `tidegate up` runs in this project its servers are used. Otherwise Prefect starts a server of its own for the run, on the same
    database, so that the run is there when `tidegate up` is started later.

    Args:
        settings: paths and addresses.
        inherited: the caller's environment; a level for Prefect's console log is kept if it is set.
    """
    prefect_server.home(settings).mkdir(parents=True, exist_ok=True)
    own = prefect_server.client_environment(settings)
    if status(settings).healthy:
        if mlflow_server.is_ours(settings):
            own["TIDEGATE_MLFLOW__TRACKING_URI"] = mlflow_server.address(settings)
    else:
        del own["PREFECT_API_URL"]
        own["PREFECT_SERVER_ALLOW_EPHEMERAL_MODE"] = "true"
        own["PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"] = _START_TIMEOUT_S
        own["PREFECT_API_DATABASE_CONNECTION_URL"] = prefect_server.database_url(settings)
    own["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = inherited.get("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "ERROR")
    return own | {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
