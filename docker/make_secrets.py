"""Makes the secrets of docker/compose.yaml: `python docker/make_secrets.py [FOLDER]`. What is there already stays.

The folder can be entered by its owner alone, which is what protects the files on this machine; inside, what several containers' users read is readable. Keys
whose rights tidegate checks belong to the containers' user, so this runs as root.
"""

import argparse
import os
import secrets
import time
from pathlib import Path

from tidegate.keys.api_keys import ApiKeys, new_key
from tidegate.keys.signing import Signer

USER = 10001
PASSWORDS = (
    "postgres-password",
    "prefect-database-password",
    "mlflow-database-password",
    "ledger-database-password",
    "mlflow-admin-password",
    "mlflow-pipeline-password",
    "mlflow-serving-password",
    "mlflow-form-key",
    "grafana-admin-password",
)
# Theirs to fill in who have such a thing: `webhook-token` and `smtp-password` of Alertmanager's receivers, `bucket` as AWS's credentials file.
EMPTY = ("webhook-token", "smtp-password", "bucket")
# Of the repositories of backups, and what restic needs to reach one elsewhere, which is empty until somebody fills it in.
PRIVATE = ("backup-password", "backup-keys-password")
PRIVATE_EMPTY = "backup-environment"
KEYS = {"watch": ("admin", "metrics"), "prometheus": ("metrics",), "bot": ("predict",)}


def make(folder: Path, now_ms: int) -> list[str]:
    """Make what is missing.

    Args:
        folder: of the secrets; made with mode 0700.
        now_ms: UTC ms, for the API keys.

    Returns:
        Names of the files that are new.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    serving = folder / "serving"
    serving.mkdir(mode=0o755, exist_ok=True)
    contents = {name: secrets.token_urlsafe(32) for name in PASSWORDS}
    contents |= {"prefect-login": f"tidegate:{secrets.token_urlsafe(32)}"} | dict.fromkeys(EMPTY, "")
    made = [name for name, content in contents.items() if _write(folder / name, content.encode(), 0o444)]
    private = {name: secrets.token_urlsafe(32) for name in PRIVATE} | {PRIVATE_EMPTY: ""}
    made += [name for name, content in private.items() if _write(folder / name, content.encode(), 0o600, USER)]
    if not (folder / "signing-private.pem").exists():
        signer = Signer.new()
        _write(folder / "signing-private.pem", signer.private_pem(), 0o600, USER)
        (serving / "signing-public.pem").unlink(missing_ok=True)
        _write(serving / "signing-public.pem", signer.public_pem(), 0o444)
        made.append("signing-private.pem")
    if not (serving / "api-keys.yaml").exists():
        keys = {name: new_key(name, list(scopes), created_at=now_ms) for name, scopes in KEYS.items()}
        ApiKeys([kept for _, kept in keys.values()]).write(serving / "api-keys.yaml")
        os.chown(serving / "api-keys.yaml", USER, USER)
        for name, (key, _) in keys.items():
            path = folder / f"api-key-{name}"
            path.unlink(missing_ok=True)
            _write(path, key.encode(), 0o444)
        made.append("serving/api-keys.yaml")
    return made


def _write(path: Path, content: bytes, mode: int, owner: int | None = None) -> bool:
    """Write a file that is not there yet; whether it was not."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        if owner is not None:
            os.fchown(file.fileno(), owner, owner)
        os.fchmod(file.fileno(), mode)
    return True


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?", default=Path(__file__).parent / "secrets")
    folder = parser.parse_args().folder
    if os.geteuid() != 0:
        raise SystemExit(f"run this as root: key files must belong to the containers' user, number {USER}")
    for name in make(folder, int(time.time() * 1000)):
        print(f"made {folder / name}")  # noqa: T201  a command's answer


if __name__ == "__main__":
    main()
