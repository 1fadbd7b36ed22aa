"""Where the campaign plays: an installation with real servers on a small disk of its own, a serving process, and a repository of backups."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from unittest.mock import patch

import onnx
import yaml
from tests.chaos.servers import Mlflow, PostgreSQL
from tests.e2e.serving_process import Serving
from tests.integration.pipeline.small_market import CONTENT
from tests.registry_factories import decision, gate
from tests.servers import POSTGRESQL_PROGRAMS, free_port
from tests.unit.model.small_model import small_files, small_manifest

from tidegate.backup.listing import list_backups
from tidegate.backup.opening import open_repository
from tidegate.backup.take import take_backup
from tidegate.gates.result import Decision
from tidegate.keys.signing import Signer
from tidegate.model.bundle import ONNX, write_bundle
from tidegate.model.manifest import Manifest
from tidegate.registry.opening import open_promoter
from tidegate.registry.promotion import Promoter
from tidegate.registry.tracking.versions import Tracking
from tidegate.settings.loading import load_settings
from tidegate.settings.settings import Settings

SMALL, TRAINED = "small", "simulated-chaos"
"""The strategy whose versions are made in a moment, and the beginning of the names of those that are retrained."""
DISK_MB = 400
STRATEGIES = Path(__file__).parents[2] / "configs" / "strategies"
_FAR_MS = 10**14
AS_OF = "2025-06-15T00:00:00Z"


def missing() -> list[str]:
    """What this machine lacks for the campaign."""
    found = [name for name in ("restic", "strace", "cc", "mount") if shutil.which(name) is None]
    if not any(Path(path, "initdb").exists() for path in POSTGRESQL_PROGRAMS):
        found.append("PostgreSQL")
    if os.geteuid() != 0:
        found.append("root, who mounts small disks")
    return found


@dataclass
class Stage:
    """The installation. Made by `opened`.

    Attributes:
        folder: where all of it lies.
        postgresql, mlflow, serving: its servers.
        retrained: how many strategies were made for retrains.
        bundles: versions of the small strategy, and where their bundles were made.
    """

    folder: Path
    postgresql: PostgreSQL
    mlflow: Mlflow
    serving: Serving | None = None
    retrained: int = 0
    bundles: dict[int, Path] = field(default_factory=dict)
    _made: int = 0

    @property
    def disk(self) -> Path:
        """The small disk, on which the project and the repository lie."""
        return self.folder / "disk"

    @property
    def root(self) -> Path:
        """The project's folder."""
        return self.disk / "project"

    @property
    def variables(self) -> dict[str, str]:
        """What the project's processes find in their environment."""
        root, keys = self.root, self.folder / "keys"
        own = {
            "MLFLOW__TRACKING_URI": self.mlflow.address,
            "MLFLOW__TIMEOUT_S": "4",
            "MLFLOW__RETRIES": "1",
            "LEDGER__URL": self.postgresql.url("ledger"),
            "LEDGER__BUSY_TIMEOUT_S": "5",
            "COMPUTE__LATENCY_SAMPLES": "50",
            "SIGNING__PRIVATE_KEY_FILE": str(keys / "private.pem"),
            "SIGNING__PUBLIC_KEY_FILES": str(keys / "public.pem"),
            "BACKUP__REPOSITORY": str(self.disk / "repository"),
            "BACKUP__PASSWORD_FILE": str(keys / "password"),
            "BACKUP__MLFLOW_DATABASE_URL": self.postgresql.url("mlflow"),
            "BACKUP__MLFLOW_ARTIFACTS": str(self.mlflow.artifacts),
            "BACKUP__POSTGRESQL_PROGRAMS": str(self.postgresql.programs),
            "BACKUP__READ_DATA_PERCENT": "100",
            "BACKUP__BEFORE_PROMOTION": "no",
            "DEPLOY__BOT_MINUTES": "0",
            "WATCH__POLL_S": "0.3",
            **{
                f"PATHS__{name.upper()}": str(root / name) for name in ("data", "runs", "mlruns", "cache", "strategies")
            },
        }
        own_tmp = {"TIDEGATE_ROOT": str(root), "TMPDIR": str(self.disk / "tmp")}
        return {**own_tmp, **{f"TIDEGATE_{name}": value for name, value in own.items()}}

    @cached_property
    def settings(self) -> Settings:
        """The same for this process."""
        with patch.dict(os.environ, self.variables):
            return load_settings(self.root)

    @cached_property
    def tracking(self) -> Tracking:
        """The registry of versions, looked at from outside."""
        return Tracking(self.settings)

    @property
    def promoter(self) -> Promoter:
        """A promoter that no earlier fault has touched."""
        return open_promoter(self.settings, self.tracking)

    def start(self, *command: str, **variables: str) -> "subprocess.Popen[bytes]":
        """Start a program in the project, as the head of a process group of its own; what it says goes into `said`."""
        with (self.folder / "said").open("wb") as output:
            return subprocess.Popen(
                command, cwd=self.root, env={**os.environ, **self.variables, **variables},
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip

    def said(self) -> str:
        """What the newest program said."""
        return (self.folder / "said").read_text(errors="replace")

    def strategy(self) -> str:
        """A new strategy whose first retrain promotes: a second one of the same month is refused, since the model has seen the window."""
        self.retrained += 1
        name = f"{TRAINED}-{self.retrained}"
        path = self.root / "strategies" / f"{name}.yaml"
        path.write_text(yaml.safe_dump(CONTENT | {"name": name}), encoding="utf-8")
        return name

    def register(self) -> int:
        """Register a further version of the small strategy that its gates let through."""
        self._made += 1
        files = small_files()
        graph = onnx.load_from_string(files[ONNX])
        # A barred version's model is never promoted under another number, so each version has a model of its own.
        graph.doc_string = f"version {self._made}"
        files[ONNX] = graph.SerializeToString()
        manifest = small_manifest(files, expires_at=_FAR_MS, seed=self._made, created_at=self._made)
        folder = self.folder / "bundles" / str(self._made)
        write_bundle(folder, manifest, files)
        names = [spec.name for spec in manifest.features]
        with self.tracking.start_run(SMALL, f"run {self._made}") as run:
            run.decision(_decided(manifest, self.promoter.current(SMALL)))
            version = self.tracking.register(folder, run, names, description="chaos")
        self.bundles[version] = folder
        return version

    def promote(self, version: int) -> None:
        """Promote a version of the small strategy without a fault."""
        promoter = self.promoter
        judged = self.tracking.decision(SMALL, version)
        promoter.promote(SMALL, version, judged, actor="chaos", reason="prepared", champion=promoter.current(SMALL))

    def go_on(self, version: int) -> None:
        """Bring the small strategy back from a halt, as a person does."""
        promoter = self.promoter
        promoter.resume(SMALL, actor="chaos", reason="the artifacts are back")
        judged = self.tracking.decision(SMALL, version)
        promoter.promote(SMALL, version, judged, actor="chaos", reason="back", champion=None, override=True)

    def newest_backup(self) -> str:
        """The name of the newest whole backup."""
        return list_backups(open_repository(self.settings)).newest().id

    def until_served(self, strategy: str, version: int | None, limit_s: float = 60) -> int | None:
        """Wait until the serving process answers with a version; the one that it answers with in the end."""
        deadline = time.monotonic() + limit_s
        while (found := self.served(strategy)) != version and time.monotonic() < deadline:
            time.sleep(0.2)
        return found

    def served(self, strategy: str) -> int | None:
        """The version that the serving process answers with; None where it has none, or tells everybody to hold nothing: a model that was
        there before a halt stays loaded and is not asked.

        Raises:
            OSError: it does not answer.
        """
        assert self.serving is not None
        with urllib.request.urlopen(f"http://127.0.0.1:{self.serving.port}/v1/model", timeout=10) as answer:
            models = json.load(answer)
        one = next(model for model in models if model["strategy"] == strategy)
        production = one.get("production")
        return None if production is None or one["halted"] is not None else int(production["version"])


@contextmanager
def opened() -> Iterator[Stage]:
    """The stage, with a version of each strategy in production and a first backup."""
    folder = Path(tempfile.mkdtemp(prefix="tidegate-chaos-", dir="/tmp"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        for name in ("disk", "artifacts"):
            stack.enter_context(small_disk(folder / name))
        postgresql = PostgreSQL("ledger", "mlflow", "prefect")
        stack.callback(postgresql.close)
        mlflow = Mlflow(folder / "mlflow", postgresql.url("mlflow"), folder / "artifacts" / "store")
        mlflow.artifacts.mkdir()
        stack.callback(mlflow.close)
        mlflow.start()
        stage = Stage(folder, postgresql, mlflow)
        _furnish(stage)
        stage.serving = stack.enter_context(_serving(stage))
        yield stage


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A file system of its own in a folder."""
    folder.mkdir()
    size = f"size={DISK_MB}m"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _furnish(stage: Stage) -> None:
    for name in ("strategies", "configs", "runs", "data", "cache"):
        (stage.root / name).mkdir(parents=True)
    (stage.disk / "tmp").mkdir()
    signer, keys = Signer.new(), stage.folder / "keys"
    keys.mkdir()
    for name, content in (
        ("private.pem", signer.private_pem()),
        ("public.pem", signer.public_pem()),
        ("password", b"secret"),
    ):
        (keys / name).write_bytes(content)
        (keys / name).chmod(0o600)
    real = (STRATEGIES / "eurusd-sample.yaml").read_text(encoding="utf-8").replace("eurusd-sample", SMALL)
    (stage.root / "strategies" / f"{SMALL}.yaml").write_text(real, encoding="utf-8")
    for _ in range(2):
        stage.promote(stage.register())
    command = [sys.executable, "-m", "tidegate.cli.main", "retrain", stage.strategy(), "--direct", "--as-of", AS_OF]
    process = stage.start(*command)
    if process.wait(300) != 0:
        raise RuntimeError(f"the first retrain failed: {stage.said()}")
    take_backup(stage.settings, stage.root, reason="first", actor="chaos", init=True)


@contextlib.contextmanager
def _serving(stage: Stage) -> Iterator[Serving]:
    made = Serving(
        stage.folder, stage.mlflow.address, free_port(), f"{SMALL},{TRAINED}-1",
        allow_unsigned="false", poll_s=0.5, registry_timeout_s=2, registry_retries=0,
    )  # fmt: skip
    made.environment["TIDEGATE_SIGNING__PUBLIC_KEY_FILES"] = str(stage.folder / "keys" / "public.pem")
    with made:
        yield made


def _decided(manifest: Manifest, champion: int | None) -> Decision:
    whole = decision(manifest)
    contest = gate("champion", evidence={"champion_version": champion})
    return whole.model_copy(
        update={"results": tuple(contest if one.name == "champion" else one for one in whole.results)}
    )
