"""A small installation with real files: bundles among artifacts, a ledger, a database in MLflow's place, bars, records, keys, and a repository."""

import atexit
import os
import shutil
import sqlite3
import subprocess
import tempfile
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from tests.registry_factories import write_bundle
from tests.unavailable import unavailable

from tidegate.backup.manifest import BackupRecord
from tidegate.backup.take import take_backup
from tidegate.bars.bars import Bars
from tidegate.bars.store import BarStore
from tidegate.keys.signing import Signer, production_message
from tidegate.model.manifest import Manifest
from tidegate.registry.database import Database
from tidegate.registry.ledger import Ledger
from tidegate.registry.state import Draft
from tidegate.settings.backup import Backup
from tidegate.settings.serving import Serving, Signing
from tidegate.settings.settings import Paths, Settings


def require_restic() -> None:
    """Skip the test where restic is not installed; fail it there when CI=true."""
    if shutil.which("restic") is None:
        unavailable("restic is not on this machine")


@dataclass
class Place:
    """An installation in a folder of its own."""

    root: Path
    settings: Settings
    signer: Signer
    manifests: dict[tuple[str, int], Manifest] = field(default_factory=dict)

    @property
    def artifacts(self) -> Path:
        return self.root / "mlruns" / "artifacts"

    @property
    def ledger_file(self) -> Path:
        return self.root / "data" / "ledger" / "ledger.db"

    @property
    def ledger(self) -> Ledger:
        return Ledger(Database(f"sqlite:///{self.ledger_file}"))

    def bundle(self, strategy: str, version: int) -> Path:
        return self.artifacts / "1" / "models" / f"m-{strategy}-{version}" / "artifacts" / "bundle"

    def promote(self, strategy: str, version: int) -> None:
        """A signed bundle among the artifacts, and two rows in the ledger."""
        bundle = self.bundle(strategy, version)
        made = write_bundle(bundle, f"{strategy} {version}".encode() * 500, strategy=strategy, seed=version)
        self.manifests[strategy, version] = made
        (bundle.parent / "signature").mkdir()
        (bundle.parent / "signature" / "manifest.sig").write_bytes(self.signer.sign(production_message(made.digest())))
        (bundle.parent / "MLmodel").write_text(f"model {strategy} {version}")
        draft = Draft(strategy, "promote", self.ledger.state(strategy).current, version, "test", "test", made.digest())
        with self.ledger.writing() as writer:
            row = writer.append(draft, "intent")
            writer.close(row, "committed", reason="test", evidence={})

    def back_up(self, reason: str = "test", *, init: bool = False) -> BackupRecord:
        return take_backup(self.settings, self.root, reason=reason, actor="test", init=init)

    def configure(self) -> None:
        """Write the settings of backups and keys into the project's configuration, for commands and flows."""
        backup, signing = self.settings.backup, self.settings.signing
        content = {
            "backup": {
                "repository": backup.repository,
                "password_file": str(backup.password_file),
                "keys_repository": backup.keys_repository,
                "keys_password_file": str(backup.keys_password_file),
            },
            "serving": {"api_keys_file": str(self.settings.serving.api_keys_file)},
            "signing": {
                "private_key_file": str(signing.private_key_file),
                "public_key_files": [str(path) for path in signing.public_key_files],
            },
        }
        (self.root / "configs" / "base.yaml").write_text(yaml.safe_dump(content))

    def copied(self, root: Path) -> "Place":
        """A copy of the installation in another folder, with the same repositories."""
        shutil.copytree(self.root, root)
        return Place(root, self.settings.model_copy(update=folders(root)), self.signer, self.manifests)

    def with_backup(self, **changes: object) -> "Place":
        """The same installation with other settings of backups."""
        backup = self.settings.backup.model_copy(update=changes)
        return Place(self.root, self.settings.model_copy(update={"backup": backup}), self.signer, self.manifests)


def folders(root: Path) -> dict[str, Any]:
    """Sections of settings that say where an installation lies."""
    paths = Paths(
        data=root / "data",
        runs=root / "runs",
        mlruns=root / "mlruns",
        cache=root / ".cache",
        strategies=root / "configs" / "strategies",
    )
    serving = Serving(log_folder=root / "runs" / "predictions", api_keys_file=root / "keys" / "api.yaml")
    return {"paths": paths, "serving": serving}


def secret(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o600)
    return path


def some_bars(days: int = 40) -> Bars:
    n = 24 * days
    opened_at = np.arange(n, dtype=np.int64) * 3_600_000 + 1_700_006_400_000
    price = 1.1 + np.sin(np.arange(n) / 50) / 100
    return Bars.of("EUR/USD", "1h", opened_at=opened_at, open=price, high=price, low=price, close=price, volume=price)


@cache
def _empty_repositories() -> Path:
    """Two repositories, made once: restic takes a second for each."""
    folder = Path(tempfile.mkdtemp(prefix="tidegate-repositories-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name, password in (("repository", "first"), ("keys-repository", "second")):
        environment = {**os.environ, "RESTIC_PASSWORD": password}
        subprocess.run(["restic", "-r", str(folder / name), "init"], env=environment, check=True, capture_output=True)
    return folder


def make_place(folder: Path) -> Place:
    """An installation with one version in production and empty repositories."""
    require_restic()
    shutil.copytree(_empty_repositories(), folder, dirs_exist_ok=True)
    root, signer = folder / "project", Signer.new()
    secret(root / "keys" / "private.pem", signer.private_pem().decode())
    (root / "keys" / "public.pem").write_bytes(signer.public_pem())
    secret(root / "keys" / "api.yaml", "keys: []\n")
    settings = Settings(
        **folders(root),
        signing=Signing(private_key_file=root / "keys" / "private.pem", public_key_files=(root / "keys" / "public.pem",)),
        backup=Backup(
            repository=str(folder / "repository"),
            password_file=secret(folder / "secrets" / "password", "first\n"),
            keys_repository=str(folder / "keys-repository"),
            keys_password_file=secret(folder / "secrets" / "keys-password", "second\n"),
            read_data_percent=100.0,
            timeout_s=120,
        ),
    )  # fmt: skip
    place = Place(root, settings, signer)
    for path, text in (
        ("configs/strategies/one.yaml", "version: 1\n"),
        ("runs/2026-11/report.html", "<h1>promoted</h1>"),
        ("runs/predictions/one/000000000001.log", "rows"),
        ("mlruns/artifacts/1/run/artifacts/report.html", "<h1>report</h1>"),
        ("data/prefect/nothing", ""),
    ):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    for name in ("mlruns/mlflow.db", "data/prefect/prefect.db"):
        with closing(sqlite3.connect(root / name)) as database, database:
            database.execute("CREATE TABLE things (name TEXT)")
            database.executemany("INSERT INTO things VALUES (?)", [(f"thing {number}",) for number in range(2000)])
    bars = some_bars()
    BarStore(root / "data").ingest(bars, int(bars.closed_at[-1]))
    place.promote("alpha", 1)
    return place
