"""Starts MLflow's server with logins; its databases and its first account come from the environment.

MLflow reads the database of its accounts from a file alone, so that file is written here, into the container's memory.

    MLFLOW_BACKEND_STORE_URI        runs and the registry
    MLFLOW_ARTIFACTS_DESTINATION    a folder, or s3://bucket/folder
    ACCOUNTS_DATABASE_URL           accounts and their rights
    MLFLOW_AUTH_ADMIN_PASSWORD      of the account `admin`, made at the first start
    MLFLOW_FLASK_SERVER_SECRET_KEY  signs forms
"""

import configparser
import os
from pathlib import Path

SETTINGS = Path("/tmp/mlflow-accounts.ini")  # noqa: S108  a tmpfs of the container's own
HOSTS = "mlflow:*,localhost:*,127.0.0.1:*"
ORIGINS = "http://localhost:*,http://127.0.0.1:*"


def write_settings(path: Path, database_url: str) -> None:
    """Write the accounts' settings, for this user's eyes only. Whoever has an account may read; who makes something may change it."""
    content = configparser.ConfigParser(interpolation=None)
    content["mlflow"] = {
        # MLflow reads the file with interpolation.
        "database_uri": database_url.replace("%", "%%"),
        "default_permission": "READ",
        "admin_username": "admin",
        "authorization_function": "mlflow.server.auth:authenticate_request_basic_auth",
        # Each request would otherwise hash a password for a tenth of a second. A changed password holds after a minute.
        "auth_cache_ttl_seconds": "60",
    }
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        content.write(file)


def command() -> list[str]:
    """MLflow's server: one process, as the default of four needs 2.8 GB."""
    return [
        *("mlflow", "server", "--app-name", "basic-auth", "--host", "0.0.0.0", "--port", "5000", "--workers", "1"),  # noqa: S104
        *("--serve-artifacts", "--allowed-hosts", HOSTS, "--cors-allowed-origins", ORIGINS),
    ]


def main() -> None:
    """Never returns."""
    write_settings(SETTINGS, os.environ.pop("ACCOUNTS_DATABASE_URL"))
    program = command()
    os.execvpe(program[0], program, {**os.environ, "MLFLOW_AUTH_CONFIG_PATH": str(SETTINGS)})


if __name__ == "__main__":
    main()
