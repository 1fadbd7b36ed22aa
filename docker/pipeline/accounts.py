"""Makes MLflow's accounts, or gives them the passwords of the secrets: `accounts.py NAME...`, with the passwords in PASSWORD_OF_NAME.

Run again after a secret has changed. The account `admin` must have the password of MLFLOW_AUTH_ADMIN_PASSWORD. Then each account is given what is its own: who
makes something in MLflow may change it, and a restored registry was made by accounts that are gone.
"""

import base64
import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

SERVER = os.environ.get("MLFLOW_TRACKING_URI", "http://mlflow:5000")
TIMEOUT_S = 30
CONFLICT, BAD_REQUEST = 409, 400
MODELS, INSTANCES = "pipeline", "serving"
# The serving processes' own; they write nowhere else.
INSTANCES_EXPERIMENT = "tidegate-instances"
OWN = "MANAGE"


def call(method: str, path: str, body: dict[str, Any] | None, user: str, password: str) -> tuple[int, dict[str, Any]]:
    """Call MLflow and give the status and the answer, which is empty for an error."""
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    request = urllib.request.Request(  # noqa: S310  the address of the compose file
        f"{SERVER}/api/{path}",
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Basic {token}", "Content-Type": "application/json"},
        method=method,
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
            content = answer.read()
            return int(answer.status), json.loads(content) if content.startswith(b"{") else {}
    except urllib.error.HTTPError as error:
        return error.code, {}


def ensure(name: str, password: str, admin: str) -> str:
    """Have the account with this password.

    Returns:
        What was done.

    Raises:
        SystemExit: MLflow refuses.
    """
    account = {"username": name, "password": password}
    users = "2.0/mlflow/users"
    if call("GET", f"{users}/get?username={name}", None, name, password)[0] == 200:
        return "is right"
    status, _ = call("POST", f"{users}/create", account, "admin", admin)
    done = "made"
    if status in {BAD_REQUEST, CONFLICT}:
        status, _ = call("PATCH", f"{users}/update-password", account, "admin", admin)
        done = "has a new password"
    if status != 200:
        raise SystemExit(f"account {name}: MLflow answered {status}")
    return done


def things(admin: str) -> Iterator[tuple[str, str, str]]:
    """All that is registered: the account whose it is, its kind and its id. MLflow's own experiment is nobody's."""
    for found in listed("experiments", admin):
        if found["experiment_id"] != "0":
            owner = INSTANCES if found["name"] == INSTANCES_EXPERIMENT else MODELS
            yield owner, "experiment", found["experiment_id"]
    for found in listed("registered-models", admin):
        yield MODELS, "registered_model", found["name"]


def listed(kind: str, admin: str) -> Iterator[dict[str, Any]]:
    """Everything of a kind, page by page.

    Raises:
        SystemExit: MLflow does not tell.
    """
    page = ""
    while True:
        query = urllib.parse.urlencode({"max_results": 200, "page_token": page})
        status, answer = call("GET", f"2.0/mlflow/{kind}/search?{query}", None, "admin", admin)
        if status != 200:
            raise SystemExit(f"list of {kind}: MLflow answered {status}")
        yield from answer.get(kind.replace("-", "_"), [])
        page = answer.get("next_page_token", "")
        if not page:
            return


def give(owner: str, kind: str, thing: str, admin: str) -> bool:
    """Let an account change what is its own; whether it could not before.

    Raises:
        SystemExit: MLflow refuses.
    """
    right = {"username": owner, "resource_type": kind, "resource_id": thing}
    rights = "3.0/mlflow/users/permissions"
    _, known = call("GET", f"{rights}/get?{urllib.parse.urlencode(right)}", None, "admin", admin)
    if known.get("permission") == OWN:
        return False
    status, _ = call("POST", f"{rights}/grant", {**right, "permission": OWN}, "admin", admin)
    if status != 200:
        raise SystemExit(f"{kind} {thing} for account {owner}: MLflow answered {status}")
    return True


def main() -> None:
    """Go through the names; the exit code tells whether all is right."""
    admin = os.environ["MLFLOW_AUTH_ADMIN_PASSWORD"]
    for name in sys.argv[1:]:
        sys.stdout.write(f"account {name}: {ensure(name, os.environ[f'PASSWORD_OF_{name.upper()}'], admin)}\n")
    for owner, kind, thing in things(admin):
        if owner in sys.argv[1:] and give(owner, kind, thing, admin):
            sys.stdout.write(f"account {owner}: may change {kind} {thing}\n")


if __name__ == "__main__":
    main()
