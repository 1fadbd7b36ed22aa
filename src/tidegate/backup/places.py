"""What an installation consists of: its databases, its folders, its keys, and where each lies in a restored folder.

A restored folder is a project's folder with the default settings: `TIDEGATE_ROOT` on it runs.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from tidegate.errors import ConfigurationError
from tidegate.services import mlflow_server, prefect_server
from tidegate.settings.settings import Settings

DatabaseName = Literal["ledger", "mlflow", "prefect"]
PartName = Literal["artifacts", "bars", "snapshots", "runs", "predictions", "configuration", "strategies"]
Choice = Literal["models", "databases", "bars", "runs", "predictions", "configuration", "keys"]

DUMPS: Final = Path("databases")
"""Where dumps of PostgreSQL lie in a restored folder; SQLite files lie where the settings' defaults look for them."""
SQLITE_HOMES: Final[dict[DatabaseName, Path]] = {
    "ledger": Path("data/ledger/ledger.db"),
    "mlflow": Path("mlruns/mlflow.db"),
    "prefect": Path("data/prefect/prefect.db"),
}
CHOSEN: Final[dict[Choice, tuple[PartName, ...]]] = {
    "models": ("artifacts",),
    "databases": (),
    "bars": ("bars", "snapshots"),
    "runs": ("runs",),
    "predictions": ("predictions",),
    "configuration": ("configuration", "strategies"),
    "keys": (),
}
"""What `--only` means. Databases and keys are no folders of their own."""


@dataclass(frozen=True, slots=True)
class Database:
    """A database of an installation, in the order in which they are copied: what the ledger names is in MLflow's copy, made after it."""

    name: DatabaseName
    url: str = field(repr=False)

    @property
    def sqlite_file(self) -> Path | None:
        """Its file, None for PostgreSQL."""
        scheme, _, rest = self.url.partition(":///")
        return Path(rest.partition("?")[0]) if scheme.partition("+")[0] == "sqlite" else None


@dataclass(frozen=True, slots=True)
class Part:
    """A folder of an installation, and where it lies in a restored one."""

    name: PartName
    path: Path
    home: Path


@dataclass(frozen=True, slots=True)
class Installation:
    """All that is backed up.

    Attributes:
        root: the project's folder.
        databases: in the order in which they are copied.
        parts: folders that are there, the artifacts first.
        keys: files with keys and passwords that the settings name.
        secrets: those of them that must lie apart from all else.
        staging: the folder in which copies wait for restic.
    """

    root: Path
    databases: tuple[Database, ...]
    parts: tuple[Part, ...]
    keys: tuple[Path, ...]
    secrets: tuple[Path, ...]
    staging: Path

    @property
    def artifacts(self) -> Path:
        """Folder of MLflow's artifacts, which hold the bundles."""
        return next(part.path for part in self.parts if part.name == "artifacts")

    def database(self, name: DatabaseName) -> Database:
        """A database by name."""
        return next(one for one in self.databases if one.name == name)


def project_root() -> Path:
    """The project in `TIDEGATE_ROOT`, else in the working folder."""
    return Path(os.environ.get("TIDEGATE_ROOT", ".")).resolve()


def own_folder(settings: Settings) -> Path:
    """Where backups keep their lock, their copies and what was set aside."""
    return settings.paths.data.resolve() / "backup"


def installation(settings: Settings, root: Path) -> Installation:
    """Find out what there is.

    Raises:
        ConfigurationError: MLflow's database or artifacts are not known, a kind of database cannot be backed up, or the repository lies within what it holds.
    """
    paths = settings.paths
    databases = (
        Database("ledger", settings.ledger_url),
        Database("mlflow", _mlflow_url(settings)),
        Database("prefect", prefect_server.database_url(settings)),
    )
    for one in databases:
        if one.url.partition("://")[0].partition("+")[0] not in {"sqlite", "postgresql"}:
            raise ConfigurationError(
                f"the database of {one.name} cannot be backed up", expected="SQLite or PostgreSQL", setting=_SETTINGS[one.name]
            )  # fmt: skip
    artifacts = _artifacts(settings)
    parts = [
        Part("artifacts", artifacts, Path("mlruns/artifacts")),
        Part("bars", paths.data.resolve() / "bars", Path("data/bars")),
        Part("snapshots", paths.data.resolve() / "snapshots", Path("data/snapshots")),
        Part("runs", paths.runs.resolve(), Path("runs")),
        Part("predictions", settings.serving.log_folder.resolve(), Path("runs/predictions")),
        Part("configuration", root.resolve() / "configs", Path("configs")),
        Part("strategies", paths.strategies.resolve(), Path("configs/strategies")),
    ]
    there = [part for part in parts if part.path.is_dir()]
    if not artifacts.is_dir():
        raise ConfigurationError(
            f"the folder of MLflow's artifacts {artifacts} is not there",
            setting="backup.mlflow_artifacts",
            next_step="name the folder that the MLflow server keeps its artifacts in",
        )
    secrets, open_ones = _keys(settings)
    keys = tuple(dict.fromkeys((*secrets, *open_ones)))
    found = Installation(root.resolve(), databases, _homed(there), keys, secrets, own_folder(settings) / "staging")
    _refuse_within(settings, found)
    return found


