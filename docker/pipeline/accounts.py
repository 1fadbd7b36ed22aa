"""Makes MLflow's accounts, or gives them the passwords of the secrets: `accounts.py NAME...`, with the passwords in PASSWORD_OF_NAME.

Run again after a secret has changed. The account `admin` must have the password of MLFLOW_AUTH_ADMIN_PASSWORD.
"""

import base64
import json
import os
import sys
import urllib.error
import urllib.request

SERVER = os.environ.get("MLFLOW_TRACKING_URI", "http://mlflow:5000")
TIMEOUT_S = 30
CONFLICT, BAD_REQUEST, NOT_FOUND = 409, 400, 404


def ask(method: str, path: str, body: dict[str, str] | None, user: str, password: str) -> int:
    """Call MLflow and give the status; its answers about accounts say nothing more that is needed here."""
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    request = urllib.request.Request(  # noqa: S310  the address of the compose file
        f"{SERVER}/api/2.0/mlflow/users/{path}",
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Basic {token}", "Content-Type": "application/json"},
        method=method,
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def ensure(name: str, password: str, admin: str) -> str:
    """Have the account with this password.

    Returns:
        What was done.

    Raises:
        SystemExit: MLflow refuses.
    """
    account = {"username": name, "password": password}
    if ask("GET", f"get?username={name}", None, name, password) == 200:
        return "is right"
    status = ask("POST", "create", account, "admin", admin)
    done = "made"
    if status in {BAD_REQUEST, CONFLICT}:
        status, done = ask("PATCH", "update-password", account, "admin", admin), "has a new password"
    if status != 200:
        raise SystemExit(f"account {name}: MLflow answered {status}")
    return done


def main() -> None:
    """Go through the names; the exit code tells whether all is right."""
    admin = os.environ["MLFLOW_AUTH_ADMIN_PASSWORD"]
    for name in sys.argv[1:]:
        sys.stdout.write(f"account {name}: {ensure(name, os.environ[f'PASSWORD_OF_{name.upper()}'], admin)}\n")


if __name__ == "__main__":
    main()
