"""The restore drill, whole: a version promoted on a real MLflow server, backed up, restored elsewhere, served and asked; and a drill that must fail."""

import shutil
import subprocess
from pathlib import Path

import pytest
from tests.integration.backup.place import require_restic, secret
from tests.servers import mlflow_server
from tests.unit.model.small_model import small_bundle, small_dataset

from tidegate.backup.drill import DrillReport, drill
from tidegate.backup.take import take_backup
from tidegate.keys.signing import Signer
from tidegate.registry.events import EventLedger
from tidegate.registry.opening import open_promoter
from tidegate.registry.tracking import Tracking
from tidegate.settings.backup import Backup
from tidegate.settings.serving import Serving, Signing
from tidegate.settings.settings import Mlflow, Paths, Settings

pytestmark = [pytest.mark.slow, pytest.mark.servers]

FAR_MS = 10**14
STRATEGY, HALTED = "small", "stopped"


def settings_of(root: Path, folder: Path, address: str, signer: Signer) -> Settings:
    keys = root / "keys"
    secret(keys / "private.pem", signer.private_pem().decode())
    (keys / "public.pem").write_bytes(signer.public_pem())
    return Settings(
        paths=Paths(
            data=root / "data", runs=root / "runs", mlruns=root / "mlruns", cache=root / ".cache",
            strategies=root / "configs" / "strategies",
        ),
        mlflow=Mlflow(tracking_uri=address, timeout_s=20, retries=1),
        serving=Serving(log_folder=root / "runs" / "predictions"),
        signing=Signing(private_key_file=keys / "private.pem", public_key_files=(keys / "public.pem",)),
        backup=Backup.model_validate(
            {
                "repository": str(folder / "repository"),
                "password_file": secret(folder / "password", "one"),
                "mlflow_database_url": f"sqlite:///{root}/mlruns/mlflow.db",
                "mlflow_artifacts": root / "mlruns" / "artifacts",
            }
        ),
    )  # fmt: skip


def promote(settings: Settings, bundles: Path, strategy: str) -> None:
    bundle = bundles / strategy
    small_bundle(bundle, strategy=strategy, expires_at=FAR_MS)
    tracking, promoter = Tracking(settings), open_promoter(settings)
    with tracking.start_run(strategy, "test") as run:
        version = tracking.register(bundle, run, small_dataset().features.names, description="test")
    promoter.promote(strategy, version, None, actor="test", reason="test", champion=None, override=True)
    if strategy == HALTED:
        promoter.halt(strategy, actor="test", reason="for the test")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Path]:
    require_restic()
    folder = tmp_path_factory.mktemp("drill")
    root = folder / "project"
    (root / "configs").mkdir(parents=True)
    # What the live installation says must say nothing in the drill: this service would not start without keys.
    (root / "configs" / "base.yaml").write_text("serving: {api_keys_file: keys/none.yaml}\n")
    with mlflow_server(root / "mlruns") as address:
        settings = settings_of(root, folder, address, Signer.new())
        for strategy in (STRATEGY, HALTED):
            promote(settings, folder / "bundles", strategy)
        take_backup(settings, root, reason="test", actor="test", init=True)
    # The live installation is lost, but for its ledger: the drill must need nothing else of it.
    shutil.rmtree(root / "mlruns")
    return settings, root


@pytest.fixture(scope="module")
def report(place: tuple[Settings, Path]) -> DrillReport:
    settings, root = place
    return drill(settings, root, actor="test")


def test_all_three_losses_are_mended(report: DrillReport) -> None:
    assert [(case.name, case.fault) for case in report.cases] == [
        ("outage", ""),
        ("data loss", ""),
        ("model corruption", ""),
    ]
    assert all(case.took_s is not None and case.took_s > 0 for case in report.cases)


def test_the_restored_service_answered_and_kept_the_halt(report: DrillReport) -> None:
    assert sorted(report.answered) == [f"{STRATEGY}/v1", f"{HALTED} halted"]


def test_the_drill_is_recorded_and_leaves_nothing(report: DrillReport, place: tuple[Settings, Path]) -> None:
    settings, _ = place
    event = EventLedger.from_settings(settings).newest("", "restore_drill")
    assert event is not None
    assert event.content == report.content()
    assert list((settings.paths.data / "backup").glob("drill-*")) == []
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(settings.paths.data / "backup" / "drill-") not in running
