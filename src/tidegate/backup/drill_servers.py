"""The restored stack: MLflow's server and a serving process on free ports of the loopback address, of a restored folder alone."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from tidegate.backup.places import DatabaseName
from tidegate.services import mlflow_server
from tidegate.services.environment import child_environment
from tidegate.services.probe import HOST, answers, free_port
from tidegate.services.process import Service, start, wait_ready
from tidegate.settings.settings import Ledger, Mlflow, Paths, Settings

INSTANCE: Final = "restore-drill"


def restored_settings(settings: Settings, folder: Path, urls: Mapping[DatabaseName, str]) -> Settings:
    """Settings of an installation that lies in a restored folder: its own servers and files, the same repository and keys.

    Args:
        settings: of the live installation.
        folder: the restored project's folder.
        urls: addresses of databases that dumps were restored into.
    """
    paths = Paths(
        data=folder / "data",
        runs=folder / "runs",
        mlruns=folder / "mlruns",
        strategies=folder / "configs" / "strategies",
        cache=folder / ".cache",
    )
    url = urls.get("mlflow")
    own = {"mlflow_database_url": url, "mlflow_artifacts": None if url is None else folder / "mlruns" / "artifacts"}
    backup = type(settings.backup).model_validate(settings.backup.model_dump() | own)
    changed = {
        "paths": paths,
        "mlflow": Mlflow(port=free_port(), timeout_s=settings.mlflow.timeout_s),
        "ledger": Ledger.model_validate({"url": urls.get("ledger")}),
        "serving": settings.serving.model_copy(update={"log_folder": folder / "runs" / "predictions"}),
        "watch": settings.watch.model_copy(update={"api_key_file": None, "instances": ()}),
        "backup": backup,
    }
    return settings.model_copy(update=changed)


@contextmanager
def mlflow_of(settings: Settings, timeout_s: float) -> Iterator[Settings]:
    """MLflow's server of a restored folder; yields settings that name it.

    Raises:
        ServiceError: it did not start or stop.
    """
    logs = settings.paths.data / "drill"
    service = mlflow_server.service(settings, logs, os.environ)
    if settings.backup.mlflow_database_url is not None:
        at = service.command.index("--backend-store-uri")
        url = settings.backup.mlflow_database_url.get_secret_value()
        # Not on the command line: it may hold a password.
        environment = {**service.environment, "MLFLOW_BACKEND_STORE_URI": url}
        service = replace(service, command=service.command[:at] + service.command[at + 2 :], environment=environment)
    process = start(service)
    try:
        wait_ready([process], timeout_s)
        address = mlflow_server.address(settings)
        yield settings.model_copy(update={"mlflow": settings.mlflow.model_copy(update={"tracking_uri": address})})
    finally:
        process.stop()


@contextmanager
def serving_of(
    settings: Settings, strategies: Sequence[str], root: Path, name: str, timeout_s: float, *, by_bars: bool
) -> Iterator[str]:
    """A serving process that has nothing but the restored registry; yields its address.

    Args:
        settings: with the address of the restored MLflow.
        strategies: to serve.
        root: the live project's folder, for modules with own features.
        name: of its folder with cache and log: a new one each time, so that nothing comes from a cache.
        timeout_s: in which it must be ready.
        by_bars: whether now is the newest bar's close, as for simulated markets.

    Raises:
        ServiceError: it did not become ready or stop.
    """
    port, home = free_port(), settings.paths.data / "drill" / name
    home.mkdir(parents=True)
    keys = settings.signing.public_key_files
    chosen = {
        "SERVING__STRATEGIES": ",".join(strategies),
        "SERVING__REGISTRY_URI": str(settings.mlflow.tracking_uri),
        "SERVING__HOST": HOST,
        "SERVING__PORT": str(port),
        "SERVING__INSTANCE": INSTANCE,
        "SERVING__CACHE": str(home / "cache"),
        "SERVING__LOG_FOLDER": str(home / "log"),
        "SERVING__CLOCK": "bars" if by_bars else "system",
        "SERVING__ALLOW_UNSIGNED": str(not keys).lower(),
        "SERVING__MAX_BARS": str(settings.serving.max_bars),
        "SERVING__MAX_BODY_KB": str(settings.serving.max_body_kb),
        "SIGNING__PUBLIC_KEY_FILES": ",".join(map(str, keys)),
    }
    own = {f"TIDEGATE_{key}": value for key, value in chosen.items() if value}
    # A folder without configs/: the live installation's settings, and those that were restored, say nothing here.
    own |= {"TIDEGATE_ROOT": str(home), "PYTHONPATH": os.pathsep.join((str(root), os.environ.get("PYTHONPATH", "")))}
    address = f"http://{HOST}:{port}"
    service = Service(
        name="serving",
        title="restored serving process",
        command=(sys.executable, "-m", "tidegate.serving"),
        environment=child_environment(os.environ, own, drop=("TIDEGATE_",)),
        folder=home,
        log=home / "serving.log",
        ready=lambda: answers(f"{address}/readyz"),
        address=address,
    )
    process = start(service)
    try:
        wait_ready([process], timeout_s)
        yield address
    finally:
        process.stop()
