"""Puts a backup into a stack that has nothing yet, with PostgreSQL alone running: `restore.py [BACKUP]`, the newest by default.

Databases, models, bars, records and predictions go where the stack looks for them. Settings and strategies stay in /srv/tidegate/restored/configs, to be compared
with those that are mounted. Nothing is put over what is there.
"""

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tidegate.backup.places import DatabaseName
from tidegate.backup.restore import restore
from tidegate.backup.take import note
from tidegate.errors import TidegateError
from tidegate.settings.loading import load_settings
from tidegate.settings.settings import Settings

FOLDER: Final = Path("/srv/tidegate/restored")


def places(settings: Settings) -> dict[str, Path]:
    """Where each part goes that a container can write.

    Raises:
        SystemExit: backups do not know MLflow's artifacts.
    """
    artifacts, data = settings.backup.mlflow_artifacts, settings.paths.data
    if artifacts is None:
        raise SystemExit("backup.mlflow_artifacts is not set")
    return {
        "artifacts": artifacts,
        "predictions": settings.serving.log_folder,
        "bars": data / "bars",
        "snapshots": data / "snapshots",
        "runs": settings.paths.runs,
    }


def databases(settings: Settings) -> dict[DatabaseName, str]:
    """Addresses of the stack's databases.

    Raises:
        SystemExit: one is not named.
    """
    mlflow, prefect = settings.backup.mlflow_database_url, settings.prefect.database_url
    if mlflow is None or prefect is None:
        raise SystemExit("backup.mlflow_database_url and prefect.database_url must be set")
    return {
        "ledger": settings.ledger_url,
        "mlflow": mlflow.get_secret_value(),
        "prefect": prefect.get_secret_value(),
    }


def require_nothing(targets: Mapping[str, Path]) -> None:
    """Refuse where anything is there.

    Raises:
        SystemExit: something is, and nothing was done.
    """
    there = [str(path) for path in targets.values() if path.is_dir() and any(path.iterdir())]
    if there:
        raise SystemExit(f"{', '.join(there)} is not empty, and nothing is restored over what is there")


def put(source: Path, target: Path) -> int:
    """Move what lies in a folder into another one; how many files there are then."""
    target.mkdir(parents=True, exist_ok=True)
    for child in source.iterdir():
        shutil.move(child, target / child.name)
    source.rmdir()
    return sum(path.is_file() for path in target.rglob("*"))


def main() -> None:
    """Restore, and say what is where."""
    root, said = Path(os.environ.get("TIDEGATE_ROOT", ".")), list[str]()
    try:
        settings = load_settings(root)
        targets = places(settings)
        require_nothing(targets)
        done = restore(settings, FOLDER, backup=next(iter(sys.argv[1:]), None), databases=databases(settings))
        # What lies in another part's folder goes first.
        for name, place in sorted(done.places.items(), key=lambda one: -len(one[1].parts)):
            if name in targets:
                said.append(f"{name:<12} {put(place, targets[name])} files in {targets[name]}")
        note(settings, "restored", done.backup, "restore.py", {"stack": True, "took_s": round(done.took_s, 3)})
    except TidegateError as error:
        raise SystemExit(str(error)) from error
    said.append(f"backup {done.backup} is in {', '.join(databases(settings))}; its settings lie in {FOLDER}/configs")
    sys.stdout.write("".join(f"{line}\n" for line in said))


if __name__ == "__main__":
    main()