_SETTINGS: Final[dict[DatabaseName, str]] = {
    "ledger": "ledger.url",
    "mlflow": "backup.mlflow_database_url",
    "prefect": "prefect.database_url",
}


def _mlflow_url(settings: Settings) -> str:
    if settings.backup.mlflow_database_url is not None:
        return settings.backup.mlflow_database_url.get_secret_value()
    configured = settings.mlflow.tracking_uri
    if configured is not None and not configured.startswith(("http://", "https://")):
        return configured
    if mlflow_server.is_ours(settings):
        return f"sqlite:///{settings.paths.mlruns.resolve()}/mlflow.db"
    raise ConfigurationError(
        "MLflow's database is not known: tidegate does not start this server",
        expected="the address of its database",
        setting="backup.mlflow_database_url",
        next_step="name what the server was started with as --backend-store-uri",
    )


def _artifacts(settings: Settings) -> Path:
    if settings.backup.mlflow_artifacts is not None:
        return settings.backup.mlflow_artifacts.resolve()
    if settings.backup.mlflow_database_url is not None or not (
        mlflow_server.is_ours(settings) or str(settings.mlflow.tracking_uri).startswith("sqlite")
    ):
        raise ConfigurationError(
            "MLflow's artifacts are not known: tidegate does not start this server",
            expected="the folder of its artifacts",
            setting="backup.mlflow_artifacts",
            next_step="name what the server was started with as --artifacts-destination; a bucket is backed up by its own means",
        )
    return settings.paths.mlruns.resolve() / "artifacts"


def _homed(parts: list[Part]) -> tuple[Part, ...]:
    """Each part once, those within another one where they lie in it."""
    found: list[Part] = []
    for part in parts:
        outer = [one for one in parts if one.path != part.path and part.path.is_relative_to(one.path)]
        if any(one.path == part.path for one in found):
            continue
        within = max(outer, key=lambda one: len(one.path.parts), default=None)
        home = part.home if within is None else within.home / part.path.relative_to(within.path)
        found.append(Part(part.name, part.path, home))
    return tuple(found)


def _keys(settings: Settings) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Files that must lie apart from all else, and those that everybody may read."""
    serving, notify = settings.serving, settings.notify
    secrets = (
        settings.signing.private_key_file, serving.api_keys_file, serving.registry_password_file, serving.registry_token_file,
        serving.tls_key_file, notify.webhook_secret_file, notify.smtp_password_file, settings.watch.api_key_file,
        settings.checklist.api_key_file,
    )  # fmt: skip
    open_ones = (*settings.signing.public_key_files, serving.tls_certificate_file)
    return _resolved(secrets), _resolved(open_ones)


def _resolved(paths: Iterable[Path | None]) -> tuple[Path, ...]:
    return tuple(path.resolve() for path in paths if path is not None)


def _refuse_within(settings: Settings, found: Installation) -> None:
    """A repository within what it holds would hold itself, and one among the copies would go with them; keys in a part would lie beside what they protect."""
    backup = settings.backup
    for setting, address in (
        ("backup.repository", settings.backup.repository),
        ("backup.keys_repository", settings.backup.keys_repository),
    ):
        for part in found.parts:
            if address is not None and address.startswith("/") and Path(address).resolve().is_relative_to(part.path):
                raise ConfigurationError(
                    f"the repository {address} lies within {part.path}, which it holds",
                    setting=setting,
                    next_step="name a folder elsewhere, best on another disk or machine",
                )
        if (
            address is not None
            and address.startswith("/")
            and _is_removed(Path(address).resolve(), own_folder(settings))
        ):
            raise ConfigurationError(
                f"the repository {address} lies where tidegate removes its copies",
                setting=setting,
                next_step="name a folder elsewhere, best on another disk or machine",
            )
    files = (backup.password_file, backup.keys_password_file, backup.environment_file, backup.keys_environment_file)
    for secret in (*found.secrets, *files):
        inside = next((part for part in found.parts if secret and secret.resolve().is_relative_to(part.path)), None)
        if inside is not None:
            raise ConfigurationError(
                f"the key or password file {secret} lies within {inside.path}, which is backed up without keys",
                expected="keys apart from all else",
                next_step="move it to a folder of its own, such as keys/, and correct the setting that names it",
            )


def _is_removed(path: Path, own: Path) -> bool:
    """Whether a path lies in a folder that backups, drills or mending remove when they begin or end."""
    first = next(iter(path.relative_to(own).parts), "") if path.is_relative_to(own) else ""
    return first.startswith(("staging", "drill-", "mending-"))
