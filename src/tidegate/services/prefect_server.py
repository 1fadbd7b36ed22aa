"""How Prefect's server is started: own home and database under `paths.data`, loopback only, no telemetry."""

import sys
from collections.abc import Mapping
from pathlib import Path

from tidegate.services.environment import TUNING, child_environment
from tidegate.services.probe import HOST, answers
from tidegate.services.process import Service
from tidegate.settings.settings import Settings

NAME = "prefect"
TITLE = "Prefect server"
PORT_SETTING = "prefect.port"


def address(settings: Settings) -> str:
    """Where people reach the interface."""
    return f"http://{HOST}:{settings.prefect.port}"


def api_url(settings: Settings) -> str:
    """Where programs reach the API."""
    return f"{address(settings)}/api"


def home(settings: Settings) -> Path:
    """Prefect's home. Schedules and run history live here and must survive restarts: data, not a cache."""
    return settings.paths.data.resolve() / "prefect"


def database_url(settings: Settings) -> str:
    """Prefect's database: the configured one, or SQLite in its home."""
    configured = settings.prefect.database_url
    return (
        f"sqlite+aiosqlite:///{home(settings) / 'prefect.db'}" if configured is None else configured.get_secret_value()
    )


def client_environment(settings: Settings) -> dict[str, str]:
    """What a Prefect client needs to use this server and no other.

    Results are a cache: deleting them costs a recomputation.
    """
    return {
        "PREFECT_API_URL": api_url(settings),
        "PREFECT_HOME": str(home(settings)),
        "PREFECT_LOCAL_STORAGE_PATH": str(settings.paths.cache.resolve() / "prefect" / "results"),
        "PREFECT_LOGGING_EXTRA_LOGGERS": "tidegate",  # alerts and warnings show in the run's log
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",  # a server of its own would hide that ours is gone
    }


def service(settings: Settings, logs: Path, inherited: Mapping[str, str]) -> Service:
    """Describe the server.

    Args:
        settings: `prefect.port`, `prefect.database_url`, `paths.data` and `paths.cache` count.
        logs: folder of the log, also the working folder, so that nothing is imported from the project by accident.
        inherited: the caller's environment.
    """
    port = settings.prefect.port
    folder = home(settings)
    folder.mkdir(parents=True, exist_ok=True)
    own = {
        "PREFECT_HOME": str(folder),
        "PREFECT_API_DATABASE_CONNECTION_URL": database_url(
            settings
        ),  # not on the command line: it may hold a password
        "PREFECT_UI_API_URL": api_url(settings),
        # By default the interface is unpacked into the installed package, which may be read-only or shared.
        "PREFECT_UI_STATIC_DIRECTORY": str(settings.paths.cache.resolve() / "prefect" / "ui"),
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        # The default "*" lets any web page open in the user's browser drive this server.
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": f"http://{HOST}:{port},http://localhost:{port}",
    }
    return Service(
        name=NAME,
        title=TITLE,
        command=(sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(port)),
        environment=child_environment(inherited, own, keep=TUNING, drop=("TIDEGATE_",)),
        folder=logs,
        log=logs / f"{NAME}.log",
        ready=lambda: answers(f"{api_url(settings)}/health"),
        address=address(settings),
    )
